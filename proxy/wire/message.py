"""
Heads and framing as values: what RFC 9110 and RFC 9112 let in, and what is written out.

The parser (llhttp) has already refused what is no HTTP/1.1 at all: bare CR or LF, folded lines,
spaces before a colon, control bytes, two Content-Lengths, Content-Length beside Transfer-Encoding.
What is decided here is what a *gateway* must still refuse, and which role each header plays.

A head's header lines are kept in the order they came, ready to be sent on. Connection-level ones
(RFC 9110 §7.6.1) are consumed here and never travel. Those whose role is `ASIDE` travel too, but
are listed with their index, so that the owner of the exchange can read them or blank their line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import BadRequest, UpstreamProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Header = tuple[bytes, bytes]

BLANKS = b" \t"
"""Optional white space (RFC 9110 §5.6.3); the parser leaves it behind values."""

MEMORY = 4096
"""How many spellings of header names one `Roles` remembers; callers choose the spelling."""

LONGEST_REMEMBERED = 64
"""Bytes of a header name worth remembering."""

# RFC 9112 §4: reason-phrase; the parser lets control bytes through
REASON = re.compile(rb"[\t \x21-\x7e\x80-\xff]*\Z")


# What becomes of a header line. Plain numbers: an enum's cost ten times a comparison.
PASS = 0
ASIDE = 1  # travels unless its line is blanked; somebody wants to look at it
DROP = 2  # never travels
CONNECTION = 3
LENGTH = 4
CODING = 5
HOST = 6
EXPECT = 7
UPGRADE = 8

# RFC 9110 §9.2.2: a second time does what the first did
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))

# RFC 9112 §6.3: statuses whose response has no body
BODYLESS = frozenset((204, 304))

# RFC 9110 §7.6.1 and its older relatives: about one connection, never passed on
HOP_BY_HOP = {
    b"connection": CONNECTION,
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,
    b"upgrade": UPGRADE,
    b"transfer-encoding": CODING,
    b"content-length": LENGTH,
}
REQUEST_ROLES = HOP_BY_HOP | {b"host": HOST, b"expect": EXPECT}
RESPONSE_ROLES = HOP_BY_HOP

# Names `Connection` may list without taking them away: framing is ours, Host is rewritten anyway
UNTOUCHABLE = frozenset(
    (b"", b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding")
)


class Roles(dict[bytes, int]):
    """
    Header name as spelt on the wire → role; each spelling is worked out once.

    Args:
        wire: The roles the wire itself gives, by lower-case name.
        aside: Says of a lower-case name whether its owner wants to look at it.
        alias: Drop names in which `_` stands for `-` when the true name has a role: many servers
            fold the two, so `Transfer_Encoding` would be read where it must not be.
    """

    def __init__(
        self, wire: dict[bytes, int], aside: Callable[[bytes], bool], *, alias: bool = True
    ) -> None:
        super().__init__()
        self._wire = wire
        self._aside = aside
        self._alias = alias

    def __missing__(self, name: bytes) -> int:
        role = self._role(name.lower())
        if len(self) < MEMORY and len(name) <= LONGEST_REMEMBERED:
            self[name] = role
        return role

    def _role(self, name: bytes) -> int:
        if (role := self._wire.get(name)) is not None:
            return role
        if self._aside(name):
            return ASIDE
        if self._alias and b"_" in name and self._role(name.replace(b"_", b"-").rstrip(b"-")):
            return DROP
        return PASS


class RequestHead:
    """
    A request's head, as far as the wire understands it.

    Attributes:
        method: As in the request line.
        target: The request target as it came.
        http10: The caller speaks HTTP/1.0.
        host: The Host header's value; empty if HTTP/1.0 sent none.
        lines: Header lines to send on, CRLF included, in order; a line may be blanked.
        aside: Lower-case name, value, index into `lines`.
        length: Content-Length in bytes; None without one.
        chunked: The body comes in chunks.
        keep: The caller may send another request on this connection.
        expects: `Expect: 100-continue` was sent; its line travels on.
        upgrade: The `Upgrade` header, lower case; empty without one.
    """

    __slots__ = (
        "aside",
        "chunked",
        "expects",
        "host",
        "http10",
        "keep",
        "length",
        "lines",
        "method",
        "target",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, *, http10: bool) -> None:
        self.method = method
        self.target = target
        self.http10 = http10
        self.host = b""
        self.lines: list[bytes] = []
        self.aside: list[tuple[bytes, bytes, int]] = []
        self.length: int | None = None
        self.chunked = False
        self.keep = not http10
        self.expects = False
        self.upgrade = b""

    def field(self, name: bytes) -> bytes | None:
        """
        Return the value of a header that was set aside; several lines joined (RFC 9110 §5.3).

        Args:
            name: In lower case.
        """
        found = None
        for lower, value, _ in self.aside:
            if lower == name:
                found = value if found is None else found + b", " + value
        return found

    @property
    def has_body(self) -> bool:
        """
        Whether body bytes follow the head (RFC 9112 §6.3).
        """
        return self.chunked or bool(self.length)


class ResponseHead:
    """
    A response's head, as far as the wire understands it.

    Attributes:
        status: 200 to 599 (interim answers never come this far).
        reason: The reason phrase, possibly empty.
        lines: As in `RequestHead`.
        aside: As in `RequestHead`.
        length: Content-Length in bytes; None without one.
        chunked: The body comes in chunks.
    """

    __slots__ = ("aside", "chunked", "length", "lines", "reason", "status")

    def __init__(self, status: int, reason: bytes) -> None:
        self.status = status
        self.reason = reason
        self.lines: list[bytes] = []
        self.aside: list[tuple[bytes, bytes, int]] = []
        self.length: int | None = None
        self.chunked = False


def read_request(  # noqa: C901 - one branch per role, in the order of how often it comes
    line: tuple[bytes, bytes, str], headers: Iterable[Header], roles: Roles
) -> RequestHead:
    """
    Read a request's head.

    Args:
        line: Method, target, version (`1.1`).
        headers: As the parser gave them.
        roles: Which header plays which role.

    Raises:
        BadRequest: Framing a gateway must not guess at (RFC 9112 §3.2, §6).
    """
    method, target, version = line
    if version not in ("1.1", "1.0"):
        raise BadRequest("neither HTTP/1.1 nor HTTP/1.0")
    head = RequestHead(method, target, http10=version == "1.0")
    lines = head.lines
    hosts = 0
    named = b""
    for name, value in headers:
        role = roles[name]
        if role == PASS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == HOST:
            hosts += 1
            head.host = value.rstrip(BLANKS)
        elif role == ASIDE:
            head.aside.append((name.lower(), value.rstrip(BLANKS), len(lines)))
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == LENGTH:
            head.length = _length(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == CONNECTION:
            named += b"," + value.lower()
        elif role != DROP:
            _read_rare(head, role, name, value)
    if head.chunked and head.length is not None:
        raise BadRequest("Content-Length beside Transfer-Encoding")
    if hosts != 1 and (hosts or not head.http10):
        raise BadRequest("there must be exactly one Host header")
    if named:
        head.keep = _apply_connection(named, lines, keep=head.keep)
    return head


def _read_rare(head: RequestHead, role: int, name: bytes, value: bytes) -> None:
    if role == CODING:
        # RFC 9112 §6.1: one coding, chunked, and only in HTTP/1.1; anything else is refused
        if head.chunked or head.http10 or value.strip(BLANKS).lower() != b"chunked":
            raise BadRequest("the only transfer coding read here is one `chunked`, in HTTP/1.1")
        head.chunked = True
    elif role == EXPECT:
        # RFC 9110 §10.1.1: the only expectation there is; it travels so that the upstream decides
        if value.strip(BLANKS).lower() != b"100-continue":
            raise BadRequest("the only expectation known is 100-continue")
        head.expects = not head.http10
        if head.expects:
            head.lines.append(b"%b: %b\r\n" % (name, value))
    elif role == UPGRADE:
        head.upgrade = value.strip(BLANKS).lower()


def read_response(  # noqa: C901 - as above
    line: tuple[int, bytes], headers: Iterable[Header], roles: Roles
) -> ResponseHead:
    """
    Read a final response's head.

    Args:
        line: Status, reason.
        headers: As the parser gave them.
        roles: Which header plays which role.

    Raises:
        UpstreamProtocol: Framing nobody should guess at.
    """
    status, reason = line
    if not 200 <= status <= 599:
        raise UpstreamProtocol(f"status {status} is none")
    head = ResponseHead(status, reason if reason == b"OK" else readable(reason))
    lines = head.lines
    named = b""
    for name, value in headers:
        role = roles[name]
        if role == PASS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == ASIDE:
            head.aside.append((name.lower(), value, len(lines)))
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == LENGTH:
            head.length = _length(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == CONNECTION:
            named += b"," + value.lower()
        elif role == CODING:
            if head.chunked or value.strip(BLANKS).lower() != b"chunked":
                raise UpstreamProtocol("the only transfer coding read here is one `chunked`")
            head.chunked = True
    if head.chunked and head.length is not None:
        raise UpstreamProtocol("Content-Length beside Transfer-Encoding")
    if named:
        _apply_connection(named, lines, keep=True)
    return head


def readable(reason: bytes) -> bytes:
    """
    Return a reason phrase; none instead of one that holds control bytes.
    """
    return reason if REASON.match(reason) else b""


def _length(value: bytes) -> int:
    # RFC 9110 §8.6: 1*DIGIT. llhttp has checked the digits and refused lists and overflows.
    return int(value)


def _apply_connection(named: bytes, lines: list[bytes], *, keep: bool) -> bool:
    """
    Blank the lines that `Connection` names; return whether the connection stays open.
    """
    if named == b",keep-alive":
        return True
    items = {item.strip(BLANKS) for item in named.split(b",")}
    nominated = items - UNTOUCHABLE
    if nominated:
        for index, line in enumerate(lines):
            if line.partition(b":")[0].lower() in nominated:
                lines[index] = b""
    if b"close" in items:
        return False
    return keep or b"keep-alive" in items

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

import enum
from typing import TYPE_CHECKING

from proxy.errors import BadRequest, UpstreamProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Header = tuple[bytes, bytes]

MEMORY = 4096
"""How many spellings of header names one `Roles` remembers; callers choose the spelling."""


class Role(enum.IntEnum):
    """
    What becomes of a header line.
    """

    PASS = 0
    ASIDE = 1  # travels unless its line is blanked; somebody wants to look at it
    DROP = 2  # never travels
    CONNECTION = 3
    LENGTH = 4
    CODING = 5
    HOST = 6
    EXPECT = 7
    UPGRADE = 8


# RFC 9110 §7.6.1 and its older relatives: about one connection, never passed on
HOP_BY_HOP = {
    b"connection": Role.CONNECTION,
    b"keep-alive": Role.DROP,
    b"proxy-connection": Role.DROP,
    b"proxy-authenticate": Role.DROP,
    b"te": Role.DROP,
    b"trailer": Role.DROP,
    b"http2-settings": Role.DROP,
    b"upgrade": Role.UPGRADE,
    b"transfer-encoding": Role.CODING,
    b"content-length": Role.LENGTH,
}
REQUEST_ROLES = HOP_BY_HOP | {b"host": Role.HOST, b"expect": Role.EXPECT}
RESPONSE_ROLES = HOP_BY_HOP

# Names `Connection` may list without taking them away: framing is ours, Host is rewritten anyway
UNTOUCHABLE = frozenset((b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding"))


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
        self, wire: dict[bytes, Role], aside: Callable[[bytes], bool], *, alias: bool = True
    ) -> None:
        super().__init__()
        self._wire = wire
        self._aside = aside
        self._alias = alias

    def __missing__(self, name: bytes) -> int:
        role = self._role(name.lower())
        if len(self) < MEMORY:
            self[name] = role
        return role

    def _role(self, name: bytes) -> int:
        if (role := self._wire.get(name)) is not None:
            return role
        if self._aside(name):
            return Role.ASIDE
        if self._alias and b"_" in name and self._role(name.replace(b"_", b"-").rstrip(b"-")):
            return Role.DROP
        return Role.PASS


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
        upgrade: The protocol asked for, lower case; empty for none.
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
        if role == 0:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.HOST:
            hosts += 1
            head.host = value
        elif role == Role.ASIDE:
            head.aside.append((name.lower(), value, len(lines)))
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.LENGTH:
            head.length = _length(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.CONNECTION:
            named += b"," + value.lower()
        elif role != Role.DROP:
            _read_rare(head, role, name, value)
    if hosts != 1 and (hosts or not head.http10):
        raise BadRequest("there must be exactly one Host header")
    if named:
        head.keep = _apply_connection(named, lines, keep=head.keep)
        if head.upgrade and b"upgrade" not in {item.strip() for item in named.split(b",")}:
            head.upgrade = b""
    else:
        head.upgrade = b""
    return head


def _read_rare(head: RequestHead, role: int, name: bytes, value: bytes) -> None:
    if role == Role.CODING:
        # RFC 9112 §6.1: one coding, chunked, and only in HTTP/1.1; anything else is refused
        if head.chunked or head.http10 or value.lower() != b"chunked":
            raise BadRequest("the only transfer coding read here is one `chunked`, in HTTP/1.1")
        head.chunked = True
    elif role == Role.EXPECT:
        # RFC 9110 §10.1.1: the only expectation there is; it travels so that the upstream decides
        if value.lower() != b"100-continue":
            raise BadRequest("the only expectation known is 100-continue")
        head.expects = not head.http10
        if head.expects:
            head.lines.append(b"%b: %b\r\n" % (name, value))
    elif role == Role.UPGRADE:
        head.upgrade = value.lower()


def read_response(line: tuple[int, bytes], headers: Iterable[Header], roles: Roles) -> ResponseHead:
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
    head = ResponseHead(status, reason)
    lines = head.lines
    named = b""
    for name, value in headers:
        role = roles[name]
        if role == 0:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.ASIDE:
            head.aside.append((name.lower(), value, len(lines)))
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.LENGTH:
            head.length = _length(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        elif role == Role.CONNECTION:
            named += b"," + value.lower()
        elif role == Role.CODING:
            if head.chunked or value.lower() != b"chunked":
                raise UpstreamProtocol("the only transfer coding read here is one `chunked`")
            head.chunked = True
    if named:
        _apply_connection(named, lines, keep=True)
    return head


def _length(value: bytes) -> int:
    # RFC 9110 §8.6: 1*DIGIT. llhttp has checked the digits and refused lists and overflows.
    return int(value)


def _apply_connection(named: bytes, lines: list[bytes], *, keep: bool) -> bool:
    """
    Blank the lines that `Connection` names; return whether the connection stays open.
    """
    if named == b",keep-alive":
        return True
    items = {item.strip() for item in named.split(b",")}
    nominated = items - UNTOUCHABLE
    if nominated:
        for index, line in enumerate(lines):
            if line.partition(b":")[0].lower() in nominated:
                lines[index] = b""
    if b"close" in items:
        return False
    return keep or b"keep-alive" in items

"""
Heads and framing as values: what RFC 9110 and RFC 9112 let in, and what is written out.

The field lines of a head become a `RequestFields` or `ResponseFields`: connection-level ones
(RFC 9110 §7.6.1) are consumed here and never travel, the others are kept in the order they came.
Such a value is frozen once read, because a connection remembers its last one: callers and
upstreams repeat themselves, and equal bytes need no second reading (`wire.plain`).

What is decided here is what a *gateway* must still refuse after a parser has accepted it, and
which role each header plays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.errors import BadRequest, CodingNotSupported, ExpectationFailed, UpstreamProtocol
from proxy.wire.roles import (
    ASIDE,
    CACHE,
    CODING,
    CONNECTION,
    DROP,
    EXPECT,
    HOST,
    LENGTH,
    PASS,
    TOKEN,
    UPGRADE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.wire.roles import Roles

BLANKS = b" \t"
"""Optional white space (RFC 9110 §5.6.3); the parser leaves it behind values."""

VISIBLE = b"!"
"""The least plain value: what is less is empty, or begins with a blank too many."""

# RFC 9110 §8.6: Content-Length = 1*DIGIT; the plain form without leading zeros
LENGTH_FORM = re.compile(rb"(?:0|[1-9][0-9]{0,17})\Z")
# RFC 9112 §4: reason-phrase; the parser lets control bytes through
REASON = re.compile(rb"[\t \x21-\x7e\x80-\xff]*\Z")

# RFC 9110 §9.2.2: a second time does what the first did
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))

# RFC 9112 §6.3: statuses whose response has no body
BODYLESS = frozenset((204, 304))

# Names `Connection` may list without taking them away: framing is ours, Host is rewritten anyway
UNTOUCHABLE = frozenset(
    (b"", b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"upgrade")
)

# RFC 9110 §6.5.1: fields a trailer section must not hold, because they frame, route, authenticate
# or tell how to read the body; all that have a role of their own are left out as well
NO_TRAILERS = frozenset(
    (
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"host",
        b"location",
        b"max-forwards",
        b"pragma",
        b"proxy-authorization",
        b"proxy-status",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"via",
        b"warning",
        b"www-authenticate",
        b"x-api-key",
        b"x-request-id",
    )
)

WEBSOCKET = b"websocket"
"""The one protocol a connection may be upgraded to (RFC 6455)."""


class RequestFields:
    """
    A request's header section, as far as the wire understands it. Shared: do not change.

    Attributes:
        http10: The caller speaks HTTP/1.0.
        host: The Host header's value; empty if HTTP/1.0 sent none.
        lines: Field lines that may travel, without their CRLF, in order.
        aside: Lower-case name, value, index into `lines`, of those its owner wants to look at.
        length: Content-Length in bytes; None without one.
        chunked: The body comes in chunks.
        has_body: Body bytes follow the head (RFC 9112 §6.3).
        keep: The caller may send another request on this connection.
        expects: `Expect: 100-continue` was sent; its line travels on.
        upgrade: `websocket` if an upgrade to it was asked for in due form; else empty.
        note: What the owner has worked out from these fields and wants to find again.
    """

    __slots__ = (
        "aside",
        "chunked",
        "expects",
        "has_body",
        "host",
        "http10",
        "keep",
        "length",
        "lines",
        "note",
        "upgrade",
    )

    def __init__(self, *, http10: bool = False) -> None:
        self.http10 = http10
        self.host = b""
        self.lines: list[bytes] = []
        self.aside: list[tuple[bytes, bytes, int]] = []
        self.length: int | None = None
        self.chunked = False
        self.has_body = False
        self.keep = not http10
        self.expects = False
        self.upgrade = b""
        self.note: Any = None

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


class ResponseFields:
    """
    A response's header section, as far as the wire understands it. Shared: do not change.

    Attributes:
        passed: The field lines that travel, CRLF included, in order.
        aside: Lower-case name and value of those its owner wants to look at; they do not travel.
        cached: The upstream says itself how its answer may be cached.
        length: Content-Length in bytes; None without one.
        chunked: The body comes in chunks.
        close: The upstream closes the connection afterwards.
        upgrade: The `Upgrade` header, lower case; empty without one.
    """

    __slots__ = ("aside", "cached", "chunked", "close", "length", "passed", "upgrade")

    def __init__(self) -> None:
        self.passed = b""
        self.aside: list[tuple[bytes, bytes]] = []
        self.cached = False
        self.length: int | None = None
        self.chunked = False
        self.close = False
        self.upgrade = b""


def read_request(  # noqa: C901, PLR0912 - one branch per role, in the order of how often it comes
    lines: Iterable[bytes], roles: Roles, *, http10: bool = False, plain: bool = False
) -> RequestFields | None:
    """
    Read the header section of a request.

    Args:
        lines: Field lines, `Name: value`, without CRLF.
        roles: Which header plays which role.
        http10: The request is of HTTP/1.0.
        plain: Nobody has looked at the lines' form yet, so whatever is not plain is not judged.

    Returns:
        None if a line is not plain, which only happens if *plain*.

    Raises:
        BadRequest: Framing a gateway must not guess at (RFC 9112 §3.2, §6).
        CodingNotSupported: A transfer coding beside chunked.
        ExpectationFailed: An expectation nobody knows.
    """
    fields = RequestFields(http10=http10)
    kept = fields.lines
    hosts = 0
    named = b""
    items: set[bytes] = set()
    passing, known = roles.passing, roles.get
    for line in lines:
        if line in passing:
            kept.append(line)
            continue
        name, _, value = line.partition(b": ")
        role = known(name)
        if role is None:
            role = roles[name]
        if plain and (value < VISIBLE or role > CACHE):
            return None
        if role == PASS:
            kept.append(line)
            roles.remember(line)
        elif role == HOST:
            hosts += 1
            fields.host = value.rstrip(BLANKS)
            if not fields.host:
                raise BadRequest("the Host header is empty")
        elif role == ASIDE:
            fields.aside.append((name.lower(), value.rstrip(BLANKS), len(kept)))
            kept.append(line)
        elif role == LENGTH:
            if plain and (fields.length is not None or LENGTH_FORM.match(value) is None):
                return None
            fields.length = int(value)  # else the parser has refused all but one row of digits
            kept.append(line)
        elif role == CONNECTION:
            named += b"," + value.lower()
        elif role != DROP:
            _read_rare(fields, role, line, value)
    if hosts != 1 and (hosts or not http10):
        if plain:
            return None
        raise BadRequest("there must be exactly one Host header")
    if fields.chunked and fields.length is not None:
        raise BadRequest("Content-Length beside Transfer-Encoding")
    fields.has_body = fields.chunked or bool(fields.length)
    if named == b",keep-alive":
        fields.keep = True
    elif named:
        items = _apply_connection(fields, named)
    if fields.upgrade and (b"upgrade" not in items or fields.has_body):
        fields.upgrade = b""  # RFC 9110 §7.8: what the connection does not nominate is no upgrade
    return fields


def _read_rare(fields: RequestFields, role: int, line: bytes, value: bytes) -> None:
    value = value.strip(BLANKS).lower()
    if role == CODING:
        # RFC 9112 §6.1: one coding, chunked, last and only in HTTP/1.1
        if fields.chunked or fields.http10 or not value.endswith(b"chunked"):
            raise BadRequest("the only transfer coding read here is one `chunked`, in HTTP/1.1")
        if value != b"chunked":
            before = [item.strip(BLANKS) for item in value[: -len(b"chunked")].split(b",")]
            if before.pop() or b"chunked" in before or not all(map(TOKEN.match, before)):
                raise BadRequest("the transfer codings are no list that ends in `chunked`")
            raise CodingNotSupported("a transfer coding beside `chunked`")
        fields.chunked = True
    elif role == EXPECT:
        # RFC 9110 §10.1.1: the only expectation there is; it travels so that the upstream decides
        if value != b"100-continue":
            raise ExpectationFailed("the only expectation known is 100-continue")
        fields.expects = not fields.http10
        if fields.expects:
            fields.lines.append(line)
    elif role == UPGRADE:
        fields.upgrade = WEBSOCKET if value == WEBSOCKET and not fields.http10 else b""
    else:
        raise BadRequest("a header's name is no token")


def _apply_connection(fields: RequestFields, named: bytes) -> set[bytes]:
    """
    Take away the lines that `Connection` names, and see whether the connection stays open.

    Returns:
        What it names.
    """
    items = {item.strip(BLANKS) for item in named.split(b",")}
    nominated = items - UNTOUCHABLE
    if nominated:
        lines = fields.lines
        for index, line in enumerate(lines):
            if line.partition(b":")[0].lower() in nominated:
                lines[index] = b""
    if b"close" in items:
        fields.keep = False
    elif b"keep-alive" in items:
        fields.keep = True
    return items


def read_response(  # noqa: C901, PLR0912 - one branch per role, in the order of how often it comes
    lines: Iterable[bytes], roles: Roles, status: int, *, http10: bool = False, plain: bool = False
) -> ResponseFields | None:
    """
    Read the header section of a response.

    Args:
        lines: As for `read_request`.
        roles: Which header plays which role.
        status: The response's.
        http10: The response is of HTTP/1.0.
        plain: As for `read_request`.

    Returns:
        None if a line is not plain, which only happens if *plain*.

    Raises:
        UpstreamProtocol: Framing nobody should guess at.
    """
    fields = ResponseFields()
    kept: list[bytes] = []
    named = b""
    passing, known = roles.passing, roles.get
    for line in lines:
        if line in passing:
            kept.append(line)
            continue
        name, _, value = line.partition(b": ")
        role = known(name)
        if role is None:
            role = roles[name]
        if plain and (value < VISIBLE or role > CACHE):
            return None
        if role == PASS:
            kept.append(line)
            roles.remember(line)
        elif role == ASIDE:
            fields.aside.append((name.lower(), value.rstrip(BLANKS)))
        elif role == LENGTH:
            if plain and (fields.length is not None or LENGTH_FORM.match(value) is None):
                return None
            fields.length = int(value)
            if status >= 200 and status != 204:  # RFC 9110 §8.6: these have none
                kept.append(line)
        elif role == CACHE:
            fields.cached = True
            kept.append(line)
        elif role == CONNECTION:
            named += b"," + value.lower()
        elif role == CODING:
            if fields.chunked or http10 or value.strip(BLANKS).lower() != b"chunked":
                raise UpstreamProtocol("the only transfer coding read here is one `chunked`")
            fields.chunked = True
        elif role == UPGRADE:
            fields.upgrade = value.strip(BLANKS).lower()
    if fields.chunked and fields.length is not None:
        raise UpstreamProtocol("Content-Length beside Transfer-Encoding")
    if named and named != b",keep-alive":
        items = {item.strip(BLANKS) for item in named.split(b",")}
        fields.close = b"close" in items
        if nominated := items - UNTOUCHABLE:
            kept = [line for line in kept if line.partition(b":")[0].lower() not in nominated]
    kept.append(b"")
    fields.passed = b"\r\n".join(kept)
    return fields


def readable(reason: bytes) -> bytes:
    """
    Return a reason phrase; none instead of one that holds control bytes.
    """
    return reason if REASON.match(reason) else b""


def trailers(fields: Iterable[tuple[bytes, bytes]], roles: Roles) -> bytes:
    """
    Return the trailer section to send on, without its final empty line (RFC 9110 §6.5).

    Args:
        fields: Name and value as the parser gave them.
        roles: Which header plays which role in a head of the same direction.
    """
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in fields
        if roles[name] == PASS and name.lower() not in NO_TRAILERS and value.isascii()
    )

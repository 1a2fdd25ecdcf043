"""
A request's header section as a value: what RFC 9110 and RFC 9112 let in, and what travels.

Field lines become a `RequestFields`: connection-level ones (RFC 9110 §7.6.1) are consumed here and
never travel, the others are kept in the order they came. Such a value is frozen once read, because
a connection remembers its last one: callers repeat themselves, and equal bytes need no second
reading (`wire.plain`).

What is decided here is what a *gateway* must still refuse after a parser has accepted it, and
which role each header plays. `wire.response` is its counterpart; the loop over the lines stands in
both, because a call per line is what it would cost to share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.errors import BadRequest, CodingNotSupported, ExpectationFailed
from proxy.wire.message import BLANKS, LENGTH_FORM, UNTOUCHABLE, VISIBLE, WEBSOCKET
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

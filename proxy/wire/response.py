"""
A response's head as a value: what RFC 9110 and RFC 9112 let in, and what travels.

As `wire.request` for requests, whose rules on frozen values and connection-level lines hold here
too. Most of a head travels as it came, so that it is kept as the bytes to send (`start`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import UpstreamProtocol
from proxy.wire.message import BLANKS, LENGTH_FORM, UNTOUCHABLE, VISIBLE
from proxy.wire.roles import (
    ASIDE,
    CACHE,
    CODING,
    CONNECTION,
    LENGTH,
    PASS,
    UPGRADE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.wire.roles import Roles

# RFC 9112 §4: reason-phrase; the parser lets control bytes through
REASON = re.compile(rb"[\t \x21-\x7e\x80-\xff]*\Z")


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


class Response:
    """
    A response's head. Shared: do not change.

    Attributes:
        status: 200 to 599, or 101.
        fields: Its header section.
        start: Status line and field lines as they go to the caller, CRLF included.
    """

    __slots__ = ("fields", "start", "status")

    def __init__(self, status: int, reason: bytes, fields: ResponseFields) -> None:
        self.status = status
        self.fields = fields
        self.start = b"HTTP/1.1 %d %b\r\n%b" % (status, reason, fields.passed)


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

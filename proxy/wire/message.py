"""
What requests and responses have in common, as RFC 9110 and RFC 9112 have it.

Heads are read in `wire.request` and `wire.response`; trailers, which both may have, are read here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.wire.roles import PASS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.wire.roles import Roles

BLANKS = b" \t"
"""Optional white space (RFC 9110 §5.6.3); the parser leaves it behind values."""

VISIBLE = b"!"
"""The least plain value: what is less is empty, or begins with a blank too many."""

# RFC 9110 §8.6: Content-Length = 1*DIGIT; the plain form without leading zeros
LENGTH_FORM = re.compile(rb"(?:0|[1-9][0-9]{0,17})\Z")

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

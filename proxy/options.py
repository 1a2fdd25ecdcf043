"""
OPTIONS that ask about the gateway itself, or that count the gateways they pass.

Source: RFC 9110 §9.3.7, §7.6.2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.core.headers import MAX_FORWARDS

if TYPE_CHECKING:
    from proxy.wire.request import RequestFields

ALLOWED = (
    b"HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
    b"Cache-Control: no-store\r\n"
)
"""The head of the answer, without its end."""

MOST_DIGITS = 9
"""Of a Max-Forwards that is counted; a longer one is passed on as it is."""


def for_the_gateway(target: bytes, fields: RequestFields) -> bool:
    """
    Say whether an OPTIONS asks about the gateway, not about what is behind it.
    """
    return target == b"*" or fields.field(MAX_FORWARDS) == b"0"


def count_down(lines: bytes, fields: RequestFields) -> bytes:
    """
    Return the header lines of an OPTIONS with its Max-Forwards, if it has one, one less.
    """
    left = fields.field(MAX_FORWARDS)
    if left is None or not left.isdigit() or len(left) > MOST_DIGITS:
        return lines
    return re.sub(rb"(?im)^(max-forwards: *)[0-9]+", rb"\g<1>%d" % (int(left) - 1), lines)

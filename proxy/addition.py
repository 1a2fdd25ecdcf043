"""
What the gateway adds to an upstream's response, and what it notes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.headers import REQUEST_ID

if TYPE_CHECKING:
    from proxy.known import Known
    from proxy.wire.response import Response

CACHEABLE: Final = frozenset((b"GET", b"HEAD"))
"""Methods whose answers caches keep without being told to (RFC 9111 §3)."""

PRIVATE: Final = b"Cache-Control: private\r\n"
"""RFC 9111 §3.5: to a cache before us the answer looks like one to nobody in particular."""

SWITCHING_PROTOCOLS: Final = 101


def upstream_id(response: Response, request_id: str) -> bytes:
    """
    Return the upstream's own name for the request; empty if it has none but ours.
    """
    named = b""
    for name, value in response.fields.aside:
        if name == REQUEST_ID and value != request_id.encode():
            named = value
    return named


def needs_no_mark(response: Response, known: Known, method: bytes) -> bool:
    """
    Say whether a cache before us needs no telling that the response is for this caller alone: its
    upstream says how it may be cached, the caller brought an Authorization, or caches do not keep it.
    """
    if response.fields.cached or known.brought or method not in CACHEABLE:
        return True
    return response.status == SWITCHING_PROTOCOLS

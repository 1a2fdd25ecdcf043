"""
What the gateway adds to an upstream's response, and what it notes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from proxy.core.headers import REQUEST_ID
from proxy.core.location import LOCATIONS
from proxy.wire.echo import blot

if TYPE_CHECKING:
    from proxy.core.location import WayBack
    from proxy.core.token import Token
    from proxy.generation import Lane
    from proxy.house import House
    from proxy.known import Known
    from proxy.wire.response import Response

CACHEABLE: Final = frozenset((b"GET", b"HEAD"))
"""Methods whose answers caches keep without being told to (RFC 9111 §3)."""

PRIVATE: Final = b"Cache-Control: private\r\n"
"""RFC 9111 §3.5: to a cache before us the answer looks like one to nobody in particular."""

SWITCHING_PROTOCOLS: Final = 101

SHORTEST_WATCHED: Final = 16
"""Characters of a token that is looked for in responses. Real ones are far longer, and what is
shorter may stand there by chance (rule of ours)."""

BEFORE_TOKEN: Final = len(b"Authorization: Bearer ")
"""Bytes before the token in its header line."""


def watched(token: Token) -> tuple[bytes, ...]:
    """
    Return what of a token must not come back in a response.
    """
    text = token.header[BEFORE_TOKEN:-2]
    return (text,) if len(text) >= SHORTEST_WATCHED else ()


def location_lines(response: Response, way_back: WayBack) -> bytes:
    """
    Return the lines that say where something is, made to lead through the proxy where they led to
    its upstream.
    """
    return b"".join(
        b"%b: %b\r\n" % (LOCATIONS[name], way_back.rewritten(value))
        for name, value in response.fields.aside
        if name in LOCATIONS
    )


class Timed(Protocol):
    """
    A request under way, as far as it matters here (see `gateway.Request`).
    """

    started: float
    forwarded: float
    token_from: str | None
    token_wait: float


def timing_line(request: Timed, now: float) -> bytes:
    """
    Return the line that says what took how long until now, in milliseconds.

    Source: W3C Server Timing §3 (`dur`, `desc`).

    Args:
        request: It has been sent upstream.
        now: The time, by the clock that its times are of.
    """
    spans = [f"authproxy;dur={(now - request.started) * 1e3:.1f}"]
    if request.token_from is not None:
        spans.append(f"token;dur={request.token_wait * 1e3:.1f};desc={request.token_from}")
    spans.append(f"upstream;dur={(now - request.forwarded) * 1e3:.1f}")
    return f"Server-Timing: {', '.join(spans)}\r\n".encode()


def upstream_id(response: Response, request_id: str, words: tuple[bytes, ...] = ()) -> bytes:
    """
    Return the upstream's own name for the request; empty if it has none but ours.

    Args:
        response: The upstream's.
        request_id: Our name for the request.
        words: What must not be repeated of it.
    """
    named = b""
    for name, value in response.fields.aside:
        if name == REQUEST_ID and value != request_id.encode():
            named = blot(words, value)
    return named


def needs_no_mark(response: Response, known: Known, method: bytes) -> bool:
    """
    Say whether a cache before us needs no telling that the response is for this caller alone: its
    upstream says how it may be cached, the caller brought an Authorization, or caches do not keep it.
    """
    if response.fields.cached or known.brought or method not in CACHEABLE:
        return True
    return response.status == SWITCHING_PROTOCOLS


def tell_echo(house: House, lane: Lane, request_id: str) -> None:
    """
    Count that a response repeats the token, and tell of it unless the route's upstream did a moment
    ago too.
    """
    lane.metrics.echoes += 1
    told = (lane.metrics.name, lane.plan.service_user, lane.plan.token_echo)
    suppressed = house.echoes.suppressed(told)
    if suppressed is None:
        return
    route, user, action = told
    house.log.warning(
        "token.echoed",
        request_id=request_id,
        route=route,
        service_user=user,
        action=action,
        suppressed=suppressed,
    )

"""
What is kept of a request that has ended: its counts, its one line, and if it failed, that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from proxy.core.target import shown_path
from proxy.observe.access import milliseconds
from proxy.wire.turn import CALLER_LEFT

if TYPE_CHECKING:
    from proxy.core.token import Token
    from proxy.errors import ProxyError
    from proxy.generation import Errand, Generation, Lane
    from proxy.known import Known
    from proxy.observe.cells import RouteMetrics
    from proxy.wire.downstream import Downstream


class Ended(Protocol):
    """
    A request that has ended, as far as it matters here (see `gateway.Request`).
    """

    caller: Downstream
    caller_name: str | None
    errand: Errand | None
    error: ProxyError | None
    generation: Generation
    known: Known
    lane: Lane | None
    method: bytes
    target: bytes
    request_id: str
    trace: str | None
    upstream_id: bytes
    started: float
    forwarded: float
    token: Token | None
    token_from: str | None
    token_wait: float
    replayed: bool
    status: int
    upstream_status: int
    bytes_in: int
    bytes_out: int


def account(request: Ended, unrouted: RouteMetrics, now: float) -> dict[str, Any]:
    """
    Count a request and return its line, keys in the contract's order; note its failure.

    Args:
        request: It has ended.
        unrouted: Counts what came to no route.
        now: The time, by the clock that its times are of.
    """
    duration = now - request.started
    forwarded = now - request.forwarded if request.forwarded else 0.0
    errand, lane = request.errand, request.lane
    status, seen = request.status, request.upstream_status
    why = None
    if request.error is not None or status in (401, CALLER_LEFT):
        why = _why(request)
    line = {
        "request_id": request.request_id,
        "trace_id": request.trace,
        "client": request.caller.peer,
        "caller": request.caller_name,
        "method": None,
        "path": None,
        "route": None,
        "service_user": None,
        "upstream": None,
        "status": status,
        "upstream_status": seen or None,
        "error": why,
        "token": request.token_from,
        "replayed": request.replayed,
        "bytes_in": request.bytes_in,
        "bytes_out": request.bytes_out,
        "duration_ms": int(duration * 1e6) / 1e3,
        "token_ms": 0.0,
        "upstream_ms": int(forwarded * 1e6) / 1e3 if request.forwarded else None,
    }
    if errand is not None and lane is not None:
        line["method"] = method = errand.method
        line["path"] = errand.path
        line["route"] = errand.route
        line["service_user"] = lane.plan.service_user
        line["upstream"] = lane.plan.upstream
        metrics = lane.metrics
        metrics.done(method, status, duration, seen, forwarded)
        if request.token_from is not None:
            metrics.token_results[request.token_from] += 1
    else:
        line["method"] = method = request.method.decode("ascii")
        line["path"] = shown_path(request.target)
        unrouted.done(method, status, duration, 0, 0.0)
    if request.token_wait:
        line["token_ms"] = milliseconds(request.token_wait)
    if request.upstream_id:
        line["upstream_request_id"] = request.upstream_id[:128].decode("ascii", "replace")
    if why is not None or status >= 500:
        request.generation.metrics.recent.note(line, now)
    return line


def _why(request: Ended) -> str | None:
    error = request.error
    if error is not None:
        return f"{error.code}: {error.reason}"
    if request.status == 401 and request.token is not None:
        return "token_refused: the upstream refused the service user's token"
    if request.status == CALLER_LEFT and request.upstream_status != CALLER_LEFT:
        return "caller_left"
    return None

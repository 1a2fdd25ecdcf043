"""
The request again, told of in a trace (`observe.traces`).

Without traces none of this is in use, so that it costs nothing. A request that is not told of keeps
its caller's `traceparent` as it came, or gets one that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from proxy.audited import AuditedRequest
from proxy.core.headers import TRACE_PARENT
from proxy.core.target import shown_path
from proxy.gateway import Request
from proxy.observe.cells import METHODS, OTHER
from proxy.observe.traces import Span, Spot
from proxy.wire.turn import CALLER_LEFT

if TYPE_CHECKING:
    from proxy.core.token import Token
    from proxy.gateway import Gateway
    from proxy.generation import Errand, Lane
    from proxy.observe.traces import Traces
    from proxy.wire.downstream import Downstream
    from proxy.wire.request import RequestFields

SAMPLED: Final = 1
"""W3C Trace Context §3.2.2.5.1: the flag of a trace that is recorded."""

FLAGS: Final = slice(53, 55)
PARENT: Final = slice(36, 52)
"""Where a traceparent has them, whatever its version."""


Attributes: TypeAlias = "dict[str, str | int | float | bool]"


class Leg(NamedTuple):
    """
    One time the request was sent upstream.

    Attributes:
        spot: Its span's ids.
        began: When, in boot-clock seconds.
        ended: When it was over; 0 while it is not.
        status: What the upstream answered; 0 for nothing.
    """

    spot: Spot
    began: float
    ended: float = 0.0
    status: int = 0


class TracedRequest(Request):
    """
    A request that may be told of.

    Attributes:
        told: It is told of.
        encrypted: It came by TLS; of those that are told of alone.
        spot: Its span's ids; the span's is 0 if it is not told of.
        legs: The times it was sent upstream.
        mint: The mint it waited for.
    """

    __slots__ = ("encrypted", "legs", "mint", "spot", "told")

    def __init__(
        self,
        gateway: Gateway,
        caller: Downstream,
        method: bytes,
        target: bytes,
        fields: RequestFields,
    ) -> None:
        super().__init__(gateway, caller, method, target, fields)
        traces = traces_of(gateway)
        known = self.known
        if known.trace is None:
            trace = traces.trace()
            self.trace = f"{trace:032x}"
            self.told = traces.sampled(trace)
        else:
            trace = int(known.trace, 16)
            self.told = bool(int(known.parent[FLAGS], 16) & SAMPLED)
        self.spot = Spot(trace, traces.span() if self.told else 0)
        self.legs: tuple[Leg, ...] = ()
        self.mint: Spot | None = None
        self.encrypted = self.told and encrypted(caller)

    def _head(self, lane: Lane, token: Token | None) -> bytes:
        """
        Return the head that goes upstream, as part of the trace.
        """
        head = super()._head(lane, token)
        if self.told:
            self._set_out(lane, token)
        own_affair = TRACE_PARENT in lane.plan.strip
        if own_affair or (not self.told and self.known.trace is not None):
            return head
        trace = self.spot.trace
        span = self.legs[-1].spot.span if self.told else traces_of(self.gateway).span()
        line = b"traceparent: 00-%032x-%016x-%02x\r\n" % (trace, span, self.told)
        return with_line(head, line, self._own_line())

    def _set_out(self, lane: Lane, token: Token | None) -> None:
        """
        Note that the request is sent now, and which mint brought its token if it waited for one.
        """
        now = self.gateway.now()
        traces = traces_of(self.gateway)
        if self.legs:
            status = 0 if self.response is None else self.response.status
            self.legs = (*self.legs[:-1], self.legs[-1]._replace(ended=now, status=status))
        self.legs += (Leg(Spot(self.spot.trace, traces.span()), now),)
        if token is not None and self.token_from == "minted":
            self.mint = traces.minted(lane.plan.service_user, token) or self.mint

    def _own_line(self) -> bytes:
        """
        Return the caller's traceparent line as it travels; empty if none does.
        """
        if self.known.trace is None:
            return b""
        fields = self.fields
        return next(fields.lines[at] for name, _, at in fields.aside if name == TRACE_PARENT)

    def finished(self) -> None:
        """
        Count the request, write its line, and tell of it.
        """
        super().finished()
        if not self.told:
            return
        gateway, lane = self.gateway, self.lane
        traces, now = traces_of(gateway), gateway.now()
        if self.legs:
            ended = self.legs[-1]._replace(ended=now, status=self.upstream_status)
            self.legs = (*self.legs[:-1], ended)
        elif lane is not None and self.token is None and self.error is not None:
            self.mint = traces.failed(lane.plan.service_user, self.started)
        traces.put(spans(self, traces.wall(0.0), now))


class TracedAuditedRequest(AuditedRequest, TracedRequest):
    """
    A request with both.
    """

    __slots__ = ()


def request_class(*, audited: bool, traced: bool) -> type[Request]:
    """
    Return what requests are, by what is to be known of them.
    """
    if traced:
        return TracedAuditedRequest if audited else TracedRequest
    return AuditedRequest if audited else Request


def traces_of(gateway: Gateway) -> Traces:
    """
    Return what the gateway's requests are told of to.
    """
    assert gateway.traces is not None
    return gateway.traces


def encrypted(caller: Downstream) -> bool:
    """
    Say whether the caller came by TLS.
    """
    transport = caller.transport
    return transport is not None and transport.get_extra_info("sslcontext") is not None


def with_line(head: bytes, line: bytes, old: bytes) -> bytes:
    """
    Return a head with a line in the place of an old one; at its end if there is none.

    Args:
        head: Up to and with its empty line.
        line: With its CRLF.
        old: Without; empty for none.
    """
    if not old:
        return head[:-2] + line + b"\r\n"
    return head.replace(b"\r\n%b\r\n" % old, b"\r\n" + line, 1)


def spans(request: TracedRequest, zero: float, now: float) -> tuple[Span, ...]:
    """
    Return what is told of a request that has ended: the caller's side first.

    Args:
        request: It has ended.
        zero: When the boot clock began, in seconds since the epoch.
        now: The time, in boot-clock seconds.
    """
    name = request.method.decode("ascii")
    method = name if name in METHODS else OTHER
    errand, lane, status = request.errand, request.lane, request.status
    known = request.known
    whole = Span(
        f"{method} {errand.route}" if errand is not None and lane is not None else method,
        "server",
        request.spot,
        zero + request.started,
        zero + now,
        _server_attributes(request, method),
        parent=0 if known.trace is None else int(known.parent[PARENT], 16),
        remote=True,
        links=() if request.mint is None else (request.mint,),
        error=_trouble(request) if status >= 500 else "",
    )
    if errand is None or lane is None:
        return (whole,)
    legs = (
        Span(
            method,
            "client",
            leg.spot,
            zero + leg.began,
            zero + leg.ended,
            {"http.request.method": method, **_client_attributes(request, errand, lane, leg)},
            parent=request.spot.span,
            error=_leg_trouble(request, leg),
        )
        for leg in request.legs
    )
    return (whole, *legs)


def _server_attributes(request: TracedRequest, method: str) -> Attributes:
    errand, lane = request.errand, request.lane
    said: Attributes = {
        "http.request.method": method,
        "http.response.status_code": request.status,
        "url.scheme": "https" if request.encrypted else "http",
        "authproxy.request_id": request.request_id,
        "authproxy.replayed": request.replayed,
    }
    path = shown_path(request.target) if errand is None else errand.path
    if path is not None:
        said["url.path"] = path
    if method == OTHER:
        said["http.request.method_original"] = request.method.decode("ascii")
    address, _, port = request.caller.peer.rpartition(":")
    if address and port.isdecimal():
        said["client.address"] = address
        said["client.port"] = int(port)
    if errand is not None and lane is not None:
        said["http.route"] = errand.route
        said["authproxy.service_user"] = lane.plan.service_user
    if request.caller_name is not None:
        said["authproxy.caller"] = request.caller_name
    if request.token_from is not None:
        said["authproxy.token"] = request.token_from
    if trouble := _trouble(request):
        said["error.type"] = trouble
    return said


def _client_attributes(request: TracedRequest, errand: Errand, lane: Lane, leg: Leg) -> Attributes:
    goal = errand.line.partition(b" ")[2].decode("ascii", "replace")
    where = lane.plan.upstream
    authority = where.partition("://")[2]
    host, _, port = authority.rpartition(":")
    if not host or not port.isdecimal():
        host, port = authority, "443" if where.startswith("https:") else "80"
    said: Attributes = {
        "server.address": host.strip("[]"),
        "server.port": int(port),
        "url.full": f"{where}{goal}",
    }
    if leg.status:
        said["http.response.status_code"] = leg.status
    if (again := request.legs.index(leg)) > 0:
        said["http.request.resend_count"] = again
    if trouble := _leg_trouble(request, leg):
        said["error.type"] = trouble
    return said


def _trouble(request: TracedRequest) -> str:
    """
    Return what went wrong with a request, in a word of few; empty if nothing did.
    """
    if request.error is not None:
        return request.error.code
    if request.status == CALLER_LEFT and request.upstream_status != CALLER_LEFT:
        return "caller_left"
    return str(request.status) if request.status >= 500 else ""


def _leg_trouble(request: TracedRequest, leg: Leg) -> str:
    if leg.status >= 400:
        return str(leg.status)
    if leg is request.legs[-1] and request.error is not None:
        return request.error.code
    return ""

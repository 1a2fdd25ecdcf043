"""
The request, from top to bottom: decide → token → forward → (401 → renew → replay) → account.

Theory of operation
-------------------
A `Request` is one exchange between a caller's connection and an upstream's (`wire.exchange`); its
methods stand in the order they happen. If the token is at hand and a connection to the upstream is
idle, everything up to the first byte upstream happens in the callback that read the request's
head: no task, no future. What has to wait (a mint, a connection, a renewal after a 401) goes on in
a task that belongs to the gateway and comes back to the same methods.

Nothing goes upstream before there is a decision and a token, and no answer of ours for token
trouble is ever a 401, which clients read as "log in".

What follows from a header section alone (`Known`) is noted on it, and what follows from a request
line alone is remembered by the generation: callers repeat themselves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.account import account
from proxy.addition import (
    PRIVATE,
    location_lines,
    needs_no_mark,
    tell_echo,
    timing_line,
    upstream_id,
    watched,
)
from proxy.admission import Admission
from proxy.core.decide import id_line
from proxy.core.problem import problem
from proxy.core.target import check_query
from proxy.errors import (
    BadRequest,
    BodyTooLarge,
    CallerCheckUnavailable,
    NoRoute,
    Overloaded,
    ProxyError,
    RequestRefused,
    UpstreamConnect,
    UpstreamProtocol,
)
from proxy.house import House
from proxy.known import Known
from proxy.options import ALLOWED, count_down, for_the_gateway
from proxy.tasks import spawn
from proxy.wire.message import IDEMPOTENT

if TYPE_CHECKING:
    from proxy.core.rate import Gate, Meter
    from proxy.core.token import Token
    from proxy.generation import Lane
    from proxy.wire.downstream import Downstream
    from proxy.wire.limits import Limits
    from proxy.wire.request import RequestFields
    from proxy.wire.response import Response


class Gateway(House):
    """
    Makes a `Request` of each head that has come.

    Attributes:
        request_class: What it makes; may be set.
    """

    request_class: type[Request]

    def exchange(
        self, caller: Downstream, method: bytes, target: bytes, fields: RequestFields
    ) -> Request:
        """
        Take a request whose head is complete.
        """
        return self.request_class(self, caller, method, target, fields)


class Request(Admission):
    """
    The story of one request.
    """

    __slots__ = (
        "begun",
        "echo_told",
        "foreign",
        "forwarded",
        "lane",
        "meters",
        "query",
        "replayed",
        "token",
        "token_from",
        "token_wait",
        "trace",
        "upstream_id",
    )

    def __init__(
        self,
        gateway: Gateway,
        caller: Downstream,
        method: bytes,
        target: bytes,
        fields: RequestFields,
    ) -> None:
        super().__init__(caller, method, target, fields, gateway.now())
        self.gateway: Gateway = gateway
        self.generation = generation = gateway.generation
        known = fields.note
        if known is None or known.generation is not generation:
            known = fields.note = Known(generation, fields, caller.listener)
        self.known = known
        self.trace = known.trace
        self.request_id = known.request_id or gateway.request_ids()
        self.lane: Lane | None = None
        self.errand = None
        self.is_forward = False
        self.caller_name = None
        self.asked = self.doubt = None
        self.token: Token | None = None
        self.token_from: str | None = None
        self.token_wait = 0.0
        self.begun = False
        self.meters: tuple[Meter, ...] = ()  # to be left at the end
        self.query = b""
        self.foreign = False  # the caller's own Authorization goes up
        self.replayed = False
        self.echo_told = False  # its response repeats the token, and that is counted
        self.upstream_id = b""  # the upstream's own name for the request
        self.forwarded = 0.0

    # 1. Decide

    def begin(self) -> None:
        """
        Find the route, see whether this caller may use it, and take the token if it is at hand.
        """
        if not self.begun:
            self.begun = True
            self.gateway.metrics.active += 1
        try:
            lane = self._decide()
            if lane is not None and self.generation.gate is not None:
                self._enter(lane, self.generation.gate)
        except ProxyError as error:
            harmless = isinstance(error, (RequestRefused, CallerCheckUnavailable))
            if not harmless or error.status in (400, 405, 413):
                self.keep = False
            self.fail(error)
            return
        except Exception as bug:  # noqa: BLE001 - one request must not take the loop's callback down
            self._bug(bug)
            return
        if lane is None:
            return
        slot = lane.slot
        token = slot.token
        moment = self.started if self.asked is None else self.gateway.now()
        if self.foreign:
            self.send(lane, None)
        elif token is not None and moment < token.serve_until:
            slot.used = True
            self.token_from = "static" if token.kind == "static" else "cached"
            if slot.stale:
                self.token_from = "stale"
            self.send(lane, token)
        else:
            _ = spawn(self.gateway.tasks, self._wait_for_token(lane), name="token")

    def _decide(self) -> Lane | None:
        """
        Return the route's lane; None if the request is answered here, or begins once more when it
        is known who calls.
        """
        fields, generation, known = self.fields, self.generation, self.known
        if known.unwelcome or self.target[:1] != b"/":
            self._pass_door()
        guarded = generation.entrances[self.caller.listener].rule is not None
        if self.method == b"OPTIONS" and for_the_gateway(self.target, fields):
            self._answer_options(guarded=guarded)
            return None
        path, mark, query = self.target.partition(b"?")
        try:
            find = generation.forwarded if self.is_forward else generation.errand
            self.errand = errand = find(self.method, path, fields)
        except (NoRoute, BadRequest):
            if guarded and not self._admit(None):  # which routes there are is not for everybody
                return None
            raise
        if mark:
            check_query(query)
            self.query = mark + query
        self.lane = lane = errand.lane
        plan = lane.plan
        gate = generation.gate
        asks = guarded or plan.callers is not None or (gate is not None and gate.personal)
        if asks and not self._admit(plan.callers):
            return None
        if known.loops:
            raise UpstreamConnect("the upstream leads back to this proxy")
        if known.brought and plan.authorization != "replace":
            self.foreign = known.travels(plan.authorization)
        limits = self.gateway.limits
        if limits.body or limits.in_flight:
            self._keep_within(limits)
        return lane

    def _keep_within(self, limits: Limits) -> None:
        length = self.fields.length
        if limits.body and length and length > limits.body:
            raise BodyTooLarge(f"the body is larger than {limits.body} bytes")
        if limits.in_flight and self.gateway.metrics.active > limits.in_flight:
            raise Overloaded(f"{limits.in_flight} requests are being served", retry_after=1)

    def _enter(self, lane: Lane, gate: Gate) -> None:
        """
        Take what the caller, or its listener, and the upstream still allow; left in `finished`.
        """
        now = self.started if self.asked is None else self.gateway.now()
        self.meters = gate.enter(self.caller_name, self.caller.listener, lane.meter, now)

    def _answer_options(self, *, guarded: bool) -> None:
        """
        Say what this gateway can do, to whoever may use the listener.
        """
        if guarded and not self._admit(None):
            return
        self.respond(ALLOWED + id_line(self.request_id), b"", status=204)

    # 2. Token

    async def _wait_for_token(self, lane: Lane) -> None:
        """
        Wait for a mint. The mint belongs to the keeper: it goes on if the caller leaves.
        """
        try:
            token = await self.generation.keeper.get(lane.plan.service_user)
        except ProxyError as error:
            self.token_wait = self.gateway.now() - self.started
            self.fail(error)
            return
        except Exception as bug:  # noqa: BLE001 - one request must not take the loop's callback down
            self._bug(bug)
            return
        self.token_wait = self.gateway.now() - self.started
        self.token_from = "minted"
        if not self.done:
            self.send(lane, token)

    # 3. Forward

    def send(self, lane: Lane, token: Token | None) -> None:
        """
        Send the request upstream as the route says, with this token; None for the caller's own.
        """
        self.token = token
        if token is not None and lane.plan.token_echo != "allow":
            self.watched = watched(token)
        self.forwarded = self.gateway.now() if self.token_wait or self.asked else self.started
        self.forward(lane.pool, self._head(lane, token), lane.timeouts)

    def _head(self, lane: Lane, token: Token | None) -> bytes:
        known, errand = self.known, self.errand
        assert errand is not None
        lines = known.lines if known.lane is lane else known.lines_for(lane, self.fields)
        if self.method == b"OPTIONS":
            lines = count_down(lines, self.fields)
        return b"%b%b%b%b%b%b%b%b" % (
            errand.line,
            self.query,
            errand.host,
            lines,
            b"" if token is None else token.header,
            lane.plan.set_lines,
            b"" if known.names_itself else id_line(self.request_id),
            known.last,
        )

    # 4. Answer, or once more with a new token

    def answered(self, response: Response) -> bytes | None:
        """
        Pass the response on, or hold a 401 that a new token may cure.
        """
        if response.status == 401 and self.lane is not None and self.token is not None:
            if self._curable(self.lane):
                _ = spawn(self.gateway.tasks, self._renew(self.lane, self.token), name="renew")
                return None
            if self.lane.plan.replay != "never" and not self.replayed:
                # Nothing cures this request, but the next one need not fare the same
                _ = spawn(self.gateway.tasks, self._report(self.lane, self.token), name="report")
        return self._lines(response)

    def _lines(self, response: Response) -> bytes:
        """
        Return the lines to add to the response.
        """
        named = upstream_id(response, self.request_id, self.watched)
        self.upstream_id = named or self.upstream_id
        lines = id_line(self.request_id)
        if self.lane is not None and self.errand is not None:
            plan, way_back = self.lane.plan, self.errand.way_back
            if way_back is not None:
                lines += location_lines(response, way_back)
            if plan.server_timing:
                lines += timing_line(self, self.gateway.now())
        return lines if needs_no_mark(response, self.known, self.method) else lines + PRIVATE

    def echoed(self) -> ProxyError | None:
        """
        Tell once that the response repeats the token, and block it if its route says so.
        """
        lane = self.lane
        assert lane is not None
        if not self.echo_told:
            self.echo_told = True
            tell_echo(self.gateway, lane, self.request_id)
        if lane.plan.token_echo == "block":
            return UpstreamProtocol("token_echoed: the response repeats the service user's token")
        return None

    def _curable(self, lane: Lane) -> bool:
        policy = lane.plan.replay
        if self.replayed or policy == "never" or not self.replayable:
            return False
        return policy == "always" or lane.plan.own_api or self.method in IDEMPOTENT

    async def _report(self, lane: Lane, refused: Token) -> None:
        """
        Tell the keeper of a refused token; it knows what that means for the next request.
        """
        with suppress(ProxyError):  # the keeper has said why
            await self.generation.keeper.renew(lane.plan.service_user, refused)

    async def _renew(self, lane: Lane, refused: Token) -> None:
        """
        Have the refused token replaced, and send the request once more if there is a point in it.
        """
        try:
            token = await self.generation.keeper.renew(lane.plan.service_user, refused)
        except ProxyError as error:
            self.fail(error)  # no token to be had: our trouble, and no 401 to the caller
            return
        except Exception as bug:  # noqa: BLE001 - one request must not take the loop's callback down
            self._bug(bug)
            return
        if self.done or self.response is None:
            return
        if token is None or not self.replayable:
            self.release()
            return
        self.replayed = True
        lane.metrics.replays += 1
        if token.fingerprint != refused.fingerprint:
            self.token_from = "static" if token.kind == "static" else "minted"
        self.token = token
        if lane.plan.token_echo != "allow":
            self.watched += watched(token)  # the refused one need not be dead
        if lane.meter is not None:
            lane.meter.charge(self.gateway.now())
        self.replay(self._head(lane, token))

    def release(self) -> None:
        """
        Let the held 401 go to the caller after all.
        """
        if self.upstream is not None and self.response is not None:
            self.upstream.release_answer(self._lines(self.response))

    # 5. When it goes wrong

    def failed(self, error: ProxyError) -> None:
        """
        Answer in our own name.
        """
        head, body = problem(error, self.request_id)
        self.respond(head, body, status=error.status)

    # 6. Account

    def finished(self) -> None:
        """
        Count the request, and write its one line.
        """
        gateway = self.gateway
        if self.begun:
            gateway.metrics.active -= 1
        for meter in self.meters:
            meter.leave()
        gateway.access.write(account(self, gateway.metrics.unrouted, gateway.now()))


Gateway.request_class = Request

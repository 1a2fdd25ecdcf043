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
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proxy.core.admit import admit, bearer
from proxy.core.decide import confine, decide, upstream_head
from proxy.core.headers import (
    AUTHORIZATION,
    REQUEST_ID,
    VIA,
    valid_request_id,
)
from proxy.core.problem import problem
from proxy.errors import BadRequest, Internal, ProxyError, RequestRefused, UpstreamConnect
from proxy.observe.access import milliseconds, no_request
from proxy.tasks import spawn
from proxy.wire.exchange import CALLER_LEFT, Exchange
from proxy.wire.message import IDEMPOTENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from proxy.core.decide import Authorization, Decision
    from proxy.core.token import Token
    from proxy.generation import Generation, Lane
    from proxy.observe.access import AccessLog
    from proxy.wire.downstream import Downstream
    from proxy.wire.limits import Limits
    from proxy.wire.message import RequestHead, ResponseHead, Roles


class Gateway:
    """
    What all requests share.

    Attributes:
        generation: The configuration new requests are served by; swapped whole.
    """

    def __init__(
        self,
        generation: Generation,
        access: AccessLog,
        log: FilteringBoundLogger,
        limits: Limits,
        now: Callable[[], float],
        request_ids: Callable[[], str],
    ) -> None:
        self.generation = generation
        self.access = access
        self.log = log
        self.limits = limits
        self.now = now
        self.request_ids = request_ids
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def roles(self) -> Roles:
        """
        Which request headers the wire sets aside for us.
        """
        return self.generation.roles

    def exchange(self, caller: Downstream, head: RequestHead) -> Request:
        """
        Take a request whose head is complete.
        """
        return Request(self, caller, head)

    def refused(self, caller: Downstream, error: ProxyError) -> bytes:
        """
        Answer something that is no request; the connection closes afterwards.
        """
        request_id = self.request_ids()
        self.access.write(
            no_request(
                request_id,
                client=caller.peer,
                status=error.status,
                error=f"{error.code}: {error.reason}",
            )
        )
        head, body = problem(error, request_id)
        return head + b"Connection: close\r\n\r\n" + body

    async def close(self) -> None:
        """
        Stop what is still waiting.
        """
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Request(Exchange):
    """
    The story of one request.
    """

    __slots__ = (
        "_forwarded",
        "caller_name",
        "decision",
        "foreign",
        "gateway",
        "generation",
        "lane",
        "replayed",
        "request_id",
        "token",
        "token_from",
        "token_wait",
        "upstream_id",
    )

    def __init__(self, gateway: Gateway, caller: Downstream, head: RequestHead) -> None:
        super().__init__(caller, head, gateway.now())
        self.gateway = gateway
        self.generation = gateway.generation
        self.lane: Lane | None = None
        self.decision: Decision[Lane] | None = None
        self.caller_name: str | None = None
        self.request_id = ""
        self.token: Token | None = None
        self.token_from = ""
        self.token_wait = 0.0
        self.foreign = False  # the caller's own Authorization goes up
        self.replayed = False
        self.upstream_id = b""  # the upstream's own name for the request
        self._forwarded = 0.0

    # 1. Decide

    def begin(self) -> None:
        """
        Find the route, see whether this caller may use it, and take the token if it is at hand.
        """
        try:
            lane = self._decide()
        except ProxyError as error:
            if not isinstance(error, RequestRefused) or error.status in (400, 405):
                self.keep = False
            self.fail(error)
            return
        except Exception as bug:  # noqa: BLE001 - one request must not take the loop's callback down
            self._bug(bug)
            return
        slot = lane.slot
        token = slot.token
        if self.foreign:
            self.send(lane, None)
        elif token is not None and self.started < token.serve_until:
            slot.used = True
            self.token_from = "static" if token.kind == "static" else "cached"
            if slot.stale:
                self.token_from = "stale"
            self.send(lane, token)
        else:
            _ = spawn(self.gateway.tasks, self._wait_for_token(lane), name="token")

    def _decide(self) -> Lane:
        head, generation = self.head, self.generation
        self._read_request_id()
        decision = decide(generation.table, head.method, head.target, head.host, head.field)
        self.decision = decision
        route = decision.route
        self.lane = lane = route.action
        plan = lane.plan
        listener = generation.listeners[self.caller.listener]
        if listener is not None or plan.callers is not None:
            self.caller_name = self._identify()
            admit(self.caller_name, listener, plan.callers)
        if head.aside:
            self._inspect(plan.authorization)
        confine(plan, route.match.path, decision.target)
        return lane

    def _inspect(self, authorization: Authorization) -> None:
        """
        Refuse what the route does not take, and a request that comes round a second time.
        """
        brought = 0
        for name, value, index in self.head.aside:
            if name == AUTHORIZATION:
                brought += 1
                self.foreign = authorization == "keep" and bool(self.head.lines[index])
            elif name == VIA and self.generation.via[5:-2] in value.split(b", "):
                # RFC 9110 §7.6.3: the pseudonym is this process's own
                raise UpstreamConnect("the upstream leads back to this proxy")
        if brought and authorization == "reject":
            raise BadRequest("the request brings an Authorization that its route rejects")
        if brought > 1 and authorization == "keep":
            raise BadRequest("the request brings more than one Authorization")

    def _identify(self) -> str | None:
        head = self.head
        key = bearer(head.field(b"proxy-authorization") or b"") or head.field(b"x-api-key") or b""
        return self.generation.callers.identify(key)

    def _read_request_id(self) -> None:
        value = self.head.field(REQUEST_ID)
        if value is not None and valid_request_id(value):
            self.request_id = value.decode("ascii")
        else:
            self.request_id = self.gateway.request_ids()

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
        self._forwarded = self.gateway.now() if self.token_wait else self.started
        self.forward(lane.pool, self._head(lane, token), lane.timeouts)

    def _head(self, lane: Lane, token: Token | None) -> bytes:
        decision = self.decision
        assert decision is not None
        return upstream_head(
            decision,
            lane.plan,
            self.head,
            b"" if token is None else token.header,
            request_id=self.request_id,
            via=self.generation.via,
        )

    # 4. Answer, or once more with a new token

    def answered(self, response: ResponseHead) -> bytes | None:
        """
        Pass the response on, or hold a 401 that a new token may cure.
        """
        if response.status == 401 and self.lane is not None and self.token is not None:
            if self._curable(self.lane, self.token):
                _ = spawn(self.gateway.tasks, self._renew(self.lane, self.token), name="renew")
                return None
            if self.lane.plan.replay != "never" and not self.replayed:
                # Nothing cures this request, but the next one need not fare the same
                _ = spawn(self.gateway.tasks, self._report(self.lane, self.token), name="report")
        return self._lines(response)

    def _lines(self, response: ResponseHead) -> bytes:
        """
        Return the lines to add; one id, ours, so that the answer can be found in the log.
        """
        for name, value, index in response.aside:
            response.lines[index] = b""
            if name == REQUEST_ID and value != self.request_id.encode():
                self.upstream_id = value
        return b"X-Request-Id: %b\r\n" % self.request_id.encode()

    def _curable(self, lane: Lane, token: Token) -> bool:
        if self.replayed or token.kind == "static":
            return False
        policy = lane.plan.replay
        if policy == "never" or not self.replayable:
            return False
        return policy == "always" or lane.plan.own_api or self.head.method in IDEMPOTENT

    async def _report(self, lane: Lane, refused: Token) -> None:
        """
        Tell the keeper of a refused token; it knows what that means for the next request.
        """
        with suppress(ProxyError):  # the keeper has said why
            await self.generation.keeper.renew(lane.plan.service_user, refused)

    async def _renew(self, lane: Lane, refused: Token) -> None:
        """
        Have the refused token replaced, and send the request once more if that gave another one.
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
        if token.fingerprint == refused.fingerprint or not self.replayable:
            self.release()
            return
        self.replayed = True
        self.token = token
        self.token_from = "minted"
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
        if not self.request_id:
            self.request_id = self.gateway.request_ids()
        head, body = problem(error, self.request_id)
        self.respond(head, body, status=error.status)

    def _bug(self, bug: Exception) -> None:
        """
        Something that cannot happen did: the traceback goes to the log, the caller gets a 500.
        """
        self.gateway.log.error("internal.error", request_id=self.request_id, exc_info=bug)
        self.keep = False
        self.fail(Internal("a bug; see internal.error with this request id"))

    # 6. Account

    def finished(self) -> None:
        """
        Write the request's one line.
        """
        gateway = self.gateway
        now = gateway.now()
        lane, error = self.lane, self.error
        line = {
            "request_id": self.request_id,
            "trace_id": None,
            "client": self.caller.peer,
            "caller": self.caller_name,
            "method": self.head.method.decode("ascii"),
            "path": self._path(),
            "route": None if self.decision is None else self.decision.route.name,
            "service_user": None if lane is None else lane.plan.service_user,
            "upstream": None if lane is None else lane.plan.upstream,
            "status": self.status,
            "upstream_status": self.upstream_status or None,
            "error": self._why(error),
            "token": self.token_from or None,
            "replayed": self.replayed,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "duration_ms": milliseconds(now - self.started),
            "token_ms": milliseconds(self.token_wait) if self.token_wait else 0.0,
            "upstream_ms": milliseconds(now - self._forwarded) if self._forwarded else None,
        }
        if self.upstream_id:
            line["upstream_request_id"] = self.upstream_id[:128].decode("ascii", "replace")
        gateway.access.write(line)

    def _path(self) -> str:
        if self.decision is not None:
            return self.decision.target.path.decode("ascii")
        return self.head.target.partition(b"?")[0].decode("latin-1")

    def _why(self, error: ProxyError | None) -> str | None:
        if error is not None:
            return f"{error.code}: {error.reason}"
        if self.status == 401 and self.token is not None:
            return "token_refused: the upstream refused the service user's token"
        return "caller_left" if self.status == CALLER_LEFT else None

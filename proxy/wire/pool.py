"""
The connections to one origin: taken when idle, opened when none is, waited for when there may be
no more.

Theory of operation
-------------------
`take` and `give` are all that a request costs whose connection is at hand. Otherwise `connect`
begins an attempt for the exchange, in a task that does not end with it: if the caller leaves, the
connection serves somebody else. A connection holds one of `limits.connections` places from the
start of its attempt (`_coming`) until it is gone (`_open`).

With all places taken, exchanges wait in order. A connection given back serves the first of them;
whatever frees a place (a connection that is gone, an attempt that failed) calls `_advance`, which
begins an attempt for the first. So while anybody waits, no place stays free unless the origin
rests, and a sweep looks once more.

After failed attempts in a row the origin rests (`wire.breaker`), which touches nothing that stands.
How connections at rest are kept, and for how long, is `wire.shelf`'s.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.errors import Internal, Overloaded, ProxyError, UpstreamClosed
from proxy.tasks import spawn
from proxy.wire.breaker import Breaker
from proxy.wire.dial import Dialler
from proxy.wire.limits import DEFAULT_POOL_LIMITS
from proxy.wire.origin import explain, reach
from proxy.wire.resolve import Resolver
from proxy.wire.shelf import Shelf
from proxy.wire.upstream import Upstream
from proxy.wire.waiting import Queue

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.wire.exchange import Exchange
    from proxy.wire.limits import PoolLimits
    from proxy.wire.origin import Origin
    from proxy.wire.roles import Roles


@dataclass(frozen=True, slots=True)
class PoolState:
    """
    How a pool fares at the moment.

    Attributes:
        open: Connections that stand.
        idle: Those of them that serve nobody.
        connecting: Attempts on their way.
        waiting: Requests that wait for a connection.
        resting: Seconds for which the origin is left alone; 0.0 if it is not.
    """

    open: int
    idle: int
    connecting: int
    waiting: int
    resting: float


class Pool(Shelf):
    """
    The pool of one origin.

    Args:
        origin: Where to.
        roles: Which response header plays which role.
        limits: What it may use up.
        now: Returns boot-clock seconds, for how long the origin rests and names are remembered.
        dialler: Connects its sockets; closed with it. None for one of its own.
    """

    def __init__(
        self,
        origin: Origin,
        roles: Roles,
        limits: PoolLimits = DEFAULT_POOL_LIMITS,
        *,
        now: Callable[[], float] = time.monotonic,
        dialler: Dialler | None = None,
    ) -> None:
        super().__init__(limits)
        self.origin = origin
        self.roles = roles
        self._closed = False
        self._dialler = dialler or Dialler(Resolver(now), now)
        self._breaker = Breaker(limits, now)
        self._coming: dict[Upstream, Exchange] = {}
        self._connecting: set[asyncio.Task[Any]] = set()
        self._waiting = Queue()

    def __repr__(self) -> str:
        state = self.state()
        waiting = f", {state.waiting} waiting" if state.waiting else ""
        resting = f", resting {state.resting:.1f} s" if state.resting else ""
        return f"<Pool {self.origin} {state.open} open, {state.idle} idle{waiting}{resting}>"

    def state(self) -> PoolState:
        """
        Return how it fares, for people to look at.
        """
        return PoolState(
            open=len(self._open),
            idle=len(self._idle),
            connecting=len(self._coming),
            waiting=self._waiting.live(),
            resting=self._breaker.left(),
        )

    # What its connections and exchanges call

    def give(self, upstream: Upstream) -> None:
        """
        Take back a connection that may serve again. It may serve already when this returns.
        """
        if self._waiting or upstream.born < self._aged:
            self._pass_on(upstream)
        else:
            upstream.idle_since = 0.0  # the next sweep notes the time
            self._idle.append(upstream)

    def connect(self, exchange: Exchange) -> None:
        """
        Have *exchange* served, by a new connection if there is a place; it is told how that went.
        """
        if self._closed:
            exchange.fail(_stopping())
        elif self._full():
            self._queue(exchange)
        elif rest := self._breaker.left():
            exchange.fail(_resting(rest))
        elif self._waiting:
            self._queue(exchange)
            self._advance()
        else:
            self._begin(exchange)

    def opened(self, upstream: Upstream) -> None:
        """
        A connection stands.
        """
        if self._coming.pop(upstream, None) is not None:
            upstream.born = self._swept
            self._open.add(upstream)
        elif upstream.transport is not None:
            # Its attempt was given up just as the handshake began: asyncio goes on with it
            upstream.transport.abort()

    def forget(self, upstream: Upstream) -> None:
        """
        A connection is gone.
        """
        self._open.discard(upstream)
        if upstream.exchange is None and upstream in self._idle:
            self._idle.remove(upstream)
        self._advance()

    def sweep(self, now: float) -> None:
        """
        Close what rested too long, and refuse whoever waited too long.
        """
        self._note_time(now)
        if self._idle:
            self._sweep_idle(now)
        if not self._waiting:
            return
        wait = self.limits.wait
        for exchange in self._waiting.overdue(now, wait):
            why = f"no connection to the upstream came free within {wait:g} s"
            exchange.fail(Overloaded(why, retry_after=1))
        self._advance()

    def close(self) -> None:
        """
        Close everything; whoever waits is told.
        """
        self._closed = True
        self.retire()
        left = list(self._coming.values())
        self._coming.clear()
        while exchange := self._waiting.next():
            left.append(exchange)
        for task in tuple(self._connecting):
            task.cancel()
        self._dialler.close()
        for upstream in tuple(self._open):
            if upstream.transport is not None:
                upstream.transport.abort()
        for exchange in left:
            exchange.fail(_stopping())

    # An attempt

    def _full(self) -> bool:
        return len(self._open) + len(self._coming) >= self.limits.connections

    def _begin(self, exchange: Exchange) -> None:
        upstream = Upstream(self)
        self._coming[upstream] = exchange
        work = self._attempt(upstream, exchange, self._breaker.begin())
        _ = spawn(self._connecting, work, name=f"connect {self.origin.host}")

    async def _attempt(self, upstream: Upstream, exchange: Exchange, attempt: int) -> None:
        try:
            await reach(self.origin, self._dialler, upstream, exchange.timeouts.connect)
        except Exception as error:
            self._coming.pop(upstream, None)
            problem = explain(error)
            if problem is error or isinstance(problem, (Overloaded, Internal)):
                self._breaker.undecided(attempt)  # our policy, our limits, our bug
            else:
                self._breaker.failed(attempt)
            self._serve(exchange, problem)
            if isinstance(problem, Internal):
                raise
        else:
            self._breaker.succeeded()
            if upstream.transport is None or upstream.transport.is_closing():
                self._serve(exchange, UpstreamClosed("the upstream closed the connection at once"))
            elif exchange.done:
                self.give(upstream)
            else:
                exchange.attach(upstream)
            self._advance()  # the origin may have rested until now

    def _serve(self, exchange: Exchange, problem: ProxyError) -> None:
        """
        Let a connection that came to rest meanwhile serve *exchange*, or tell it of the problem.
        """
        upstream = None if exchange.done else self.take()
        if upstream is None:
            exchange.fail(problem)
        else:
            exchange.attach(upstream)
        self._advance()

    # The queue

    def _queue(self, exchange: Exchange) -> None:
        most = self.limits.queue
        if self._waiting.put(exchange, self._swept, most):
            if self._full():
                self._abort_oldest()  # one is idle only if the exchange has failed on such a one
        else:
            why = f"all connections to the upstream are in use, and {most} requests wait for one"
            exchange.fail(Overloaded(why, retry_after=1))

    def _advance(self) -> None:
        """
        Begin attempts for those who wait first, as far as there are places.
        """
        while self._waiting and not self._full():
            rest = self._breaker.left()
            if rest and (self._open or self._coming):
                return  # what is given back may serve them, or the probe on its way
            exchange = self._waiting.next()
            if exchange is None:
                return
            if rest:
                exchange.fail(_resting(rest))
            else:
                self._begin(exchange)

    def _pass_on(self, upstream: Upstream) -> None:
        """
        Let a connection serve the first who waits, or close it if it is too old.
        """
        transport = upstream.transport
        if transport is None or transport.is_closing():
            return  # the first who waits is served when its place is free
        if upstream.born < self._aged and not (self.retired and self._waiting):
            transport.close()
            return
        exchange = self._waiting.next()
        if exchange is None:
            self.give(upstream)  # nobody waits any more
        else:
            upstream.reused = True
            exchange.attach(upstream)


def _resting(rest: float) -> Overloaded:
    why = "attempts to connect to the upstream failed in a row; it is left alone for a moment"
    return Overloaded(why, retry_after=math.ceil(rest))


def _stopping() -> Overloaded:
    return Overloaded("the proxy is stopping", retry_after=1)

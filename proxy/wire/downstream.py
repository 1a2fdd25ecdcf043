"""
One caller's connection: requests take turns, and none takes too long.

Theory of operation
-------------------
Exchanges take turns in the order they came: the current one in `exchange`, the others in `queue`.
While another request waits, the connection is not read.

What cannot be parsed dooms the connection: what came before it is answered first, then the refusal
is, and the connection closes.

A caller that closes its sending side (TCP half-close) is taken to have left, as nginx does: it
cannot be told from one that closed for good, whose upstream request must not live on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import Overloaded, ProxyError, RequestTimeout, UpstreamTimeout
from proxy.wire.connection import CALLER_FULL, QUEUED
from proxy.wire.reading import Reading

if TYPE_CHECKING:
    import asyncio

    from proxy.wire.exchange import Exchange
    from proxy.wire.message import RequestHead
    from proxy.wire.reading import Service


class Downstream(Reading):
    """
    The protocol of one accepted connection.

    Args:
        service: Owner of the exchanges.
        listener: Which listener accepted it; for the owner to know again.
        connections: Every open connection, for sweeps and for draining.
    """

    __slots__ = ("_draining", "_turning", "connections", "listener", "queue")

    def __init__(self, service: Service, listener: int, connections: set[Downstream]) -> None:
        super().__init__(service)
        self.listener = listener
        self.connections = connections
        self.queue: deque[Exchange] = deque()
        self._turning = False
        self._draining = False

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.add(self)
        most = self.limits.connections
        if len(self.connections) > most:
            self.doom = Overloaded(f"{most} callers are connected", retry_after=1)
            self._refuse(self.doom)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        self.connections.discard(self)
        del self._parser  # it holds bound methods of ours: a cycle the collector need not find
        self._leave()

    def eof_received(self) -> None:
        self._leave()

    def _leave(self) -> None:
        """
        The caller is gone: drop what it asked for.
        """
        self._receiving = None
        self.queue.clear()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandon()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.resume()

    # Refusals and turns

    def _received(self, head: RequestHead) -> None:
        exchange = self._service.exchange(self, head)
        if self._draining:
            exchange.keep = False
        self._receiving = exchange
        if self.exchange is None:
            self.exchange = exchange
            exchange.begin()
        else:
            self.queue.append(exchange)
            self.hold(QUEUED)

    def _ended(self, exchange: Exchange) -> None:
        self.turn_over(exchange, cut=False)

    def _malformed(self, refusal: ProxyError) -> None:
        if self.closing:
            return
        self.doom = refusal
        receiving, self._receiving = self._receiving, None
        if receiving is None:
            return  # said once the requests before it are answered
        if receiving is not self.exchange:
            self.queue.remove(receiving)
        elif receiving.done:
            self._shut()
        else:
            receiving.keep = False
            receiving.fail(refusal)

    def turn_over(self, exchange: Exchange, *, cut: bool) -> None:
        """
        An exchange has ended: next one, or close.
        """
        if self.transport is None or exchange is not self.exchange:
            return
        if cut and exchange.open_ended:
            self._reset()  # an orderly close would look like the body's end
        elif cut or not exchange.keep:
            self._shut()
        elif exchange is not self._receiving:
            self._next()
        # else the rest of its body is read and thrown away first

    def _next(self) -> None:
        self.exchange = None
        if self._turning:
            return  # the loop below goes on
        self._turning = True
        while self.queue and self.exchange is None and not self.closing:
            self.exchange = exchange = self.queue.popleft()
            if not self.queue:
                self.release(QUEUED)
            exchange.started = self._now()
            exchange.begin()
        self._turning = False
        if self.exchange is None and not self.closing:
            if self.doom is not None and not self.parsing:
                self._refuse(self.doom)
            else:
                self._since = 0.0  # the next sweep notes the time: no clock is read per request

    def _refuse(self, error: ProxyError) -> None:
        self.write(self._service.refused(self, error))
        self._shut()

    def _shut(self) -> None:
        # A caller that has sent all of what it is answered needs no lingering
        sending = self._receiving or self._fed or self.queue or self.held or self.doom
        self.exchange = None
        self._close(linger=bool(sending))
        self.queue.clear()

    # Deadlines

    def drain(self) -> None:
        """
        Finish what is in progress, then close.
        """
        self._draining = True
        if self.exchange is not None:
            last = self.queue[-1] if self.queue else self.exchange
            last.keep = False
        elif self._receiving is None and not self._fed:
            self._shut()

    def sweep(self, now: float) -> None:
        """
        Close, refuse or give up what took too long. Called about twice a second.
        """
        if not self._since:
            self._since = now
        exchange = self.exchange
        if self.closing:
            self._sweep_closing(now)
        elif exchange is None:
            self._sweep_resting(now - self._since)
        elif not self._moved(exchange.progress(), now):
            self._sweep_exchange(exchange, now - self._since)

    def _sweep_resting(self, waited: float) -> None:
        if self._fed:
            if waited > self.limits.head_time:
                self._refuse(RequestTimeout("the request's head did not arrive in time"))
        elif waited > self.limits.idle_time:
            self._shut()

    def _sweep_exchange(self, exchange: Exchange, waited: float) -> None:
        if self._receiving is exchange and not self.held:
            if waited <= self.limits.body_time:
                return
            if exchange.done:
                self._shut()
            else:
                exchange.keep = False
                exchange.fail(RequestTimeout("the request's body did not arrive in time"))
        elif exchange.upstream is not None and waited > exchange.patience():
            if self.held & CALLER_FULL and self.transport is not None:
                self.transport.abort()
            else:
                exchange.fail(UpstreamTimeout(f"nothing moved for {waited:.0f} s"))

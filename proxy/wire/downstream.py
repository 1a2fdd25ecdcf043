"""
One caller's connection: requests take turns.

Theory of operation
-------------------
Exchanges take turns in the order they came: the current one in `exchange`, the others in `queue`.
While another request waits, the connection is not read.

What cannot be parsed dooms the connection: what came before it is answered first, then the refusal
is, and the connection closes.

A caller that closes its sending side while it is being served is served on: it may still wait for
its answer. Whether it does is found out by and by (`wire.parting`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import Overloaded
from proxy.wire.connection import CALLER_FULL, HALF_CLOSED, QUEUED, UPGRADING
from proxy.wire.deadlines import LINGER, Deadlines
from proxy.wire.parting import PROBE_AFTER, Parting

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.wire.exchange import Exchange
    from proxy.wire.service import Service
    from proxy.wire.tunnel import Tunnel
    from proxy.wire.turn import Turn


class Downstream(Deadlines):
    """
    The protocol of one accepted connection.

    Args:
        service: Owner of the exchanges.
        listener: Which listener accepted it; for the owner to know again.
        connections: Every open connection, for draining.
    """

    __slots__ = (
        "__weakref__",
        "_stalled",
        "_turning",
        "connections",
        "listener",
        "queue",
    )

    def __init__(self, service: Service, listener: int, connections: set[Downstream]) -> None:
        super().__init__(service)
        self.listener = listener
        self.connections = connections
        self.queue: deque[Exchange] = deque()
        self._turning = False
        self._stalled = False  # it is a request's turn, but nobody takes the answers before it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.add(self)
        self._draining = self._service.draining  # a handshake may end after the drain has begun
        most = self.limits.connections
        if len(self.connections) > most:
            self.doom = Overloaded(f"{most} callers are connected", retry_after=1)
            self._refuse(self.doom)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        self.connections.discard(self)
        self._parser = None  # it holds bound methods of ours: a cycle the collector need not find
        self._leave()

    def eof_received(self) -> bool:
        exchange, transport = self.exchange, self.transport
        unfinished = self._receiving is not None or self._fed or self.tunnel is not None
        if exchange is None or unfinished or self.closing or transport is None:
            self._leave()
            return False
        if exchange.done or not transport.can_write_eof():  # TLS knows no half-closed state
            self._leave()
            return False
        self.held |= HALF_CLOSED
        if self._parting is None:
            self._parting = Parting(exchange, self._now(), PROBE_AFTER)
            self._wheel.enter(self, self._parting.probe_at)
        return True

    def _leave(self) -> None:
        """
        The caller is gone: drop what it asked for.
        """
        self._receiving = self.tunnel = None
        self.queue.clear()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandon()

    def pause_writing(self) -> None:
        """
        Take no more from a caller that does not take what it asked for.
        """
        if self.tunnel is None:
            self.hold(CALLER_FULL)
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.pause()

    def resume_writing(self) -> None:
        """
        Go on.
        """
        self.release(CALLER_FULL)
        if self._stalled:
            self._stalled = False
            if self.exchange is not None and not self.closing:
                self.exchange.started = self._now()
                self.exchange.begin()
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.resume()

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """
        From now on all bytes go through this.
        """
        self.tunnel = tunnel
        tail, self._tail = self._tail, b""
        if tail:
            self._beyond(tail)
        self.release(UPGRADING)

    # Refusals and turns

    def _received(self, exchange: Exchange) -> None:
        self._wasted = 0
        if exchange.fields.upgrade:
            self.hold(UPGRADING)
        if self._draining:
            exchange.keep = False
        if self.exchange is None:
            self.exchange = exchange
            if self.look_at > self._wheel.soon:
                self._wheel.enter(self, 0.0)
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

    def turn_over(self, exchange: Turn, *, cut: bool) -> None:
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
        if self.queue:
            self._turning = True
            while self.queue and self.exchange is None and not self.closing:
                self.exchange = exchange = self.queue.popleft()
                if not self.queue:
                    self.release(QUEUED)
                exchange.started = self._now()
                if self.held & CALLER_FULL:
                    self._stalled = True
                    break
                exchange.begin()
            self._turning = False
        if self.exchange is None and not self.closing:
            self._since = 0.0  # the next look notes the time: no clock is read per request
            if self.doom is not None and not self.parsing:
                self._refuse(self.doom)
            elif self.held:
                self._go_on()

    def _go_on(self) -> None:
        """
        Nothing is being served and yet the connection is held: see what for.
        """
        if self.held & HALF_CLOSED:
            self._shut()
        elif self.held & UPGRADING:  # the upgrade came to nothing; no end was read behind it
            asyncio.get_running_loop().call_soon(self._read_tail)

    def _read_tail(self) -> None:
        """
        Read what came behind an upgrade that was not accepted: requests.
        """
        self.held &= ~UPGRADING
        tail, self._tail = self._tail, b""
        if tail and self.transport is not None:
            self.data_received(tail)
        if not self.held and self.transport is not None and not self.closing:
            self.transport.resume_reading()

    def _refuse(self, error: ProxyError) -> None:
        self.write(self._service.refused(self, error))
        self._shut()

    def _shut(self) -> None:
        # A caller that has sent all of what it is answered needs no lingering
        sending = self._receiving or self._fed or self.queue or self.held or self.doom
        self.exchange = None
        self._close(linger=bool(sending or self.tunnel))
        self.tunnel = None
        self.queue.clear()

    # Ends

    def drain(self) -> None:
        """
        Finish what is in progress, then close; a caller that was not told so may send one request
        more, for a moment.
        """
        self._draining = True
        self.limits = self._service.limits  # by which it rests no longer than that moment
        last = self.queue[-1] if self.queue else self.exchange
        if last is not None:
            # A head that has gone down without a word of it has promised to take another request
            last.keep = last.keep and bool(last.status)
        elif self._receiving is None and not self._fed:
            self._since = self._since or self._now()
            self._wheel.enter(self, self._since + min(self.limits.idle_time, LINGER))

    def part(self) -> None:
        """
        Say goodbye on a WebSocket, unless a frame is on its way.
        """
        if self.tunnel is not None and self.tunnel.between_frames:
            self.tunnel.go_away()

    def give_up(self) -> None:
        """
        End what did not end by itself.
        """
        if self.tunnel is None:
            self._abort()
        else:
            self.tunnel.go_away()

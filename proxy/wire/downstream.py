"""
One caller's connection: requests take turns, and none takes too long.

Theory of operation
-------------------
Exchanges take turns in the order they came: the current one in `exchange`, the others in `queue`.
While another request waits, the connection is not read.

What cannot be parsed dooms the connection: what came before it is answered first, then the refusal
is, and the connection closes.

A caller that closes its sending side may have left, or may still wait for its answer (TCP
half-close); at first the two look the same. Who has left answers whatever it is sent with a reset,
which the kernel tells (`_ask`). As long as nothing of the answer has gone out, such a caller is
therefore probed with an interim answer that means nothing (100 Continue, RFC 9110 §15.2). Once the
answer is on its way, its own bytes do the same; if there were none to send since, the caller is
taken to have left. HTTP/1.0 has no interim answers: such a caller is waited for.

A connection that is held is not read, so that its end is not either: the kernel is asked for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from proxy.errors import Overloaded, ProxyError, RequestTimeout, UpstreamTimeout
from proxy.wire.connection import CALLER_FULL, ENDED, GONE, HALF_CLOSED, QUEUED, UPGRADING
from proxy.wire.frames import GOING_AWAY, close_frame
from proxy.wire.reading import Reading
from proxy.wire.wheel import LOOK

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.reading import Service

PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"

PROBE_AFTER = 0.3
"""Seconds from a half-close to the first probe, and from a probe to a look at what became of it."""

PROBE_AGAIN = 5.0
"""Seconds between two probes."""


class Pace(NamedTuple):
    """
    How a body has been coming.

    Attributes:
        exchange: Whose body.
        seen: When it was last looked at.
        size: How many bytes had come then.
        credit: Seconds it may go on without another byte: each byte buys some.
    """

    exchange: Exchange
    seen: float
    size: int
    credit: float


class Downstream(Reading):
    """
    The protocol of one accepted connection.

    Args:
        service: Owner of the exchanges.
        listener: Which listener accepted it; for the owner to know again.
        connections: Every open connection, for draining.
    """

    __slots__ = (
        "_draining",
        "_pace",
        "_parted",
        "_parting",
        "_probe_at",
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
        self._draining = False
        self._parted = 0.0  # when the caller was found to have said that nothing more comes,
        self._parting: tuple[Exchange, int] | None = None  # and how far its answer was then
        self._probe_at = 0.0
        self._pace: Pace | None = None

    # The connection

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
            self._part(exchange, self._now(), PROBE_AFTER)
            self._wheel.enter(self, self._probe_at)
        return True

    def _part(self, exchange: Exchange, now: float, after: float) -> None:
        """
        Note that the caller sends nothing more, and when to probe it.
        """
        self._parted = now
        self._parting = (exchange, _said(exchange))
        self._probe_at = now + after

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

    def open_tunnel(self, exchange: Exchange) -> None:
        """
        From now on all bytes belong to this exchange.
        """
        self.tunnel = exchange
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

    def give_up(self) -> None:
        """
        End what did not end by itself. A tunnel's two ends are told that it is we who go.
        """
        tunnel = self.tunnel
        frames = None if tunnel is None else tunnel.tunnelled
        if tunnel is None or frames is None:
            self._abort()
            return
        if frames.down.open:
            self.write(close_frame(GOING_AWAY, masked=False))
        if frames.up.open and tunnel.upstream is not None:
            tunnel.upstream.write(close_frame(GOING_AWAY, masked=True))
        tunnel.abandon()

    def look(self, now: float) -> float:
        """
        Close, refuse or give up what took too long.
        """
        if self.transport is None:
            return 0.0
        if self.closing:
            return self._look_closing(now)
        exchange = self.exchange
        if exchange is None:
            return self._look_resting(now)
        if self.held and not self._look_held(exchange, now):
            self._abort()
            return 0.0
        self._look_exchange(exchange, now)
        return now + (LOOK if self._parting is None else PROBE_AFTER)

    def _look_resting(self, now: float) -> float:
        self._since = self._since or now
        limits = self.limits
        deadline = self._since + (limits.head_time if self._fed else limits.idle_time)
        if self._draining and not self._fed:
            deadline = min(deadline, self._since + LOOK)
        if now < deadline:
            return deadline
        if self._fed:
            self._refuse(RequestTimeout("the request's head did not arrive in time"))
        else:
            self._shut()
        return now + LOOK

    def _look_held(self, exchange: Exchange, now: float) -> bool:
        """
        See whether a caller that is not read is still there; return whether it may be.
        """
        assert self.transport is not None
        found = self._ask()
        if found & GONE:
            return False
        if self._parting is None:
            if not found & ENDED or self.tunnel is not None:
                return True  # what a tunnel still holds is for the upstream
            if not self.transport.can_write_eof():
                return False  # TLS knows no half-closed state
            self._part(exchange, now, 0.0)
        if exchange.status:
            silent = self._parting == (exchange, _said(exchange))
            unsent = self.transport.get_write_buffer_size()
            waited = now - self._parted > PROBE_AFTER
            # What is held for another reason may have ended long before it was asked for
            return not (silent and waited and self.held & HALF_CLOSED) or unsent > 0
        if now >= self._probe_at and not exchange.fields.http10:
            self._probe_at = now + PROBE_AGAIN
            self.write(PROBE)
        return True

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _look_exchange(self, exchange: Exchange, now: float) -> None:
        most = exchange.timeouts.request
        if most and now - exchange.started > most and self.tunnel is None:
            exchange.fail(UpstreamTimeout(f"the whole request took more than {most:g} s"))
            return
        receiving = self._receiving is exchange and not self.held
        if self.held:
            self._pace = None  # it is not the caller's fault that nothing comes
        if receiving and self._too_slow(exchange, now):
            self._give_up_body(exchange)
        elif self._moved(exchange.progress(), now):
            return
        elif receiving:
            if now - self._since > self.limits.body_time:
                self._give_up_body(exchange)
        elif now - self._since <= exchange.patience():
            return
        elif self.held & CALLER_FULL:
            self._reset()  # what it does not take would stay with the kernel
        elif exchange.upstream is not None:
            waited = now - self._since
            exchange.fail(UpstreamTimeout(f"nothing moved for {waited:.0f} s"))

    def _too_slow(self, exchange: Exchange, now: float) -> bool:
        """
        Return whether a body comes more slowly than it may, judged over all of it.
        """
        limits, pace = self.limits, self._pace
        if not limits.body_rate:
            return False
        if pace is None or pace.exchange is not exchange:
            credit = limits.body_grace
        else:
            bought = (exchange.bytes_in - pace.size) / limits.body_rate
            most = max(limits.body_grace, limits.body_time)
            credit = min(pace.credit + bought, most) - (now - pace.seen)
        self._pace = Pace(exchange, now, exchange.bytes_in, credit)
        return credit < 0

    def _give_up_body(self, exchange: Exchange) -> None:
        if exchange.done:
            self._shut()
        else:
            exchange.keep = False
            exchange.fail(RequestTimeout("the request's body did not arrive in time"))


def _said(exchange: Exchange) -> int:
    """
    Return a number that changes whenever something is written to the caller.
    """
    return exchange.status + exchange.bytes_out

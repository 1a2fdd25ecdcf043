"""
What a caller's connection may take its time over, and for how long.

Theory of operation
-------------------
The wheel has each connection looked at from time to time (`look`): one that closes, one that rests
or whose head is on its way, or one that is being served. What is in motion is left alone as long as
something moves; a body must also keep to its pace (`wire.pace`).

A connection that is held is not read, so that its end is not either: the kernel is asked for it,
and a caller that has said that nothing more comes is probed (`wire.parting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import RequestTimeout, UpstreamTimeout
from proxy.wire.connection import CALLER_FULL, HALF_CLOSED
from proxy.wire.kernel import ENDED, GONE, READABLE
from proxy.wire.pace import pace_of
from proxy.wire.parting import PROBE_AFTER, Parting
from proxy.wire.reading import Reading
from proxy.wire.wheel import LOOK, TICK

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.pace import Pace
    from proxy.wire.service import Service

LINGER = 1.0
"""Seconds after its last request for which a connection that is to end may still bring another: it may
be on its way."""


class Deadlines(Reading):
    """
    The part of a caller's connection that knows what time it is.
    """

    __slots__ = ("_draining", "_pace", "_parting")

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._draining = False  # it is to end with what is in progress
        self._parting: Parting | None = None  # set once the caller has said that nothing more comes
        self._pace: Pace | None = None

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
            deadline = min(deadline, self._since + LINGER)
        if now < deadline:
            return deadline
        if self._fed:
            self._refuse(RequestTimeout("the request's head did not arrive in time"))
        elif not self.held and self._ask(READABLE):
            return now + TICK  # a request has come in time, and is about to be read
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
            self._parting = Parting(exchange, now, 0.0)
        if exchange.status:
            # What is held for another reason may have ended long before it was asked for
            left = self.held & HALF_CLOSED and self._parting.unheard(exchange, now)
            return not left or self.transport.get_write_buffer_size() > 0
        if probe := self._parting.probe(exchange, now):
            self.write(probe)
        return True

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
        if not self.limits.body_rate:
            return False
        self._pace = pace_of(exchange, self.limits, now, self._pace)
        return self._pace.credit < 0

    def _give_up_body(self, exchange: Exchange) -> None:
        if exchange.done:
            self._shut()
        else:
            exchange.keep = False
            exchange.fail(RequestTimeout("the request's body did not arrive in time"))

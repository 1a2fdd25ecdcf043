"""
Exchanges that wait for a connection, in the order they came.

An exchange that ended meanwhile stays in the queue until its turn or the next sweep, and is passed
over; whoever leaves need not be looked for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.wire.exchange import Exchange


@dataclass(slots=True)
class Waiter:
    """
    An exchange in the queue.

    Attributes:
        exchange: Which.
        since: Boot-clock seconds of the last sweep before it came; 0.0 if there was none.
    """

    exchange: Exchange
    since: float


class Queue(deque[Waiter]):
    """
    The exchanges that wait. A deque, because whether it is empty is asked for each request.
    """

    __slots__ = ()

    def live(self) -> int:
        """
        Return how many still wait.
        """
        return sum(not waiter.exchange.done for waiter in self)

    def put(self, exchange: Exchange, since: float, most: int) -> bool:
        """
        Queue *exchange* unless *most* wait already; say whether it was.
        """
        while self and self[0].exchange.done:
            self.popleft()
        if len(self) >= most:
            return False
        self.append(Waiter(exchange, since))
        return True

    def next(self) -> Exchange | None:
        """
        Take out the first that still waits; None if nobody does.
        """
        while self:
            exchange = self.popleft().exchange
            if not exchange.done:
                return exchange
        return None

    def overdue(self, now: float, wait: float) -> Iterator[Exchange]:
        """
        Take out those who have waited longer than *wait* seconds, and whoever has left.

        Others may join the queue between two of them.
        """
        live = [waiter for waiter in self if not waiter.exchange.done]
        self.clear()
        self.extend(live)
        for waiter in live:
            waiter.since = waiter.since or now
        while self and now - self[0].since > wait:
            yield self.popleft().exchange

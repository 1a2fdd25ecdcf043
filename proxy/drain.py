"""
The end of a proxy: nothing new, what is in flight to its end, and no request lost.

Theory of operation
-------------------
1. It is not ready any more; for `delay` it serves as before, while whoever sends callers here finds
   that out.
2. It accepts nothing more; whoever has connected already is let in first (`wire.backlog`).
3. Answers say `Connection: close`. A connection that rests is not closed at once: a request may be
   on its way, or about to be. For a moment (`LINGER`, counted from its last request) it may still
   send one. Who has been silent for longer is closed: waiting would make it no less likely that a
   request crosses with the end.
4. WebSockets are closed with 1001, as soon as no frame is on its way.
5. What has not ended when the grace is over is given up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proxy.wire.deadlines import LINGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from proxy.house import House
    from proxy.wire.downstream import Downstream

LAST_WORDS = 1.0
"""Seconds of the grace for what was given up to hear so."""

POLL = 0.02
"""Seconds between two looks at who is still there."""


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long the end may take.

    Attributes:
        delay: Seconds to go on as before, unready.
        grace: Seconds for what is in flight then.
    """

    delay: float = 0.0
    grace: float = 30.0


class Entrances(Protocol):
    """
    Where callers come in.
    """

    async def close(self) -> None:
        """
        Accept nothing more, but whoever has connected already.
        """
        ...

    def arriving(self) -> int:
        """
        Return how many have been accepted and are no callers yet: their TLS handshakes go on.
        """
        ...


async def drain(
    house: House, entrances: Entrances, callers: AbstractSet[Downstream], patience: Patience
) -> int:
    """
    Bring everything in flight to its end; return how many connections had to be given up.

    Args:
        house: What the requests share.
        entrances: Where callers come in.
        callers: Every open connection of a caller.
        patience: How long it may take.
    """
    await asyncio.sleep(patience.delay)
    now = house.now
    end = now() + patience.grace
    linger = min(LINGER, patience.grace / 10)
    last_words = min(LAST_WORDS, patience.grace / 4)
    house.drain(linger)
    for caller in tuple(callers):
        caller.drain()
    await entrances.close()
    await asyncio.sleep(0)  # who was accepted a moment ago begins its handshake
    arrived = now() + linger

    def quiet() -> bool:
        return not callers and not (now() < arrived and entrances.arriving())

    def parted() -> bool:
        for caller in tuple(callers):
            caller.part()
        return quiet()

    await _until(quiet, now, arrived)
    await _until(parted, now, end - last_words)
    left = tuple(callers)
    for caller in left:
        caller.give_up()
    await _until(quiet, now, end)
    for caller in tuple(callers):
        if caller.transport is not None:
            caller.transport.abort()
    return len(left)


async def _until(done: Callable[[], bool], now: Callable[[], float], deadline: float) -> None:
    while not done() and now() < deadline:  # noqa: ASYNC110 - once in a process's life
        await asyncio.sleep(POLL)

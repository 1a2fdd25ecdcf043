"""
Deadlines without a timer per request: twice a second everything open is looked at.

A deadline is met up to `INTERVAL` late; in return a request costs no timer and no clock reading.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERVAL = 0.5
"""Seconds between two sweeps."""


class Swept(Protocol):
    """
    Something with deadlines: a caller's connection, a pool.
    """

    def sweep(self, now: float) -> None:
        """
        Give up what took too long.
        """
        ...


async def sweep_forever(things: Callable[[], Iterable[Swept]], now: Callable[[], float]) -> None:
    """
    Sweep what *things* returns, every `INTERVAL` seconds, until cancelled.
    """
    while True:
        await asyncio.sleep(INTERVAL)
        moment = now()
        for thing in tuple(things()):
            thing.sweep(moment)

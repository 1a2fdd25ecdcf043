"""
Looks at the listeners' certificate files every few seconds.

By polling, not by notices of the file system: those do not come over networks, and follow a link
to what it was, not to what it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERVAL = 5.0
"""Seconds between two looks."""


class Watched(Protocol):
    """
    Something made of files: a listener's certificates.
    """

    def look(self, now: float) -> None:
        """
        Take over what has changed.
        """
        ...


async def look_forever(
    listeners: Callable[[], Iterable[Watched]],
    wall: Callable[[], float],
    interval: float = INTERVAL,
) -> None:
    """
    Look at all their files now and every *interval* seconds, until cancelled.

    Args:
        listeners: Whose certificates.
        wall: Seconds since the epoch.
        interval: Seconds between two looks.
    """
    while True:
        now = wall()
        for listener in tuple(listeners()):
            listener.look(now)
        await asyncio.sleep(interval)

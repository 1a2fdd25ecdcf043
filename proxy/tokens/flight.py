"""
One piece of work for all who wait for it.

A flight belongs to nobody: whoever joins waits behind a shield, so one that leaves cancels
nothing, and the outcome reaches all the others. When it has landed, the next to ask starts anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class Flights(Generic[T]):
    """
    The work under way, by key. `_under_way` is changed by a start and by a landing only.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Wait for the flight of *key*, starting *work* if there is none.
        """
        return await asyncio.shield(self._flight(key, work))

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """
        Start *work* unless there is a flight of *key*; wait for nothing.
        """
        _ = self._flight(key, work)

    def __contains__(self, key: Hashable) -> bool:
        flight = self._under_way.get(key)
        return flight is not None and not flight.done()

    async def close(self) -> None:
        """
        Cancel what is under way and wait until it has ended.
        """
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _land(self, key: Hashable, done: asyncio.Task[T]) -> None:
        if self._under_way.get(key) is done:
            del self._under_way[key]

    def _flight(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        flight = self._under_way.get(key)
        if flight is None or flight.done():
            flight = spawn(self._tasks, work(), name=f"flight {key}")
            self._under_way[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

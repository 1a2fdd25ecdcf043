"""
A number that only grows, and that a test can wait for instead of sleeping.
"""

from __future__ import annotations

import asyncio


class Arrivals:
    """
    A number that only grows, and that one can wait for.
    """

    def __init__(self) -> None:
        self.total = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def one_more(self) -> None:
        """
        Count one, and wake those who waited for this number.
        """
        self.total += 1
        for total, future in self._waiting:
            if total <= self.total and not future.done():
                future.set_result(None)
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]

    async def until(self, total: int) -> None:
        """
        Wait until *total* have arrived since the start.
        """
        if self.total >= total:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((total, future))
        await future

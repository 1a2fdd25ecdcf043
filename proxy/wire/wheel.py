"""
All deadlines, with one timer for all of them.

Theory of operation
-------------------
Time is cut into ticks. Whatever has a deadline is entered under the tick it wants to be looked at,
and says at each look when it wants the next one. What is in motion is looked at every `LOOK`
seconds, to see whether it still is; what rests, only when its deadline comes. So a request costs
no timer, and a thousand idle connections cost nothing until one of them has idled too long.

A thing is under one tick at a time: an earlier wish replaces a later one (`Timed.look_at`), whose
entry is passed over when its tick comes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TICK = 0.1
"""Seconds: how late a deadline may be met."""

LOOK = 0.5
"""Seconds between two looks at what is in motion."""


class Timed(Protocol):
    """
    Something with deadlines.

    Attributes:
        look_at: The tick it is entered under; the wheel's own.
    """

    look_at: int

    def look(self, now: float) -> float:
        """
        Give up what took too long; return when to look again, 0 for never.
        """
        ...


class Swept(Protocol):
    """
    Something that is looked at all the time.
    """

    def sweep(self, now: float) -> None:
        """
        Give up what took too long.
        """
        ...


class Round:
    """
    Sweeps what *things* returns, every `LOOK` seconds.
    """

    def __init__(self, things: Callable[[], Iterable[Swept]]) -> None:
        self._things = things
        self.look_at = 0

    def look(self, now: float) -> float:
        """
        Sweep them.
        """
        for thing in tuple(self._things()):
            thing.sweep(now)
        return now + LOOK


class Wheel:
    """
    Who is looked at when.

    Args:
        now: Seconds, never backwards.

    Attributes:
        soon: The tick that what begins to move is to be looked at by.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ticks: dict[int, list[Timed]] = {}
        self._turned = int(now() / TICK)
        self.soon = self._turned + int(LOOK / TICK)

    def enter(self, thing: Timed, at: float) -> None:
        """
        Have *thing* looked at at this time; 0 for soon.
        """
        tick = max(int(at / TICK) + 1, self._turned + 1) if at else self.soon
        thing.look_at = tick
        self._ticks.setdefault(tick, []).append(thing)

    def turn(self) -> None:
        """
        Look at all whose time has come.
        """
        now = self._now()
        tick = int(now / TICK)
        if tick - self._turned < len(self._ticks):
            due = [at for at in range(self._turned + 1, tick + 1) if at in self._ticks]
        else:
            due = sorted(at for at in self._ticks if at <= tick)  # after a sleep of the machine
        self._turned = tick
        self.soon = tick + int(LOOK / TICK)
        for at in due:
            for thing in self._ticks.pop(at):
                if thing.look_at != at:
                    continue  # an earlier wish was met
                thing.look_at = 0
                again = _look(thing, now)
                if again and not thing.look_at:
                    self.enter(thing, again)

    async def turn_forever(self) -> None:
        """
        Turn with the time, until cancelled.
        """
        while True:
            await asyncio.sleep(TICK)
            self.turn()


def _look(thing: Timed, now: float) -> float:
    """
    Look at one thing; a bug there must not end the deadlines of all others.
    """
    try:
        return thing.look(now)
    except Exception as bug:  # noqa: BLE001 - it is told, and everything else goes on
        context = {"message": "a deadline could not be seen to", "exception": bug}
        asyncio.get_running_loop().call_exception_handler(context)
        return now + LOOK

"""
What time is, as a parameter: the core and the keeper never read a clock of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Two readings, both in seconds.

    Attributes:
        wall: Seconds since the epoch, UTC; may jump. For `iat`, `exp` and what people read.
        boot: Seconds since some start, never backwards, counting on through a suspend. For how
            long a token may be handed out, and for deadlines.
    """

    wall: Callable[[], float]
    boot: Callable[[], float]


# Ours, in seconds: clocks that are being adjusted drift apart by less between two looks.
LEAP = 2.0


@dataclass(slots=True)
class LeapWatch:
    """
    Notices a wall clock that leaps against the boot clock.

    Attributes:
        clock: The two.
    """

    clock: Clock
    _apart: float = field(init=False)

    def __post_init__(self) -> None:
        self._apart = self.clock.wall() - self.clock.boot()

    def leapt(self) -> float:
        """
        Return the seconds the wall clock has leapt ahead since the last look, negative for back;
        0.0 for less than `LEAP`.
        """
        apart = self.clock.wall() - self.clock.boot()
        leap, self._apart = apart - self._apart, apart
        return leap if abs(leap) >= LEAP else 0.0

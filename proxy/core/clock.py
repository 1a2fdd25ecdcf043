"""
What time is, as a parameter: the core and the keeper never read a clock of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
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

"""
What becomes of tokens when the wall clock leaps: they may be older than they look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.clock import LeapWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.tokens.means import Means
    from proxy.tokens.slot import Slot


class Leaps:
    """
    One keeper's watch over the wall clock.

    Args:
        means: The keeper's surroundings.
        slots: Its service users' slots.
    """

    def __init__(self, means: Means, slots: Mapping[str, Slot]) -> None:
        self._means = means
        self._slots = slots
        self._watch = LeapWatch(means.clock)

    def notice(self) -> None:
        """
        See whether the wall clock has leapt since the last look.
        """
        leap = self._watch.leapt()
        if not leap:
            return
        self._means.on_event("clock.leapt", seconds=leap)
        for slot in self._slots.values():
            if slot.static and slot.dead is None:
                slot.load(self._means.clock)
            elif leap > 0:
                slot.leap(leap)

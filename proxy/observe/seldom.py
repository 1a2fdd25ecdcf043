"""
What may be said in the log now, and not once per request: a flood of requests must not become a
flood of lines, and the number left out is said with the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

AGAIN: Final = 10.0
"""Seconds before the same is said again."""

MOST: Final = 4096
"""How many things are told apart; they are made of configured names, and go with reloads."""


class Seldom:
    """
    Tells when to say something that keeps happening.

    Args:
        now: Returns boot-clock seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[Hashable, list[float]] = {}  # when, and how many since

    def suppressed(self, key: Hashable) -> int | None:
        """
        Return how many were left out since it was said last; None if it was said a moment ago, and
        this one is left out too.

        Args:
            key: What makes it the same; of configured names alone.
        """
        now = self._now()
        said = self._said.get(key)
        if said is not None and now - said[0] < AGAIN:
            said[1] += 1
            return None
        if said is None and len(self._said) >= MOST:
            self._said.clear()
        self._said[key] = [now, 0]
        return 0 if said is None else int(said[1])

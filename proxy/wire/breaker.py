"""
Leaves an origin alone for a while after attempts to connect to it have failed in a row.

Theory of operation
-------------------
Closed, attempts pass and failures in a row are counted; a success sets the count back. At the
limit it opens: for `rest` seconds no attempt passes. Then one does, the probe. If it fails the
origin rests again, twice as long, up to `longest_rest`; if it succeeds all is as at the start.

Attempts run side by side, so one may end long after the breaker has opened. Each bears the number
of the round it began in, and a failure counts only in its own round: a burst that fails as one
opens the breaker once. A success tells that the origin is well, whenever its attempt began.

State: this object, changed by its pool alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.limits import PoolLimits

PROBED = 1.0
"""Seconds to come back in while a probe is on its way. Retry-After counts whole seconds."""


class Breaker:
    """
    The failures in a row of one origin.

    Args:
        limits: How many open it, and for how long.
        now: Returns boot-clock seconds.
    """

    __slots__ = ("_failures", "_limits", "_now", "_probing", "_rest", "_round", "_until")

    def __init__(self, limits: PoolLimits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._failures = 0
        self._rest = 0.0  # how long it rests this time; 0.0 while closed
        self._until = 0.0
        self._probing = False
        self._round = 0

    def __repr__(self) -> str:
        left = self.left()
        return f"<Breaker open, {left:.1f} s left>" if left else "<Breaker lets attempts pass>"

    def left(self) -> float:
        """
        Return for how many seconds no attempt may begin; 0.0 if one may now.
        """
        if not self._rest:
            return 0.0
        if self._probing:
            return PROBED
        return max(0.0, self._until - self._now())

    def begin(self) -> int:
        """
        Note that an attempt begins; return the round it bears.
        """
        self._probing = self._rest > 0
        return self._round

    def succeeded(self) -> None:
        """
        The origin takes connections.
        """
        self._failures = 0
        if self._rest:
            self._turn(0.0)

    def failed(self, attempt: int) -> None:
        """
        The attempt that began in this round failed.
        """
        if attempt != self._round:
            return
        if self._rest:
            self._turn(min(2 * self._rest, self._limits.longest_rest))
            return
        self._failures += 1
        if self._failures == self._limits.failures:
            self._turn(self._limits.rest)

    def undecided(self, attempt: int) -> None:
        """
        The attempt that began in this round says nothing of the origin: it ended on our side.
        """
        if attempt == self._round:
            self._probing = False

    def _turn(self, rest: float) -> None:
        self._round += 1
        self._failures = 0
        self._probing = False
        self._rest = rest
        self._until = self._now() + rest

"""
The half of a pool that knows only connections that stand, and how old they are.

A connection that rested longer than `limits.idle` is closed rather than used: it should end on our
side before it does on the upstream's, so that no request meets a closing door (RFC 9112 §9.3.1).
One older than `limits.age` is closed when it next comes to rest. Ages go by the time of the last
sweep, so nothing here reads a clock. `_aged` is the birth before which a connection is too old;
retiring sets it so that all are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.wire.limits import PoolLimits
    from proxy.wire.upstream import Upstream


class Shelf:
    """
    Connections to one origin, taken last-in first-out.

    Attributes:
        limits: What they may use up.
        retired: What comes to rest is closed.
    """

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.retired = False
        self._idle: list[Upstream] = []
        self._open: set[Upstream] = set()
        self._swept = 0.0
        self._aged = -math.inf

    def take(self) -> Upstream | None:
        """
        Return an idle connection, or None.
        """
        idle = self._idle
        while idle:
            upstream = idle.pop()
            transport = upstream.transport
            if transport is not None and not transport.is_closing():
                upstream.reused = True
                return upstream
        return None

    def retire(self) -> None:
        """
        Close what is idle now, and the rest as it becomes idle.
        """
        self.retired = True
        self._aged = math.inf
        self._sweep_idle(self._swept)

    def _note_time(self, now: float) -> None:
        if not self._swept:
            for upstream in self._open:
                upstream.born = now  # what came before the first sweep came now
        self._swept = now
        if self.limits.age and not self.retired:
            self._aged = now - self.limits.age

    def _sweep_idle(self, now: float) -> None:
        kept: list[Upstream] = []
        for upstream in self._idle:
            upstream.idle_since = upstream.idle_since or now
            if upstream.transport is None:
                continue
            if now - upstream.idle_since > self.limits.idle or upstream.born < self._aged:
                upstream.transport.close()
            else:
                kept.append(upstream)
        self._idle = kept

    def _abort_oldest(self) -> None:
        """
        Close the connection that rests longest, if there is one, so that its place comes free.
        """
        if self._idle:
            transport = self._idle.pop(0).transport
            if transport is not None:
                transport.abort()

"""
Spans on their way to a collector.

Theory of operation
-------------------
Whoever has a span hands it over and goes on: a thread of its own sends them, some hundred at once or
whatever has come after a few seconds. What waits is bounded, and beyond that spans are dropped and
counted: a collector that is slow, or not there, costs no request anything. That spans are lost is
told at most once a minute.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.observe.traces import Span

BOUND = 8192
"""Spans that may wait."""

BATCH = 512
"""Spans sent at once; OpenTelemetry's own default."""

PATIENCE = 2.0
"""Seconds a span waits for company."""

HASTE = 0.5
"""Seconds an export may take once it was told to hurry."""

QUIET = 60.0
"""Seconds between two complaints."""

FULL = "the collector takes them too slowly"


class Exporter(Protocol):
    """
    Sends spans; may take its time.
    """

    def export(self, spans: Sequence[Span]) -> str:
        """
        Send them, and return why that failed; empty if it did not. Raises nothing.
        """
        ...

    def hurry(self) -> None:
        """
        Have `export`, which may be under way, come to an end soon; there will be no more.
        """
        ...

    def close(self) -> None:
        """
        Let go of what it holds.
        """
        ...


class Spool:
    """
    Spans that wait, and the thread that sends them.

    Args:
        exporter: Sends them.
        tell: Told of spans that are lost: how many since it was told last, and why; called by the
            thread.
        now: Seconds since some start, never backwards.
    """

    def __init__(
        self,
        exporter: Exporter,
        tell: Callable[[int, str], None],
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._exporter = exporter
        self._tell = tell
        self._now = now
        self._waiting: deque[Span] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._under_way = 0
        self._lost = 0
        self._reason = ""
        self._next = 0.0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def put(self, spans: Sequence[Span]) -> None:
        """
        Hand over spans; returns at once.
        """
        with self._wake:
            if self._closing or len(self._waiting) + len(spans) > BOUND:
                self._lost += len(spans)
                self._reason = FULL
                return
            before = len(self._waiting)
            self._waiting.extend(spans)
            if before < BATCH <= len(self._waiting):
                self._wake.notify()

    def close(self, timeout: float) -> None:
        """
        Send what waits, for at most *timeout* seconds, and stop a moment later; what is left then is
        lost.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        with self._wake:
            self._lost += len(self._waiting)
            self._reason = self._reason or FULL
            self._waiting.clear()
        self._exporter.hurry()
        self._thread.join(HASTE)
        with self._wake:
            self._lost += self._under_way  # it hangs
        self._exporter.close()
        self._next = 0.0
        self._complain()

    def _run(self) -> None:
        while True:
            with self._wake:
                if len(self._waiting) < BATCH and not self._closing:
                    self._wake.wait(PATIENCE)
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._under_way = len(batch)
                if not batch and self._closing:
                    return
            reason = self._exporter.export(batch) if batch else ""
            with self._wake:
                self._under_way = 0
                if reason:
                    self._lost += len(batch)
                    self._reason = reason
            if not self._closing:  # else `close` has the last word
                self._complain()

    def _complain(self) -> None:
        """
        Tell of what was lost, unless that was done a moment ago.
        """
        with self._wake:
            lost, reason, now = self._lost, self._reason, self._now()
            if not lost or now < self._next:
                return
            self._lost = 0
            self._next = now + QUIET
        self._tell(lost, reason)

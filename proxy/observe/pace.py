"""
How the routes fare at the moment: rate, latency, share of errors over the last minute.

Theory of operation
-------------------
Nothing is counted for this. The counters that are there for the metrics only ever grow; they are
read now and again, and what lies between two readings is what happened in between. Percentiles are
worked out of a histogram's buckets, as Prometheus does it, so they are as fine as those.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from proxy.observe.cells import BUCKETS, each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.observe.cells import Cells
    from proxy.observe.metrics import Metrics

STEP = 5.0
"""Seconds between two readings."""

WINDOW = 60.0
"""Seconds that are looked back on."""

SLOTS = len(BUCKETS) + 1
NOTHING = (0,) * (SLOTS + 1)

Counts: TypeAlias = tuple[int, ...]
"""Requests per bucket, those that no bucket holds, and at the end those that failed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How the requests of one route fared.

    Attributes:
        requests: How many ended.
        errors: How many of them the caller got a status of 500 or more for.
        seconds: Within which time.
        p50: Seconds that half of them took at most; None without any. What took longer than the
            last bucket's bound counts as that bound.
        p90: The same of nine in ten.
        p99: The same of ninety-nine in a hundred.
    """

    requests: int
    errors: int
    seconds: float
    p50: float | None
    p90: float | None
    p99: float | None

    @property
    def rate(self) -> float:
        """
        Requests per second.
        """
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_share(self) -> float:
        """
        The share of errors, from 0 to 1.
        """
        return self.errors / self.requests if self.requests else 0.0


class Paces:
    """
    Looks at the counters.

    Args:
        metrics: Where requests are counted.
        now: Returns boot-clock seconds.
    """

    def __init__(self, metrics: Metrics, now: Callable[[], float]) -> None:
        self._metrics = metrics
        self._now = now
        self._readings: deque[tuple[float, Mapping[str, Counts]]] = deque()
        self.look()

    def look(self) -> None:
        """
        Read the counters; to be done every `STEP`.
        """
        now = self._now()
        while len(self._readings) > 1 and self._readings[1][0] <= now - WINDOW:
            self._readings.popleft()
        self._readings.append((now, self._read()))

    def paces(self) -> dict[str, Pace]:
        """
        Return how each route fares, by name; the empty name is for what came to no route.
        """
        now, counted = self._now(), self._read()
        then, before = next(
            (each for each in self._readings if each[0] >= now - WINDOW), self._readings[-1]
        )
        return {
            name: _pace(counts, before.get(name, NOTHING), now - then)
            for name, counts in counted.items()
        }

    def _read(self) -> dict[str, Counts]:
        routes = (self._metrics.unrouted, *self._metrics.routes.values())
        cells = {route.name: route.server for route in routes}  # routes of a name share them
        return {name: _sum(server) for name, server in cells.items()}


def _sum(cells: Cells) -> Counts:
    columns = [0] * SLOTS
    errors = 0
    for _, status, cell in each(cells):
        for slot, count in enumerate(cell.counts):
            columns[slot] += count
        if status[0] == "5":
            errors += sum(cell.counts)
    return (*columns, errors)


def _pace(after: Counts, before: Counts, seconds: float) -> Pace:
    # A route that left and came back is counted from the start
    *counts, errors = (max(0, one - other) for one, other in zip(after, before, strict=True))
    p50, p90, p99 = (quantile(counts, share) for share in (0.5, 0.9, 0.99))
    return Pace(sum(counts), errors, seconds, p50, p90, p99)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """
    Return the seconds that a share of the observations took at most; None without any.

    Args:
        counts: Observations per bucket of `BUCKETS`, then those that no bucket holds.
        share: More than 0, at most 1.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    lower = 0.0
    for upper, count in zip(BUCKETS, counts, strict=False):
        if count >= wanted:
            return lower + (upper - lower) * wanted / count
        wanted -= count
        lower = upper
    return BUCKETS[-1]

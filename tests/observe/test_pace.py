"""
How the routes fare at the moment.
"""

from __future__ import annotations

import pytest

from proxy.observe.cells import BUCKETS
from proxy.observe.metrics import Metrics
from proxy.observe.pace import STEP, WINDOW, Paces, quantile


class Time:
    """
    A clock that is set by hand.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Return what it is set to.
        """
        return self.now


@pytest.fixture
def metrics():
    """
    What is counted of one route.
    """
    metrics = Metrics()
    metrics.route("orders", "api.example", "reporter")
    return metrics


def count(metrics, times, *, status=200, seconds=0.003):
    """
    Count requests of the route.
    """
    route = metrics.route("orders", "api.example", "reporter")
    for _ in range(times):
        route.done("GET", status, seconds, status, seconds)


def test_rate_and_errors_are_of_what_happened_since(metrics):
    """
    What was counted before the first reading does not count here.
    """
    time = Time()
    count(metrics, 1000, status=500)
    paces = Paces(metrics, time)
    count(metrics, 15)
    count(metrics, 5, status=503)
    count(metrics, 5, status=599)
    time.now += 10

    pace = paces.paces()["orders"]

    assert (pace.requests, pace.errors, pace.rate, pace.error_share) == (25, 10, 2.5, 0.4)


def test_only_the_last_minute_counts(metrics):
    """
    A burst is forgotten a minute later, and no earlier than that.
    """
    time = Time()
    paces = Paces(metrics, time)
    count(metrics, 60)
    burst = []
    for _ in range(int(2 * WINDOW / STEP)):
        time.now += STEP
        paces.look()
        burst.append(paces.paces()["orders"].requests)

    kept = int(WINDOW / STEP)
    assert burst[: kept - 1] == [60] * (kept - 1)
    assert burst[kept:] == [0] * (len(burst) - kept)
    assert len(paces._readings) <= kept + 2


def test_nothing_asked_is_no_rate_and_no_latency(metrics):
    """
    A percentile of nothing is none.
    """
    time = Time()
    pace = Paces(metrics, time).paces()["orders"]

    assert (pace.rate, pace.error_share, pace.p50, pace.p99) == (0.0, 0.0, None, None)


def test_a_route_that_is_new_counts_from_nothing(metrics):
    """
    As after a reload; one that was dropped and came back does not count backwards.
    """
    time = Time()
    count(metrics, 10)
    paces = Paces(metrics, time)
    metrics.retain(())
    metrics.route("new", "a", "b").done("GET", 200, 0.1, 0, 0.0)
    count(metrics, 3)
    time.now += 1

    told = paces.paces()

    assert told["new"].requests == 1
    assert told["orders"].requests == 0


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ([0.003] * 4, 0.5, 0.0025),
        ([0.003] * 4, 1.0, 0.005),
        ([0.003] * 50 + [0.2] * 50, 0.5, 0.005),
        ([0.003] * 50 + [0.2] * 50, 0.75, 0.175),
        ([30.0], 0.99, BUCKETS[-1]),
        ([], 0.5, None),
    ],
    ids=["within the first", "its end", "border", "within another", "beyond the last", "none"],
)
def test_percentiles_are_worked_out_of_buckets(seconds, share, expected):
    """
    Evenly within a bucket, as Prometheus does it.
    """
    counts = [0] * (len(BUCKETS) + 1)
    for value in seconds:
        counts[next((at for at, upper in enumerate(BUCKETS) if value <= upper), len(BUCKETS))] += 1

    assert quantile(counts, share) == pytest.approx(expected)

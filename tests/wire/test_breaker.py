from __future__ import annotations

import pytest

from proxy.wire.breaker import PROBED, Breaker
from proxy.wire.limits import PoolLimits

LIMITS = PoolLimits(failures=3, rest=0.5, longest_rest=2.0)


@pytest.fixture
def breaker(clock):
    """
    Return one that opens after three failures.
    """
    return Breaker(LIMITS, clock)


def trip(breaker):
    """
    Have as many attempts fail as open it.
    """
    for _ in range(LIMITS.failures):
        breaker.failed(breaker.begin())


def fail_probe(breaker, clock):
    """
    Have the probe fail once the rest is over.
    """
    clock.seconds += breaker.left()
    breaker.failed(breaker.begin())


def test_opens_at_the_limit_and_not_before(breaker):
    """
    So many failures in a row, and attempts are no longer let pass.
    """
    for _ in range(LIMITS.failures - 1):
        breaker.failed(breaker.begin())
    assert breaker.left() == 0.0
    breaker.failed(breaker.begin())

    assert breaker.left() == 0.5


def test_a_success_counts_from_the_start(breaker):
    """
    Only failures in a row count.
    """
    for _ in range(LIMITS.failures - 1):
        breaker.failed(breaker.begin())
    breaker.succeeded()
    breaker.failed(breaker.begin())

    assert breaker.left() == 0.0


def test_one_probe_passes_once_the_rest_is_over(breaker, clock):
    """
    While it is on its way nobody else passes.
    """
    trip(breaker)
    clock.seconds += 0.5
    assert breaker.left() == 0.0
    breaker.begin()

    assert breaker.left() == PROBED


def test_rest_doubles_up_to_the_longest(breaker, clock):
    """
    Each probe that fails doubles the rest.
    """
    trip(breaker)
    rests = [breaker.left()]
    for _ in range(3):
        fail_probe(breaker, clock)
        rests.append(breaker.left())

    assert rests == [0.5, 1.0, 2.0, 2.0]


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    """
    Afterwards all is as at the start: the limit and the first rest.
    """
    trip(breaker)
    fail_probe(breaker, clock)
    clock.seconds += 1.0
    breaker.begin()
    breaker.succeeded()
    assert breaker.left() == 0.0
    breaker.failed(breaker.begin())
    assert breaker.left() == 0.0
    breaker.succeeded()
    trip(breaker)

    assert breaker.left() == 0.5


def test_a_burst_that_fails_as_one_opens_it_once(breaker):
    """
    Attempts that began before it opened do not prolong the rest.
    """
    burst = [breaker.begin() for _ in range(100)]
    for attempt in burst:
        breaker.failed(attempt)

    assert breaker.left() == 0.5


def test_a_late_failure_is_not_the_probes(breaker, clock):
    """
    An attempt from before does not end the probe.
    """
    late = breaker.begin()
    trip(breaker)
    clock.seconds += 0.5
    breaker.begin()
    breaker.failed(late)
    breaker.undecided(late)

    assert breaker.left() == PROBED


def test_a_late_success_is_one(breaker):
    """
    Whichever attempt succeeded, the origin takes connections; the probe then counts for nothing.
    """
    trip(breaker)
    breaker.succeeded()

    assert breaker.left() == 0.0


def test_an_undecided_probe_lets_another_pass(breaker, clock):
    """
    A probe that ended on our side neither closes it nor keeps it shut.
    """
    trip(breaker)
    clock.seconds += 0.5
    breaker.undecided(breaker.begin())

    assert breaker.left() == 0.0
    breaker.begin()
    assert breaker.left() == PROBED


def test_no_limit_no_rest(clock):
    """
    With `failures` 0 it never opens.
    """
    breaker = Breaker(PoolLimits(failures=0), clock)
    for _ in range(100):
        breaker.failed(breaker.begin())

    assert breaker.left() == 0.0


def test_repr_says_how_long(breaker):
    """
    It reads as what it does.
    """
    assert repr(breaker) == "<Breaker lets attempts pass>"
    trip(breaker)
    assert repr(breaker) == "<Breaker open, 0.5 s left>"

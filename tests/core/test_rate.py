"""
Permits and places: who gets them, who gives them back, what a reload leaves of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rate import Allowance, Gate, Meter, Rates, Usage
from proxy.errors import RateLimited

START = 1000.0

rates = st.floats(1 / 3600, 1000.0)
bursts = st.integers(1, 50).map(float)
steps = st.lists(st.floats(0.0, 5.0) | st.sampled_from([0.0, 0.001, 60.0]), max_size=200)
jumps = st.lists(st.floats(-1e6, 1e6) | st.just(0.0), max_size=200)


def limited(rate=0.0, burst=1.0, concurrent=0, *, scope: Any = "caller", name="ci"):
    """
    Return a meter of which nothing has been used.
    """
    return Meter(scope, name, Allowance(rate, burst, concurrent))


def taken(meter, times):
    """
    Return at which of these times a request went on; each ends at once.
    """
    served = []
    for now in times:
        if not meter.enter(now):
            meter.leave()
            served.append(now)
    return served


@given(rates, bursts, steps)
def test_never_more_than_burst_and_rate_times_seconds(rate, burst, waits):
    """
    Over any stretch of time, not only from the start.
    """
    times = [START + sum(waits[:count]) for count in range(len(waits) + 1)]

    served = taken(limited(rate, burst), times)

    for first, begin in enumerate(served):
        for last, end in enumerate(served[first:], first):
            assert last - first + 1 <= burst + rate * (end - begin) + 1e-6


@given(rates, bursts, jumps)
def test_a_clock_that_jumps_gives_no_more_than_its_way_forward(rate, burst, leaps):
    """
    Time that goes back brings no permits; what it goes forward afterwards does.
    """
    times = [START + sum(leaps[:count]) for count in range(len(leaps) + 1)]
    forward = sum(max(later - now, 0.0) for now, later in pairwise(times))

    assert len(taken(limited(rate, burst), times)) <= burst + rate * forward * 1.000001 + 1e-6


@given(rates, bursts, st.integers(0, 100))
def test_a_clock_that_stands_still_gives_the_burst(rate, burst, more):
    """
    And not one request beyond it.
    """
    assert len(taken(limited(rate, burst), [START] * int(burst + more))) == burst


@given(rates, bursts)
def test_who_waits_as_told_is_served(rate, burst):
    """
    The time told is enough, and one that is clearly shorter is not.
    """
    meter = limited(rate, burst)
    taken(meter, [START] * int(burst))
    wait = meter.enter(START)

    assert wait == pytest.approx(1 / rate)
    assert meter.enter(START + wait * 0.99)
    assert not meter.enter(START + wait * 1.000001)


@given(rates, bursts, st.integers(0, 1000))
def test_a_refused_request_costs_nothing(rate, burst, refusals):
    """
    However often somebody tries in vain, the next permit comes no later.
    """
    meter = limited(rate, burst)
    taken(meter, [START] * int(burst))
    wait = meter.enter(START)

    assert all(meter.enter(START) == wait for _ in range(refusals))
    assert meter.usage.active == 0


def test_a_clock_that_jumped_back_is_forgotten():
    """
    Nobody waits until it is where it was: a permit comes a second after the jump.
    """
    meter = limited(rate=1.0)
    assert not meter.enter(1e6)
    assert meter.enter(5.0) == 1.0

    assert not meter.enter(6.0)


def test_after_a_rest_there_is_the_burst_and_no_more():
    """
    Permits do not gather beyond it.
    """
    meter = limited(rate=10.0, burst=3.0)
    taken(meter, [START] * 3)

    assert len(taken(meter, [START + 1e6] * 9)) == 3


def test_requests_at_once_are_counted_until_they_leave():
    """
    One more is told to come back in a second; when one has left, it is let in.
    """
    meter = limited(concurrent=2)
    assert [meter.enter(START) for _ in range(3)] == [0.0, 0.0, 1.0]

    meter.leave()
    assert [meter.enter(START) for _ in range(2)] == [0.0, 1.0]


def test_a_place_that_is_not_there_costs_no_permit():
    """
    Who is refused because of the number at once keeps what the rate allows.
    """
    meter = limited(rate=1.0, burst=2.0, concurrent=1)
    assert [meter.enter(START), meter.enter(START)] == [0.0, 1.0]

    meter.leave()
    assert meter.enter(START) == 0.0


def test_a_request_sent_once_more_is_charged_and_never_refused():
    """
    It takes a permit even if none is there, and the next request waits for both.
    """
    meter = limited(rate=1.0, burst=1.0)
    assert not meter.enter(START)
    meter.charge(START)
    meter.leave()

    assert meter.enter(START) == 2.0
    assert not meter.enter(START + 2.0)


def test_without_a_rate_a_charge_is_nothing():
    """
    What only limits the number at once counts no permits.
    """
    meter = limited(concurrent=1)
    meter.charge(START)

    assert not meter.enter(START)
    assert meter.usage.permits == math.inf


@pytest.fixture
def gate():
    """
    A gate with one limited caller, on one limited and one free listener.
    """
    listener = limited(rate=1.0, scope="listener", name="127.0.0.1:8080")
    callers = {"ci": limited(rate=1.0, burst=2.0)}
    return Gate(callers, (listener, None), {}, defaultdict(int))


@pytest.fixture
def upstream():
    """
    An upstream that takes one request a second.
    """
    return limited(rate=1.0, scope="upstream", name="https://a.example")


@pytest.mark.parametrize(
    ("caller", "listener", "counted"),
    [
        pytest.param("ci", 0, ["ci"], id="by its name"),
        pytest.param("ci", 1, ["ci"], id="on every listener"),
        pytest.param("other", 0, [], id="not limited"),
        pytest.param(None, 0, ["127.0.0.1:8080"], id="nobody known"),
        pytest.param(None, 1, [], id="nobody known on a free listener"),
    ],
)
def test_a_request_is_counted_for_its_caller_or_its_listener(gate, caller, listener, counted):
    """
    For the caller if it is known, else for all of those who are not on this listener together.
    """
    assert [meter.name for meter in gate.enter(caller, listener, None, START)] == counted


def test_a_request_is_counted_for_its_upstream_too(gate, upstream):
    """
    And leaves both, or the upstream's alone.
    """
    assert [each.scope for each in gate.enter("ci", 0, upstream, START)] == ["caller", "upstream"]
    assert [each.scope for each in gate.enter(None, 1, upstream, START + 1)] == ["upstream"]


def test_what_the_upstream_cannot_take_is_given_back_to_the_caller(gate, upstream):
    """
    A refusal of the one costs nothing with the other, neither permit nor place.
    """
    gate.enter("ci", 0, upstream, START)
    with pytest.raises(RateLimited, match=r"^the upstream is at its limit of 1 requests a second$"):
        gate.enter("ci", 0, upstream, START)

    caller = gate.callers["ci"].usage
    assert (caller.permits, caller.active) == (1.0, 1)
    assert gate.refused == {("upstream", "https://a.example"): 1}


@pytest.mark.parametrize(
    ("meter", "reason", "after"),
    [
        (limited(rate=50.0), "caller ci is at its limit of 50 requests a second", 1),
        (limited(rate=0.3), "caller ci is at its limit of one request every 3.33333 seconds", 4),
        (limited(rate=1 / 3600), "caller ci is at its limit of one request every 3600 seconds", 3600),
        (limited(concurrent=1), "caller ci is at its limit of 1 requests at the same time", 1),
        (limited(rate=9.0, burst=5.0, concurrent=1), "caller ci is at its limit of 1 requests at the same time", 1),
        (limited(rate=1.0, scope="listener", name="unix:/a"), "listener unix:/a is at its limit of 1 requests a second", 1),
    ],
    ids=["a second", "slower", "an hour", "at once", "at once before rate", "listener"],
)  # fmt: skip
def test_a_refusal_says_why_and_for_how_long(meter, reason, after):
    """
    Its reason names the limit for the log; the time is in whole seconds, rounded up, at least one.
    """
    assert not meter.enter(START)

    refusal = meter.refusal(meter.enter(START))

    assert (refusal.reason, refusal.retry_after) == (reason, after)


def test_a_reload_gives_nobody_a_full_bucket():
    """
    What was used under a name stays used under the next allowance, places included; another name
    and another scope begin anew.
    """
    rates = Rates()
    before = rates.meter("caller", "ci", Allowance(1.0, 5.0, 2))
    taken(before, [START] * 4)
    before.enter(START)

    after = rates.meter("caller", "ci", Allowance(1.0, 9.0, 1))
    assert (after.enter(START), after.enter(START + 9)) == (1.0, 1.0)
    before.leave()
    assert after.enter(START + 9) == 0.0
    assert rates.meter("caller", "other", Allowance(1.0)).enter(START) == 0.0
    assert rates.meter("upstream", "ci", Allowance(1.0)).enter(START) == 0.0


def test_a_smaller_burst_holds_at_once():
    """
    What had gathered under the allowance before is cut.
    """
    rates = Rates()
    taken(rates.meter("caller", "ci", Allowance(1.0, 100.0)), [START])

    assert len(taken(rates.meter("caller", "ci", Allowance(1.0, 2.0)), [START] * 9)) == 2


def test_names_that_are_gone_are_forgotten():
    """
    After a reload only what the configuration names is kept, refusals included.
    """
    rates = Rates()
    callers = {"a": rates.meter("caller", "a", Allowance(1.0))}
    listener = rates.meter("listener", "l", Allowance(1.0))
    upstreams = {"u": rates.meter("upstream", "u", Allowance(1.0))}
    gone = rates.meter("caller", "b", Allowance(1.0))
    assert repr(rates) == "<Rates of 4 names>"
    rates.retain(Gate(callers, (None, listener), upstreams, rates.refused))

    assert rates.refused == {("caller", "a"): 0, ("listener", "l"): 0, ("upstream", "u"): 0}
    assert rates.meter("caller", "a", Allowance(1.0)).usage is callers["a"].usage
    assert rates.meter("caller", "b", Allowance(1.0)).usage is not gone.usage
    rates.retain(None)
    assert rates.refused == {}


def test_a_usage_reads_well():
    """
    Its permits and places are what a maintainer wants to see.
    """
    assert repr(Usage()) == "<Usage inf permits left, 0 active>"

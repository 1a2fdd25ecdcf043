from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.credential import Issuer
from proxy.errors import MintHeldBack, MintTimeout, MintUnavailable
from proxy.tokens.breaker import (
    COME_BACK,
    EAGER,
    KNOCK,
    LATER_KNOCK,
    LIMIT,
    LONGEST_TRIAL,
    MAX_ISSUERS,
    TRIAL_TIME,
    Breaker,
    Breakers,
)

DOWN = MintUnavailable("down", shared=True)
CHANCE = st.floats(0, 1, exclude_max=True)


def opened(now: float = 0.0, chance: float = 0.5) -> Breaker:
    """
    Return a breaker that three failures have opened.
    """
    breaker = Breaker()
    for _ in range(LIMIT):
        breaker.failed(DOWN, now, chance)
    return breaker


def test_three_failures_in_a_row_open_it():
    """
    Two could be chance; the third is news, the fourth is not.
    """
    breaker = Breaker()

    assert [breaker.failed(DOWN, 0.0, 0.5) for _ in range(4)] == [False, False, True, False]
    assert breaker.open
    assert repr(breaker).startswith("<Breaker open")


def test_a_token_in_between_sets_the_count_back():
    """
    Only failures in a row count, and a success while closed is no news.
    """
    breaker = Breaker()
    for _ in range(10):
        breaker.failed(DOWN, 0.0, 0.5)
        breaker.failed(DOWN, 0.0, 0.5)
        assert not breaker.succeeded()

    assert not breaker.open
    assert breaker.standing(0.0) is None
    assert breaker.knock_at() == math.inf


@pytest.mark.parametrize("seconds", [0.0, 1.0, 30.0, 300.0])
def test_retry_after_opens_it_at_once_and_is_kept_to(seconds):
    """
    An issuer that asks for patience is given it, whatever chance and knocks say.
    """
    breaker = Breaker()

    assert breaker.failed(MintUnavailable("busy", shared=True, retry_after=seconds), 10.0, 0.0)
    assert not breaker.knocked(10.0, well=True) or seconds == 0.0
    if seconds:
        held = breaker.standing(10.0)
        assert isinstance(held, MintHeldBack)
        assert held.retry_after == max(seconds, COME_BACK)
        assert breaker.wait(10.0 + seconds - 0.1) > 0
    assert breaker.wait(10.0 + seconds) == 0.0


def test_one_trial_at_a_time():
    """
    While it runs nobody else may; when it has ended, the next is a longer wait away.
    """
    breaker = opened(chance=0.5)
    assert breaker.wait(0.0) == pytest.approx(1.5)

    trial = breaker.begin(2.0)
    assert trial
    assert breaker.standing(2.0) is not None
    breaker.failed(DOWN, 3.0, 0.5, trial=trial)

    assert breaker.wait(3.0) == pytest.approx(3.0)
    assert breaker.wait(6.0) == 0.0


def test_a_trial_that_never_ends_does_not_block_for_ever():
    """
    Its time is up after thrice the deadline of a mint.
    """
    breaker = opened()
    breaker.begin(1.0)

    assert breaker.standing(1.0 + TRIAL_TIME - 0.1) is not None
    assert breaker.standing(1.0 + TRIAL_TIME) is None


def test_a_trial_that_says_nothing_of_the_issuer_makes_room_for_the_next():
    """
    A key that has expired is no reason to keep the others waiting.
    """
    breaker = opened()
    breaker.ended(trial=breaker.begin(2.0))

    assert breaker.standing(2.0) is None


def test_waits_grow_with_jitter_to_a_cap():
    """
    Up to 2, 4, 8, 16 s from one trial to the next, and never less than half of that.
    """
    breaker, now, waits = opened(chance=0.999_999), 0.0, []
    for _ in range(7):
        waits.append(round(breaker.wait(now)))
        now += breaker.wait(now)
        breaker.failed(DOWN, now, 0.999_999, trial=breaker.begin(now))

    assert waits == [2, 4, 8, LONGEST_TRIAL, LONGEST_TRIAL, LONGEST_TRIAL, LONGEST_TRIAL]
    assert opened(chance=0.0).wait(0.0) == 1.0


def test_a_timeout_opens_it_at_once():
    """
    Ten seconds have been waited already; nobody else should.
    """
    breaker = Breaker()

    assert breaker.failed(MintTimeout("slow", shared=True), 0.0, 0.5)
    assert breaker.standing(0.0) is not None


def test_it_is_silent_only_once_a_knock_was_in_vain():
    """
    Before, nobody knows; a knock that is answered ends it.
    """
    breaker = opened()
    seen = [breaker.silent]
    for well in (False, True):
        breaker.knocked(0.75, well=well)
        seen.append(breaker.silent)

    assert seen == [False, True, False]


def test_a_token_closes_it():
    """
    That is news, and nothing of the outage is left.
    """
    breaker = opened()
    breaker.begin(1.0)

    assert breaker.succeeded()
    assert not breaker.open
    assert breaker.standing(1.0) is None
    assert not breaker.failed(DOWN, 2.0, 0.5), "the next failure is the first again"


def test_an_issuer_that_was_silent_and_answers_lets_the_next_mint_pass():
    """
    Whatever the wait: down means silent, and an answer means up.
    """
    breaker = opened(chance=0.999)
    assert not breaker.knocked(0.75, well=False)
    assert breaker.standing(0.75) is not None

    assert breaker.knocked(1.5, well=True)
    assert breaker.standing(1.5) is None


def test_an_issuer_that_answers_every_knock_is_governed_by_waits():
    """
    One whose front is up and whose token endpoint is not sees no more for it.
    """
    breaker = opened(chance=0.9)
    assert breaker.knocked(0.75, well=True), "nobody knows yet whether it is silent"
    breaker.failed(DOWN, 0.8, 0.9, trial=breaker.begin(0.75))

    for step in range(4):
        assert not breaker.knocked(1.5 + step * KNOCK, well=True)
        assert breaker.standing(1.5 + step * KNOCK) is not None
    assert breaker.wait(0.8) == pytest.approx((0.5 + 0.5 * 0.9) * 4)


def test_an_issuer_that_falls_silent_later_is_noticed_when_it_answers_again():
    """
    Each time it comes back is a reason to try.
    """
    breaker = opened(chance=0.999)
    for start in (10.0, 20.0, 30.0):
        breaker.failed(DOWN, start, 0.999, trial=breaker.begin(start))
        assert not breaker.knocked(start + 1, well=False)
        assert breaker.knocked(start + 2, well=True)
        assert breaker.standing(start + 2) is None


def test_failures_of_mints_begun_before_it_opened_are_no_trials():
    """
    Fifty service users that were asking at once all fail at once; that is one outage, not fifty
    trials, and a knock that is answered a moment later still lets the next mint pass.
    """
    breaker = Breaker()
    trials = [breaker.begin(0.0) for _ in range(50)]
    for trial in trials:
        breaker.failed(DOWN, 0.1, 0.999, trial=trial)

    assert breaker.wait(0.1) < 2.0
    assert breaker.knocked(0.85, well=True)
    assert breaker.standing(0.85) is None


def test_a_late_failure_does_not_end_the_trial_of_another():
    """
    A mint from before it opened says nothing of the trial under way.
    """
    breaker = Breaker()
    late = [breaker.begin(0.0) for _ in range(4)]
    for trial in late[:3]:
        breaker.failed(DOWN, 0.0, 0.0, trial=trial)
    breaker.begin(1.0)
    breaker.failed(MintTimeout("slow", shared=True), 2.0, 0.0, trial=late[3])
    breaker.ended(trial=late[3])

    assert breaker.standing(2.0) is not None


def test_knocks_come_often_for_two_minutes_and_seldom_after_that():
    """
    About 160 in the first two minutes, twelve a minute later; none while closed.
    """
    breaker, times = opened(), []
    while (now := breaker.knock_at()) < 600.0:
        times.append(now)
        breaker.knocked(now, well=False)

    assert times[0] == KNOCK
    assert len([t for t in times if t <= EAGER]) == EAGER / KNOCK
    assert len([t for t in times if t > EAGER + 1]) == pytest.approx(480 / LATER_KNOCK, abs=2)
    breaker.succeeded()
    assert breaker.knock_at() == math.inf
    assert not breaker.knocked(600.0, well=True)


def test_what_it_says_names_the_cause_and_a_time():
    """
    Each who asks gets an error of its own, without the traceback of the one that opened it.
    """
    breaker = opened(chance=0.999)
    one, other = breaker.standing(0.5), breaker.standing(0.5)

    assert one is not None
    assert one is not other
    assert one.reason == "the issuer is left alone for a while: down"
    assert one.retry_after == pytest.approx(1.5, abs=0.01)
    assert one.shared


def play(chances, seconds: float, *, answers: bool, users: int) -> tuple[int, Breaker]:
    """
    Return the token requests a breaker lets pass while *users* ask ten times a second, in vain.
    """
    breaker, requests, now = Breaker(), 0, 0.0
    for step in range(int(seconds * 10)):
        now = step / 10
        if breaker.knock_at() <= now:
            breaker.knocked(now, well=answers)
        passing = [breaker.begin(now) for _ in range(users) if breaker.standing(now) is None]
        requests += len(passing)
        for trial in passing:
            breaker.failed(DOWN, now, next(chances), trial=trial)
    return requests, breaker


def drawn(chances: list[float]):
    """
    Repeat what Hypothesis has drawn.
    """
    return itertools.cycle(chances)


MANY = st.lists(CHANCE, min_size=1, max_size=30)


@settings(deadline=None)
@given(MANY, st.booleans(), st.integers(1, 5))
def test_an_outage_of_a_minute_costs_few_token_requests(chances, answers, users):
    """
    At most 15 beyond those that were under way when it began, however chance falls, and whether
    the issuer is silent or answers everything but mints.
    """
    requests, _ = play(drawn(chances), 60.0, answers=answers, users=users)

    assert requests <= 15


@settings(deadline=None, max_examples=10)
@given(MANY)
def test_more_service_users_do_not_cost_more_trials(chances):
    """
    A hundred that ask at once are a hundred requests at once, and then as few as one's.
    """
    requests, _ = play(drawn(chances), 60.0, answers=False, users=100)

    assert requests - 100 <= 12


@settings(deadline=None, max_examples=25)
@given(MANY)
def test_an_outage_of_ten_minutes_costs_few_more(chances):
    """
    The wait has its cap of half a minute by then: eight a minute at the very most.
    """
    requests, _ = play(drawn(chances), 600.0, answers=False, users=3)

    assert requests <= 90


@settings(deadline=None)
@given(MANY, st.floats(0.2, EAGER - 2), st.integers(1, 20))
def test_the_end_of_a_total_outage_is_noticed_within_two_seconds(chances, lasts, users):
    """
    However far away the next trial is: the first knock that is answered lets a mint pass.
    """
    _, breaker = play(drawn(chances), lasts, answers=False, users=users)
    now = lasts
    while breaker.standing(now) is not None and now < lasts + 100:
        now = max(breaker.knock_at(), now)
        breaker.knocked(now, well=True)

    assert now - lasts <= 2.0


@given(st.lists(st.tuples(st.sampled_from("fsbek"), st.floats(0, 20), CHANCE), max_size=60))
def test_it_never_blocks_for_ever(steps):
    """
    After anything at all a mint may begin within the longest wait there is.
    """
    breaker, now = Breaker(), 0.0
    for what, seconds, chance in steps:
        now += seconds
        match what:
            case "f":
                breaker.failed(DOWN, now, chance, trial=chance > 0.5)
            case "s":
                breaker.succeeded()
            case "b":
                breaker.begin(now)
            case "e":
                breaker.ended(trial=chance > 0.5)
            case _:
                breaker.knocked(now, well=chance > 0.5)
        assert (breaker.standing(now) is None) == (breaker.wait(now) == 0.0)

    assert breaker.standing(now + max(LONGEST_TRIAL, TRIAL_TIME)) is None


def test_there_is_one_breaker_per_place():
    """
    The same url dialled elsewhere is another issuer; a name is not a place.
    """
    breakers = Breakers()
    acme = breakers(Issuer("acme", "https://acme.example"))

    assert breakers(Issuer("renamed", "https://acme.example")) is acme
    assert breakers(Issuer("acme", "https://other.example")) is not acme
    assert breakers(Issuer("acme", "https://acme.example", connect_to="http://z:1")) is not acme


def test_breakers_are_bounded():
    """
    Reloads that name ever other issuers do not grow memory.
    """
    breakers = Breakers()
    for number in range(2 * MAX_ISSUERS):
        breakers(Issuer("i", f"https://{number}.example"))

    assert len(breakers._breakers) == MAX_ISSUERS

"""
What service users see of issuers in trouble: keeper, supply, attempt, backoff and breaker together.
"""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.token import Token
from proxy.errors import MintHeldBack, MintRejected, MintTimeout, MintUnavailable
from tests.tokens.stage import Play, Stage, user

FIVE = tuple(user(f"user-{number}") for number in range(5))
NAMES = tuple(each.name for each in FIVE)


@pytest.fixture
async def stage():
    """
    A stage with chance 0.5.
    """
    made = Stage()
    yield made
    await made.close()


async def warm(stage, *users):
    """
    Return a keeper whose users all have tokens that somebody wants.
    """
    keeper = stage.keeper(*users)
    await stage.pass_time(1.0)
    for each in users:
        await keeper.get(each.name)
    return keeper


async def use(stage, keeper, seconds, step=1.0):
    """
    Let time pass while all users' tokens are wanted.
    """
    until = stage.now + seconds
    while stage.now < until:
        for state in keeper.states():
            keeper.slot(state.name).used = True
        await stage.pass_time(min(step, until - stage.now))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["down", "sick"]))
async def test_five_cold_users_cost_a_down_issuer_few_requests(seed, mode):
    """
    At most 15 token requests in the first minute, all five together, whatever the jitter.
    """
    stage = Stage(seed)
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"].mode = mode
    await stage.pass_time(60.0)

    assert 5 <= stage.count("acme") <= 15
    assert stage.most_under_way == 1
    assert stage.told("issuer.left_alone") == ["issuer.left_alone"]
    assert {state.condition for state in keeper.states()} == {"failing"}
    await stage.close()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from(["down", "hangs"]))
async def test_the_end_of_an_outage_heals_all_within_two_seconds(seed, mode):
    """
    A knock finds it out, one mint confirms it, and everything that had failed is due at once.
    """
    stage = Stage(seed)
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"].mode = mode
    await stage.pass_time(60.0)
    if mode == "hangs":  # a trial that hangs is waited for to its deadline
        while any(stage.under_way.values()):
            await stage.pass_time(0.5)
    stage.plays["acme"].mode = "well"
    await stage.pass_time(2.0)

    assert {state.condition for state in keeper.states()} == {"ready"}
    assert stage.told("issuer.recovered") == ["issuer.recovered"]
    await stage.close()


async def test_ten_minutes_down_cost_little_and_no_valid_token(stage):
    """
    Users with tokens are served all along, and few requests are made meanwhile.
    """
    keeper = await warm(stage, *FIVE)
    await use(stage, keeper, 2800.0, step=10.0)
    began = stage.now
    stage.plays["acme"].mode = "down"
    served = {name: keeper.slot(name).token for name in NAMES}
    await use(stage, keeper, 600.0, step=5.0)

    assert {name: keeper.slot(name).token for name in NAMES} == served
    assert {state.condition for state in keeper.states()} == {"stale"}
    assert stage.count("acme", since=began) <= 60
    stage.plays["acme"].mode = "well"
    await use(stage, keeper, 7.0)
    assert {state.condition for state in keeper.states()} == {"ready"}
    assert all(keeper.slot(name).token is not served[name] for name in NAMES)


async def test_one_issuer_that_is_down_does_not_hold_up_anothers_users(stage):
    """
    Each issuer has its own breaker and its own flights.
    """
    here, there = user("here", "acme"), user("there", "other")
    keeper = stage.keeper(here, there)
    stage.plays["acme"].mode = "hangs"
    await stage.pass_time(60.0)
    before = stage.now

    assert isinstance(await stage.ask(keeper, "there"), Token)
    assert stage.now == before
    assert stage.count("other") == 1
    assert keeper.state("here").condition == "failing"


async def test_a_user_that_is_refused_does_not_hold_up_the_others(stage):
    """
    A no in proper form says that the issuer is well, however often it is said.
    """
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"].refused = {"user-0"}
    await stage.pass_time(120.0)

    assert [state.condition for state in keeper.states()] == ["failing"] + ["ready"] * 4
    assert "issuer.left_alone" not in stage.told()
    assert sum(name == "user-0" for _, _, name in stage.mints) <= 7
    assert isinstance(await stage.ask(keeper, "user-0"), MintRejected)


async def test_a_no_to_the_trial_shows_that_the_issuer_is_well(stage):
    """
    The user that tries may be the one whose secret is wrong; the others need not wait for theirs.
    """
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"] = Play("down", refused={"user-0"})
    await stage.pass_time(30.0)
    stage.plays["acme"].mode = "well"
    await stage.pass_time(2.0)

    assert [state.condition for state in keeper.states()] == ["failing"] + ["ready"] * 4


@pytest.mark.parametrize("seconds", [7.0, 42.0, 300.0])
async def test_throttling_with_retry_after_is_kept_to_by_all(stage, seconds):
    """
    The first 429 stops everybody for as long as it says, knocks or not; then one asks first.
    """
    keeper = stage.keeper(FIVE[0])
    stage.plays["acme"] = Play("throttles", retry_after=seconds)
    await stage.pass_time(0.0)
    other = stage.keeper(*FIVE[1:])
    began = stage.now
    await stage.pass_time(seconds / 2)
    assert isinstance(await stage.ask(other, "user-1"), MintHeldBack)
    await stage.pass_time(seconds / 2 - 0.1)

    assert stage.count("acme") == 1
    stage.plays["acme"].mode = "well"
    await stage.pass_time(3.0)
    assert stage.now - began > seconds
    assert {state.condition for state in (*keeper.states(), *other.states())} == {"ready"}


async def test_throttling_without_retry_after_is_backed_off_from(stage):
    """
    A 429 that names no time is counted like any trouble.
    """
    stage.keeper(*FIVE)
    stage.plays["acme"] = Play("throttles", retry_after=None)
    await stage.pass_time(60.0)

    assert 5 <= stage.count("acme") <= 15


async def test_the_longer_of_two_requests_for_patience_counts(stage):
    """
    Users that asked at once are told 300 s and 1 s: all wait 300 s.
    """
    breaker = stage.breakers(FIVE[0].issuer)
    late = breaker.begin(0.0)
    for seconds in (300.0, 1.0):
        busy = MintUnavailable("busy", shared=True, retry_after=seconds)
        breaker.failed(busy, 0.0, 0.5, trial=late)

    assert breaker.standing(299.0) is not None


async def test_a_caller_waits_a_moment_for_a_trial_and_no_longer(stage):
    """
    Whoever asks during an outage gets its answer within a second, with a time to come back.
    """
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"].mode = "down"
    await stage.pass_time(45.0)
    for _ in range(40):
        before = stage.now
        error = await stage.ask(keeper, "user-1")
        assert isinstance(error, MintUnavailable)
        assert stage.now - before <= 2.0
        await stage.pass_time(0.3)


@pytest.mark.parametrize(
    ("mode", "requests"), [("nonsense", 3), ("down", 3), ("hangs", 1), ("throttles", 1)]
)
async def test_callers_who_wait_are_given_more_than_one_attempt(stage, mode, requests):
    """
    Three for a passing failure, with short jittered pauses; one after a deadline or a Retry-After.
    """
    keeper = stage.keeper(user("lazy", required=False))
    stage.plays["acme"] = Play(mode, retry_after=60.0 if mode == "throttles" else None)
    before = stage.now
    outcome = await stage.ask(keeper, "lazy")

    assert isinstance(outcome, MintTimeout if mode == "hangs" else MintUnavailable)
    assert stage.count("acme") == requests
    gaps = [after - first for (first, *_), (after, *_) in itertools.pairwise(stage.mints)]
    assert gaps == [0.125, 0.25][: requests - 1]
    assert stage.now - before <= (10.0 if mode == "hangs" else 0.75)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
async def test_pauses_between_attempts_have_full_jitter(seed):
    """
    Anywhere between nothing and a quarter of a second, then half a second.
    """
    stage = Stage(seed)
    keeper = stage.keeper(user("lazy", required=False))
    stage.plays["acme"].mode = "nonsense"
    await stage.ask(keeper, "lazy")
    first, second, third = (when for when, *_ in stage.mints)

    assert 0 <= second - first <= 0.25
    assert 0 <= third - second <= 0.5
    await stage.close()


async def test_a_blip_is_not_seen_by_those_who_wait(stage):
    """
    One failed attempt, and the second gives the token.
    """
    keeper = stage.keeper(user("lazy", required=False))
    stage.plays["acme"].error = MintUnavailable("blip", shared=True)

    async def mint(who, mint=stage.mint):
        try:
            return await mint(who)
        finally:
            stage.plays["acme"].error = None

    keeper = stage.keeper(user("lazy", required=False), mint=mint)
    assert isinstance(await stage.ask(keeper, "lazy"), Token)
    assert stage.count("acme") == 2
    assert keeper.state("lazy").last_error == ""


async def test_a_renewal_is_not_hurried(stage):
    """
    With a usable token at hand a failed renewal makes one request, and the next is later.
    """
    keeper = await warm(stage, FIVE[0])
    stage.plays["acme"].mode = "nonsense"
    keeper.slot("user-0").used = True
    await stage.pass_time(2880.4 - (stage.now - 1000.0))

    assert stage.count("acme") == 2
    assert keeper.state("user-0").condition == "stale"


async def test_known_trouble_is_not_hurried(stage):
    """
    Only the first failure in a row is followed by more attempts at once.
    """
    keeper = stage.keeper(user("lazy", required=False))
    stage.plays["acme"].mode = "nonsense"
    await stage.ask(keeper, "lazy")
    await stage.pass_time(5.0)
    before = stage.count("acme")
    await stage.ask(keeper, "lazy")

    assert stage.count("acme") == before + 1


async def test_nonsense_is_one_users_trouble(stage):
    """
    An odd answer to one does not stop another.
    """
    keeper = stage.keeper(*FIVE)
    stage.plays["acme"].mode = "nonsense"
    await stage.pass_time(60.0)

    assert not stage.breakers(FIVE[0].issuer).open
    stage.plays["acme"].mode = "well"
    await stage.pass_time(10.0)
    assert {state.condition for state in keeper.states()} == {"ready"}


async def test_a_trial_that_is_cancelled_does_not_block(stage):
    """
    A generation that ends in the middle of its trial leaves the next one free to try.
    """
    old = stage.keeper(FIVE[0])
    stage.plays["acme"].mode = "down"
    await stage.pass_time(20.0)
    stage.plays["acme"] = Play("hangs")
    while not stage.under_way["user-0"]:
        await stage.pass_time(0.25)
    await old._flights.close()
    stage.keepers.remove(old)
    del stage._next_tick[old]
    stage.plays["acme"].mode = "well"
    new = stage.keeper(FIVE[1])
    await stage.pass_time(2.0)

    assert new.state("user-1").condition == "ready"
    assert stage.breakers(FIVE[1].issuer).knock_at() == math.inf

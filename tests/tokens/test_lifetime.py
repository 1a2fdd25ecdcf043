"""
How long tokens are served: lifetimes from a second to a day, a wall clock that leaps, sleep.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from proxy.core.credential import FixedToken
from proxy.core.secret import Secret
from proxy.core.token import RENEW_FROM, Token
from proxy.errors import CredentialInvalid, MintUnavailable, TokenError
from tests.tokens.stage import Stage, pat, user

ONE = user("one")


@pytest.fixture
async def stage():
    """
    A stage with chance 0.5.
    """
    made = Stage()
    yield made
    await made.close()


async def served(stage, keeper, name="one") -> Token:
    """
    Return what a caller gets, which must be usable by the boot clock.
    """
    token: Token = await keeper.get(name)
    assert token.usable(stage.now)
    assert stage.now < token.born + token.lifetime
    return token


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("lifetime", [1.0, 2.0, 5.0])
async def test_short_lives_cost_one_mint_per_life_and_not_per_request(chance, lifetime):
    """
    A hundred requests a second: as many mints as renewals that fall into the time, and the first.
    """
    stage = Stage(chance)
    keeper = stage.keeper(ONE)
    stage.plays["acme"].lifetime = lifetime
    for _ in range(3000):
        await served(stage, keeper)
        await stage.pass_time(0.01)

    assert 30.0 / lifetime <= stage.count("acme") <= 30.0 / (lifetime * RENEW_FROM) + 1
    assert "token.dropped" not in stage.told(), "renewed before its end each time"
    await stage.close()


@pytest.mark.parametrize("lifetime", [43_200.0, 86_400.0])
async def test_long_lives_are_renewed_at_four_fifths(stage, lifetime):
    """
    A token of twelve hours, or of a day, is replaced once before it ends, and served until then.
    """
    keeper = stage.keeper(ONE)
    stage.plays["acme"].lifetime = lifetime
    first = await stage.ask(keeper, "one")
    stage.now += lifetime * 0.79
    await stage.pass_time(1.0)
    assert await served(stage, keeper) is first
    stage.now += lifetime * 0.02
    await stage.pass_time(1.0)

    assert await served(stage, keeper) is not first
    assert stage.count("acme") == 2


async def test_ten_thousand_requests_across_ten_expiries_cost_eleven_mints(stage):
    """
    Each token that reaches its renewal is replaced once, by one mint.
    """
    keeper = stage.keeper(ONE)
    stage.plays["acme"].lifetime = 100.0
    tokens = set()
    for _ in range(10_000):
        tokens.add((await served(stage, keeper)).fingerprint)
        stage.now += 0.0801  # ten times 80 s
        keeper.tick()
        for _ in range(3):  # a mint takes no time here
            await asyncio.sleep(0)

    await stage.settle()
    assert len(tokens) in {10, 11}
    assert stage.count("acme") <= 11


async def test_five_hundred_cold_callers_of_five_users_cost_five_mints(stage):
    """
    A hundred each; nobody waits for another's.
    """
    users = [user(f"user-{n}", required=False) for n in range(5)]
    keeper = stage.keeper(*users)
    tokens = await asyncio.gather(
        *(stage_get(stage, keeper, each.name) for each in users for _ in range(100))
    )

    assert len({id(token) for token in tokens}) == 5
    assert stage.count("acme") == 5


async def stage_get(stage, keeper, name):
    """
    Ask, with a mint that takes no time.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keeper.get(name))
        while not task.done():
            await stage.pass_time(0.0)
    return task.result()


# The wall clock


async def test_a_wall_clock_that_leaps_ahead_ages_the_tokens(stage):
    """
    The machine may have been frozen for an hour that no clock counted: a new token is fetched.
    """
    keeper = stage.keeper(ONE)
    old = await stage.ask(keeper, "one")
    stage.leap(3600.0)
    await stage.pass_time(1.0)

    assert (await stage.ask(keeper, "one")).fingerprint != old.fingerprint
    assert stage.count("acme") == 2
    assert ("clock.leapt", {"seconds": 3600.0}) in stage.events


async def test_a_small_leap_ahead_only_brings_renewal_closer(stage):
    """
    A token of an hour is ten minutes older then, and served.
    """
    keeper = stage.keeper(ONE)
    old = await stage.ask(keeper, "one")
    before = old.serve_until
    stage.leap(600.0)
    await stage.pass_time(1.0)
    token = await served(stage, keeper)

    assert token.fingerprint == old.fingerprint
    assert token.serve_until == before - 600.0
    assert keeper.slot("one").due == 1000.0 + 2880.0 - 600.0


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("trouble", ["new", "known", "refused"])
async def test_an_aged_token_is_the_reserve_if_its_issuer_is_down(stage, required, used, trouble):
    """
    It may just be the wall clock that was put right: whoever asks gets the token, whether the
    issuer's trouble is new or known, and nobody gets it past its end by the boot clock.
    """
    keeper = stage.keeper(replace(ONE, required=required))
    token = await stage.ask(keeper, "one")
    end = token.serve_until
    if trouble == "refused":
        stage.plays["acme"].refused = {"one"}
    else:
        stage.plays["acme"].mode = "down"
    if trouble != "new":  # renewal fails already
        keeper.slot("one").used = True
        stage.now += 2879.0
        await stage.pass_time(11.0)
        assert keeper.state("one").condition == "stale"
    keeper.slot("one").used = used
    stage.leap(7200.0)
    await stage.pass_time(2.0)
    while stage.now < end:
        again = await stage.ask(keeper, "one")
        assert isinstance(again, Token), (stage.now, again)
        assert again.fingerprint == token.fingerprint
        stage.now += 97.0
        await stage.pass_time(1.0)

    assert isinstance(await stage.ask(keeper, "one"), TokenError)


async def test_two_leaps_keep_the_true_reserve(stage):
    """
    Ages add up; the reserve is the token as it was.
    """
    keeper = stage.keeper(ONE)
    token = await stage.ask(keeper, "one")
    stage.plays["acme"].mode = "down"
    for _ in range(2):
        stage.leap(1000.0)
        await stage.pass_time(1.5)

    assert keeper.slot("one").token.serve_until == token.serve_until - 2000.0
    assert keeper.slot("one").reserve is token


async def test_a_wall_clock_that_leaps_back_changes_nothing(stage):
    """
    A token's end is told by the boot clock.
    """
    keeper = stage.keeper(ONE)
    token = await stage.ask(keeper, "one")
    stage.leap(-7200.0)
    await stage.pass_time(1.5)

    assert keeper.slot("one").token is token
    assert keeper.slot("one").reserve is None
    assert stage.told("clock.leapt") == ["clock.leapt"]


async def test_a_wall_clock_that_is_slewed_is_no_leap(stage):
    """
    Less than two seconds between two ticks is what time daemons do.
    """
    keeper = stage.keeper(ONE)
    token = await stage.ask(keeper, "one")
    for _ in range(100):
        stage.leap(0.5)
        await stage.pass_time(1.0)

    assert keeper.slot("one").token is token
    assert "clock.leapt" not in stage.told()


@pytest.mark.parametrize("mode", ["well", "down"])
async def test_sleep_counts(stage, mode):
    """
    The boot clock runs on through a suspend: a token that ended in it is not handed out.
    """
    keeper = stage.keeper(ONE)
    old = await stage.ask(keeper, "one")
    stage.plays["acme"].mode = mode
    stage.now += 7200.0  # both clocks, and not one tick in between
    token = await stage.ask(keeper, "one")

    if mode == "down":
        assert isinstance(token, MintUnavailable)
    else:
        assert token.fingerprint != old.fingerprint
    assert "clock.leapt" not in stage.told()


# Personal access tokens that end


async def test_a_personal_access_token_that_ends_gives_way_to_the_next(stage):
    """
    At the very moment, for whoever asks first, before any tick.
    """
    first = FixedToken(Secret("canary-pat-1"), stage.clock.wall() + 100.0)
    next_one = FixedToken(Secret("canary-pat-2"), stage.clock.wall() + 10_000.0)
    keeper = stage.keeper(user("dev", credential=first, spares=(next_one,)))
    assert (await keeper.get("dev")).value == first.value
    stage.now += 101.0

    assert (await keeper.get("dev")).value == next_one.value
    assert keeper.state("dev").credential == 2
    assert stage.told() == ["token.dropped"]


async def test_the_end_of_a_personal_access_token_is_told_once(stage):
    """
    Its last seconds pass without a word.
    """
    keeper = stage.keeper(pat("dev", "canary-pat", expires=stage.clock.wall() + 60.0))
    for _ in range(700):
        await stage.pass_time(0.1)

    assert stage.told() == ["token.dropped"]
    assert isinstance(await stage.ask(keeper, "dev"), CredentialInvalid)


async def test_a_wall_clock_put_right_revives_a_personal_access_token(stage):
    """
    Its end is stated in wall time: a clock that was ahead had ended it too early.
    """
    stage.leap(86_400.0)
    keeper = stage.keeper(pat("dev", "canary-pat", expires=stage.clock.wall() - 3600.0))
    assert isinstance(await stage.ask(keeper, "dev"), CredentialInvalid)
    stage.leap(-86_400.0)
    await stage.pass_time(1.5)

    assert isinstance(await stage.ask(keeper, "dev"), Token)
    assert keeper.state("dev").expires_in == pytest.approx(86_400 - 3600, abs=10)


async def test_a_wall_clock_that_leaps_past_its_end_ends_a_personal_access_token(stage):
    """
    There is no reserve: its owner's word counts.
    """
    keeper = stage.keeper(pat("dev", "canary-pat", expires=stage.clock.wall() + 3600.0))
    stage.leap(7200.0)
    await stage.pass_time(1.5)

    assert isinstance(await stage.ask(keeper, "dev"), CredentialInvalid)
    assert keeper.tick() == math.inf

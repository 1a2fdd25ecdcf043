from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.core.credential import FixedToken, identity
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.errors import CredentialInvalid, MintRejected, MintUnavailable, TokenError
from proxy.tokens.refusals import ASK_AGAIN, DEAD, REFUSED, YOUNG
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


async def renewed(stage, keeper, name, token):
    """
    Return what the data path gets for a 401, letting time pass while it waits.
    """

    async def outcome():
        try:
            return await keeper.renew(name, token)
        except TokenError as error:
            return error

    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome())
        for _ in range(200):
            await stage.settle()
            if task.done():
                break
            await stage.pass_time(0.05)
    return task.result()


@pytest.fixture
async def grown(stage):
    """
    A keeper with a token that is no longer young.
    """
    keeper = stage.keeper(ONE)
    await stage.ask(keeper, "one")
    await stage.pass_time(10.0)
    return keeper


async def test_a_thousand_refusals_at_once_cost_one_mint(stage, grown):
    """
    All get the same new token.
    """
    old = grown.slot("one").token
    tokens = await asyncio.gather(*(renewed_now(stage, grown, old) for _ in range(1000)))

    assert {token.fingerprint for token in tokens} == {grown.slot("one").token.fingerprint}
    assert stage.count("acme") == 2
    assert await stage.store.get(identity(ONE)) is grown.slot("one").token


async def renewed_now(stage, keeper, token):
    """
    Ask, with a mint that takes no time.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keeper.renew("one", token))
        while not task.done():
            await stage.pass_time(0.0)
    return task.result()


@pytest.mark.parametrize(
    ("alive", "same"), [(True, True), (False, False), (None, False)], ids=["yes", "no", "unsure"]
)
async def test_a_young_token_gets_its_second_if_its_issuer_knows_it(stage, alive, same):
    """
    One that a replica does not know yet is tried again after a second; any other is replaced.
    """
    keeper = stage.keeper(ONE)
    token = await stage.ask(keeper, "one")
    stage.alive[token.value.reveal()] = alive
    before = stage.now
    again = await renewed(stage, keeper, "one", token)

    assert (again is token) is same
    assert stage.count("acme") == (1 if same else 2)
    assert (stage.now - before >= YOUNG) is same


async def test_many_refusals_of_a_young_token_ask_the_issuer_once(stage):
    """
    And all wait for the same second.
    """
    asked = []

    async def standing(issuer, token):
        asked.append(token)
        return True

    keeper = stage.keeper(ONE, standing=standing)
    token = await stage.ask(keeper, "one")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keeper.renew("one", token)) for _ in range(100)]
        await stage.pass_time(2.0)

    assert {id(task.result()) for task in tasks} == {id(token)}
    assert len(asked) == 1


async def test_a_token_past_its_first_second_is_replaced_without_asking(stage, grown):
    """
    Replicas have caught up by then.
    """
    token = grown.slot("one").token
    stage.alive[token.value.reveal()] = True

    assert await renewed(stage, grown, "one", token) is not token


async def test_a_refused_token_that_cannot_be_replaced_is_an_error_with_its_reason(stage, grown):
    """
    What was refused is not sent again, even while the issuer is down.
    """
    token = grown.slot("one").token
    stage.plays["acme"].mode = "down"
    error = await renewed(stage, grown, "one", token)

    assert isinstance(error, MintUnavailable)
    assert isinstance(await stage.ask(grown, "one"), MintUnavailable)
    stage.plays["acme"].mode = "well"
    await stage.pass_time(5.0)
    assert grown.state("one").condition == "ready"


async def test_a_token_that_was_refused_is_not_its_own_reserve(stage, grown):
    """
    A leap of the wall clock does not bring it back.
    """
    stage.leap(600.0)
    await stage.pass_time(1.5)
    token = grown.slot("one").token
    stage.plays["acme"].mode = "down"

    assert isinstance(await renewed(stage, grown, "one", token), MintUnavailable)
    assert isinstance(await stage.ask(grown, "one"), MintUnavailable)


async def test_replacements_that_do_not_help_cool_down(stage, grown):
    """
    A missing scope costs one mint at first, then few, and the operator is told why once each.
    """
    before = stage.count("acme")
    for _ in range(1200):
        token = grown.slot("one").token
        await grown.renew("one", token) if token.born + 1 < stage.now else None
        await stage.pass_time(0.5)

    assert stage.count("acme") - before == 7
    assert grown.state("one").condition == "refused"
    assert "is a scope missing" in grown.state("one").last_error
    assert stage.told("token.refused") == ["token.refused"] * 7


# Personal access tokens


async def test_a_refused_personal_access_token_is_read_anew(stage):
    """
    Its file may have been replaced a moment ago.
    """
    keeper = stage.keeper(pat("dev", "canary-old"))
    stage.fresh["dev"] = pat("dev", "canary-new")
    old = await keeper.get("dev")
    token = await renewed(stage, keeper, "dev", old)

    assert token.value == Secret("canary-new")
    assert keeper.state("dev").condition == "ready"
    assert await renewed(stage, keeper, "dev", old) is token, "a late refusal of the old one"


async def test_a_refused_personal_access_token_gives_way_to_the_next(stage):
    """
    Once per cool-down, round and round; each change is told.
    """
    keeper = stage.keeper(pat("dev", "canary-1", "canary-2", "canary-3"))
    seen = []
    for _ in range(5):
        token = await keeper.get("dev")
        after = await renewed(stage, keeper, "dev", token)
        seen.append("" if after is None else after.value.reveal())
        await stage.pass_time(400.0)

    assert seen == ["canary-2", "canary-3", "canary-1", "canary-2", "canary-3"]
    assert stage.told("credential.switched") == ["credential.switched"] * 5


async def test_personal_access_tokens_that_are_all_refused_pass_the_401_on(stage):
    """
    After the next one is refused as well nothing is tried for a while.
    """
    keeper = stage.keeper(pat("dev", "canary-1", "canary-2"))
    first = await keeper.get("dev")
    second = await renewed(stage, keeper, "dev", first)

    for _ in range(20):
        assert await renewed(stage, keeper, "dev", second) is None
    assert keeper.slot("dev").token is second
    assert keeper.state("dev").last_error == REFUSED


async def test_a_personal_access_token_its_issuer_does_not_know_is_not_sent(stage):
    """
    The caller learns why; once the issuer knows it again, it is sent again.
    """
    keeper = stage.keeper(pat("dev", "canary-pat"))
    stage.alive["canary-pat"] = False
    token = await keeper.get("dev")
    assert await renewed(stage, keeper, "dev", token) is None

    error = await stage.ask(keeper, "dev")
    assert isinstance(error, CredentialInvalid)
    assert error.reason == DEAD
    assert keeper.state("dev").condition == "failing"
    assert not keeper.ready()
    await stage.pass_time(ASK_AGAIN * 3)
    assert isinstance(await stage.ask(keeper, "dev"), CredentialInvalid)

    stage.alive["canary-pat"] = True
    await stage.pass_time(ASK_AGAIN + 1)
    assert (await stage.ask(keeper, "dev")).value == Secret("canary-pat")
    assert stage.told() == ["token.refused", "credential.dead", "credential.revived"]


async def test_a_dead_personal_access_token_is_replaced_by_its_file(stage):
    """
    A new one in its place is sent at once.
    """
    keeper = stage.keeper(pat("dev", "canary-pat"))
    stage.alive["canary-pat"] = False
    await renewed(stage, keeper, "dev", await keeper.get("dev"))
    keeper.rotate(pat("dev", "canary-new"))

    assert (await keeper.get("dev")).value == Secret("canary-new")
    await stage.pass_time(ASK_AGAIN * 2)
    assert (await keeper.get("dev")).value == Secret("canary-new")


@pytest.mark.parametrize("alive", [True, None])
async def test_a_personal_access_token_that_may_be_alive_goes_on_being_sent(stage, alive):
    """
    It may just not be meant for that upstream; the issuer is asked once a minute.
    """
    asked = []

    async def standing(issuer, token):
        asked.append(stage.now)
        return alive

    keeper = stage.keeper(pat("dev", "canary-pat"), standing=standing)
    token = await keeper.get("dev")
    for _ in range(120):
        assert await renewed(stage, keeper, "dev", token) is None
        stage.now += 1.0

    assert await keeper.get("dev") is token
    assert len(asked) == 2


async def test_a_refused_token_of_another_time_is_answered_with_the_one_at_hand(stage, grown):
    """
    Whatever the data path held on to.
    """
    stranger = Token(Secret("canary-stranger"), 0.0, 1.0, "minted")

    assert await grown.renew("one", stranger) is grown.slot("one").token
    assert stage.count("acme") == 1


async def test_a_permanent_refusal_after_a_401_says_so(stage, grown):
    """
    The user was locked: its token is refused, and so is the next.
    """
    stage.plays["acme"].refused = {"one"}
    error = await renewed(stage, grown, "one", grown.slot("one").token)

    assert isinstance(error, MintRejected)
    stage.plays["acme"].refused = set()
    await stage.pass_time(10.0)
    assert isinstance(await stage.ask(grown, "one"), Token)


async def test_a_garbled_next_personal_access_token_is_passed_over(stage):
    """
    One that cannot stand in a header is not taken.
    """
    values = [FixedToken(Secret(each)) for each in ("canary-1", "can ary", "canary-3")]
    keeper = stage.keeper(replace(pat("dev", "x"), credential=values[0], spares=tuple(values[1:])))
    token = await renewed(stage, keeper, "dev", await keeper.get("dev"))

    assert token.value == Secret("canary-3")
    assert keeper.state("dev").credential == 3


async def test_a_dead_token_of_a_list_gives_way_to_one_that_lives(stage):
    """
    Also in the cool-down, in which a refusal alone would not: a list is not stuck on a dead one.
    """
    keeper = stage.keeper(pat("dev", "canary-lives", "canary-dead"))
    stage.alive["canary-dead"] = False
    lives = keeper.slot("dev").token
    dead = await renewed(stage, keeper, "dev", lives)
    assert dead.value == Secret("canary-dead")

    again = await renewed(stage, keeper, "dev", dead)

    assert again.value == Secret("canary-lives")
    assert (await stage.ask(keeper, "dev")).value == Secret("canary-lives")
    assert stage.told("credential.dead") == ["credential.dead"]


async def test_of_many_dead_tokens_the_one_that_is_known_again_is_sent(stage):
    """
    All are asked about, not only the last.
    """
    keeper = stage.keeper(pat("dev", "canary-a", "canary-b"))
    stage.alive.update({"canary-a": False, "canary-b": False})
    for _ in range(4):
        token = keeper.slot("dev").token
        if token is not None:
            await renewed(stage, keeper, "dev", token)
            await stage.pass_time(ASK_AGAIN + 1.0)
    assert isinstance(await stage.ask(keeper, "dev"), CredentialInvalid)

    stage.alive["canary-a"] = True
    await stage.pass_time(ASK_AGAIN + 2.0)

    assert (await stage.ask(keeper, "dev")).value == Secret("canary-a")


async def test_in_the_cool_down_a_token_its_issuer_does_not_know_is_replaced(stage, grown):
    """
    A route that refuses every token must not keep a dead one in use for the others.
    """
    for _ in range(2):
        await renewed(stage, grown, "one", grown.slot("one").token)
        await stage.pass_time(2.0)
    held = grown.slot("one").token
    assert await renewed(stage, grown, "one", held) is None

    stage.alive[held.value.reveal()] = False
    await stage.pass_time(3.0)
    other = await renewed(stage, grown, "one", held)

    assert other is not None
    assert other.fingerprint != held.fingerprint

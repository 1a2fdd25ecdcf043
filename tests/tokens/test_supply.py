from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.core.credential import (
    ACCESS_TOKEN,
    ClientSecret,
    Exchange,
    Issuer,
    Party,
    ServiceUser,
    SystemKey,
    identity,
)
from proxy.core.key import signing_key
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token
from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable
from proxy.tokens.discovery import Discovery
from proxy.tokens.line import Line, session
from proxy.tokens.mint import Mint
from tests.tokens.stage import Play, Stage, user

SECRETS = tuple(ClientSecret("many", Secret(f"canary-secret-{n}")) for n in range(3))
MANY = user("many", credential=SECRETS[0], spares=SECRETS[1:])


@pytest.fixture
async def stage():
    """
    A stage with chance 0.5.
    """
    made = Stage()
    yield made
    await made.close()


def prints(*credentials) -> set[str]:
    """
    Return what tells these credentials from others.
    """
    return {each.fingerprint for each in credentials}


# Several credentials


async def test_a_refused_credential_gives_way_to_the_next_in_the_same_flight(stage):
    """
    The caller sees nothing of it; the change is told, and remembered.
    """
    keeper = stage.keeper(MANY)
    stage.plays["acme"].refused = prints(*SECRETS[:2])

    assert isinstance(await stage.ask(keeper, "many"), Token)
    assert stage.count("acme") == 3
    assert keeper.state("many").credential == 3
    told = [facts for name, facts in stage.events if name == "credential.switched"]
    assert [(one["refused"], one["used"], one["of"]) for one in told] == [(1, 2, 3), (2, 3, 3)]
    keeper.slot("many").empty(refused=True)
    await stage.ask(keeper, "many")
    assert stage.count("acme") == 4, "the one that works stays in use"


async def test_files_are_read_anew_before_the_next_credential_is_tried(stage):
    """
    A secret may have been rotated a moment ago: the new first one is tried before the second.
    """
    fresh = ClientSecret("many", Secret("canary-secret-new"))
    stage.fresh["many"] = replace(MANY, credential=fresh)
    keeper = stage.keeper(MANY)
    stage.plays["acme"].refused = prints(SECRETS[0])

    assert isinstance(await stage.ask(keeper, "many"), Token)
    assert stage.count("acme") == 2
    assert keeper.slot("many").minted_by is fresh
    assert "credential.switched" not in stage.told()


async def test_after_all_are_refused_the_first_is_next(stage):
    """
    Each once per flight, the last one's reason for the caller, and no hammering.
    """
    keeper = stage.keeper(MANY)
    stage.plays["acme"].refused = prints(*SECRETS)
    await stage.pass_time(0.0)

    assert stage.count("acme") == 3
    assert isinstance(await stage.ask(keeper, "many"), MintRejected)
    assert keeper.state("many").credential == 1
    assert stage.count("acme") == 3
    await stage.pass_time(61.0)
    assert stage.count("acme") <= 3 * 6
    stage.plays["acme"].refused.clear()
    await stage.pass_time(61.0)
    assert keeper.state("many").condition == "ready"


@pytest.mark.parametrize("mode", ["down", "hangs", "nonsense"])
async def test_trouble_of_the_issuer_is_no_reason_to_switch(stage, mode):
    """
    Only a no to the credential is.
    """
    keeper = stage.keeper(MANY)
    stage.plays["acme"].mode = mode
    await stage.pass_time(60.0)

    assert keeper.state("many").credential == 1
    assert "credential.switched" not in stage.told()


async def test_a_doubtful_error_is_a_reason_to_try_the_next(stage):
    """
    Some versions answer a bad assertion like an outage.
    """
    keeper = stage.keeper(MANY)
    stage.plays["acme"].error = MintUnavailable("Errors.Internal", doubtful=True)

    assert isinstance(await stage.ask(keeper, "many"), MintUnavailable)
    assert stage.told("credential.switched") == ["credential.switched"] * 2


# Rotation


@pytest.mark.parametrize("policy", ["keep", "drop"])
async def test_a_rotation_is_followed_by_a_mint_with_the_new_credential(stage, policy):
    """
    Kept or dropped: the token at hand lives on while the new one is fetched, or does not.
    """
    one = user("one", on_rotation=policy)
    keeper = stage.keeper(one)
    old = await stage.ask(keeper, "one")
    fresh = ClientSecret("one", Secret("canary-fresh"))
    keeper.rotate(replace(one, credential=fresh))

    assert (keeper.slot("one").token is old) is (policy == "keep")
    await stage.pass_time(0.0)
    assert keeper.slot("one").token is not old
    assert keeper.slot("one").minted_by is fresh
    assert stage.told("token.dropped") == ([] if policy == "keep" else ["token.dropped"])


async def test_a_bad_new_credential_costs_no_token(stage):
    """
    It is found out at once, told, and the old token is served to its end.
    """
    one = user("one")
    keeper = stage.keeper(one)
    old = await stage.ask(keeper, "one")
    fresh = ClientSecret("one", Secret("canary-fresh"))
    stage.plays["acme"].refused = prints(fresh)
    keeper.rotate(replace(one, credential=fresh))
    await stage.pass_time(60.0)

    assert keeper.slot("one").token is old
    assert keeper.state("one").condition == "stale"
    assert keeper.ready()
    assert "token.renewal_failed" in stage.told()


@pytest.mark.parametrize("policy", ["keep", "drop"])
async def test_a_rotation_in_the_middle_of_a_mint_is_not_lost(stage, policy):
    """
    What the old credential got is filed under the old one, and the new one is tried at once.
    """
    one = user("one", on_rotation=policy)
    keeper = stage.keeper(one)
    stage.plays["acme"].latency = 1.0
    await stage.pass_time(0.5)
    fresh = replace(one, credential=ClientSecret("one", Secret("canary-fresh")))
    keeper.rotate(fresh)
    keeper.slot("one").used = True
    await stage.pass_time(0.6)
    first = keeper.slot("one").token
    assert (first is not None) is (policy == "keep")
    assert await stage.store.get(identity(one)) is first
    assert await stage.store.get(identity(fresh)) is None

    keeper.slot("one").used = True
    await stage.pass_time(3.0)
    assert keeper.slot("one").minted_by is fresh.credential
    assert await stage.store.get(identity(fresh)) is keeper.slot("one").token


async def test_a_no_to_the_old_credential_does_not_hold_back_the_new(stage):
    """
    Rotated while the old one was being refused: the same flight asks with the new one.
    """
    one = user("one")
    keeper = stage.keeper(one)
    stage.plays["acme"] = Play(latency=1.0, refused=prints(one.credential))
    await stage.pass_time(0.5)
    keeper.rotate(replace(one, credential=ClientSecret("one", Secret("canary-fresh"))))

    assert isinstance(await stage.ask(keeper, "one"), Token)
    assert stage.count("acme") == 2
    assert keeper.state("one").last_error == ""
    assert "credential.switched" not in stage.told(), "it has only one"


# Exchange


def exchanger(name: str, of: str, at: str = "acme", **more) -> ServiceUser:
    """
    Return a service user that exchanges the token of another.
    """
    client = ClientSecret("app", Secret("canary-app"))
    party = Party(ACCESS_TOKEN, service_user=of)
    return user(name, at, credential=Exchange(client, party, **more), required=False)


async def test_the_tokens_of_an_exchanges_parties_are_fetched(stage):
    """
    Minted when there is none at hand, and sent as they are.
    """
    sent = []

    async def mint(who):
        sent.append(who)
        return await stage.mint(who)

    actor = Party(ACCESS_TOKEN, service_user="two")
    users = (
        user("one", required=False),
        user("two", "other", required=False),
        exchanger("swap", "one", actor=actor),
    )
    keeper = stage.keeper(*users, mint=mint)
    assert isinstance(await stage.ask(keeper, "swap"), Token)

    assert [who.name for who in sent] == ["one", "two", "swap"]
    exchange = sent[-1].credential
    assert exchange.subject.token == keeper.slot("one").token.value
    assert exchange.actor.token == keeper.slot("two").token.value
    assert keeper.slot("swap").user is users[2], "the tokens are not kept in the user"


async def test_a_refused_exchange_has_its_subjects_token_replaced(stage):
    """
    The subject's token may have been revoked: nobody else would find out for hours.
    """
    stale: list[Secret] = []

    async def mint(who):
        if who.name == "swap" and who.credential.subject.token in stale:
            raise MintRejected("subject_token invalid")
        return await stage.mint(who)

    keeper = stage.keeper(user("one", "other"), exchanger("swap", "one"), mint=mint)
    await stage.ask(keeper, "one")
    await stage.pass_time(10.0)
    stale.append(keeper.slot("one").token.value)

    assert isinstance(await stage.ask(keeper, "swap"), Token)
    assert keeper.slot("one").token.value not in stale


async def test_what_was_exchanged_goes_with_what_it_was_exchanged_for(stage):
    """
    Revoking a service user takes the tokens along that others got for its own.
    """
    keeper = stage.keeper(
        user("one", "other"), exchanger("swap", "one"), exchanger("twice", "swap")
    )
    for name in ("one", "swap", "twice"):
        assert isinstance(await stage.ask(keeper, name), Token)

    await keeper.revoke("one")

    assert keeper.slot("swap").token is None
    assert keeper.slot("twice").token is None
    assert not isinstance(await stage.ask(keeper, "twice"), Token)
    keeper.allow("one")
    await stage.pass_time(20.0)
    assert isinstance(await stage.ask(keeper, "swap"), Token)


async def test_a_party_without_a_token_is_named(stage):
    """
    The reason has the party's, with its name; it is no refusal of the user that exchanges.
    """
    keeper = stage.keeper(user("one", "other", required=False), exchanger("swap", "one"))
    stage.plays["other"].refused = {"one"}
    error = await stage.ask(keeper, "swap")

    assert isinstance(error, MintUnavailable)
    assert error.reason == "no token of one to exchange: no"
    assert stage.count("acme") == 0
    assert not stage.breakers(Issuer("acme", "https://acme.example")).open


async def test_an_exchange_heals_with_its_party(stage):
    """
    Nothing of its own was refused: it does not wait long once its party has a token.
    """
    keeper = stage.keeper(user("one", "other", required=False), exchanger("swap", "one"))
    stage.plays["other"].mode = "down"
    await stage.ask(keeper, "swap")
    stage.plays["other"].mode = "well"
    await stage.pass_time(10.0)

    assert isinstance(await stage.ask(keeper, "swap"), Token)


# ZITADEL's System API


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("opened", [True, False])
async def test_a_system_users_token_is_signed_here_even_if_the_issuer_is_down(
    stage, clocks, rsa_pem, required, opened
):
    """
    Its key is all it needs, whatever is known of the issuer.
    """
    key = SystemKey("system", signing_key(rsa_pem), lifetime=600.0)
    users = (user("one"), user("system", credential=key, required=required))
    async with session() as http:
        line = Line(http, clocks)
        sign = Mint(line, Discovery(line, stage.clock.boot), clocks, stage.clock, lambda: "j")

        async def mint(who):
            return await (sign if isinstance(who.credential, SystemKey) else stage.mint)(who)

        keeper = stage.keeper(*users, mint=mint)
        stage.plays["acme"].mode = "down"
        if opened:
            await stage.pass_time(20.0)
            assert stage.breakers(users[0].issuer).open
        first = await stage.ask(keeper, "system")
        assert isinstance(first, Token)
        stage.now += 601.0
        assert isinstance(await stage.ask(keeper, "system"), Token)


# The store


class BrokenStore:
    """
    A shared store nobody can reach.
    """

    async def get(self, identity):
        """
        Fail.
        """
        raise ConnectionRefusedError(111, "Connection refused")

    put = drop = None

    def __init__(self) -> None:
        async def fail(identity, token):
            raise TimeoutError

        self.put = self.drop = fail


async def test_a_store_that_is_down_is_done_without(stage):
    """
    Minted here, served, renewed and replaced as if there were none; each failure is told.
    """
    stage.store = BrokenStore()
    keeper = stage.keeper(user("one"))
    token = await stage.ask(keeper, "one")
    assert isinstance(token, Token)
    await stage.pass_time(5.0)
    assert await keeper.renew("one", token) is not token

    told = [facts["reason"] for name, facts in stage.events if name == "store.failed"]
    refused, late = "Connection refused", "TimeoutError"
    assert told == [refused, late, late, refused, late]
    async with keeper:
        assert keeper.state("one").condition == "ready"


async def test_a_token_that_has_ended_on_arrival_is_none(stage):
    """
    An issuer slower than its tokens live is unavailable; nobody gets an ended token.
    """

    async def slow(who):
        born = stage.now
        stage.now += 10.0
        return Minted(Token(Secret("canary"), born, 5.0, "minted"))

    keeper = stage.keeper(user("one", required=False), mint=slow)
    error = await stage.ask(keeper, "one")

    assert isinstance(error, MintUnavailable)
    assert "is the issuer slow" in error.reason


@pytest.mark.parametrize(
    "error",
    [
        MintRejected("no"),
        CredentialInvalid("no"),
        MintUnavailable("no"),
        MintUnavailable("no", shared=True),
        MintTimeout("no", shared=True),
        KeyError("canary"),
    ],
    ids=repr,
)
async def test_whatever_a_mint_raises_the_token_at_hand_is_served_and_it_heals(stage, error):
    """
    A renewal's failure is nobody's but the log's.
    """
    keeper = stage.keeper(user("one"))
    token = await stage.ask(keeper, "one")
    stage.now = 1000.0 + 2881.0
    stage.plays["acme"].error = error
    if isinstance(error, KeyError):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await stage.pass_time(100.0)
    assert await keeper.get("one") is token
    assert keeper.state("one").condition == "stale"
    assert "canary" not in repr((stage.events, keeper.states()))

    stage.plays["acme"].error = None
    await stage.pass_time(61.0)
    assert keeper.state("one").condition == "ready"

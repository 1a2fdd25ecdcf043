"""
What a keeper takes over from the keeper of the configuration before.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.credential import ACCESS_TOKEN, ClientSecret, Exchange, Issuer, Party
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.errors import CredentialInvalid, MintRejected
from proxy.tokens.revocation import Revocations
from tests.tokens.stage import Stage, pat, user


@pytest.fixture
async def stage():
    """
    A stage that ends what is under way.
    """
    stage = Stage()
    yield stage
    await stage.close()


def successor(stage, before, *users, **more):
    """
    Return the keeper of the next configuration.
    """
    before.at_rest = True
    return stage.keeper(*users, before=before, **more)


def exchange(name, subject, **more):
    """
    Return a service user whose tokens are got for those of *subject*.
    """
    client = ClientSecret("app", Secret("canary-app-secret"))
    return user(name, credential=Exchange(client, Party(ACCESS_TOKEN, subject)), **more)


async def test_the_same_account_keeps_its_token(stage):
    """
    A configuration read again costs no mint, whatever order scopes are written in now.
    """
    before = stage.keeper(user("u", scopes=("a", "b"), required=True))
    token = await stage.ask(before, "u")

    after = successor(stage, before, user("u", scopes=("b", "a", "b"), required=False))

    assert await stage.ask(after, "u") is token
    assert after.state("u").mints == before.state("u").mints
    assert stage.count("acme") == 1


OTHERS = {
    "scopes": lambda: user("u", scopes=("a", "b")),
    "audience": lambda: user("u", scopes=("a",), audience=("x",)),
    "resource": lambda: user("u", scopes=("a",), resource=("https://x.example",)),
    "issuer": lambda: user("u", at="other", scopes=("a",)),
    "connect_to": lambda: replace(
        user("u", scopes=("a",)),
        issuer=Issuer("acme", "https://acme.example", connect_to="http://10.0.0.1:8080"),
    ),
    "client": lambda: user(
        "u", scopes=("a",), credential=ClientSecret("v", Secret("canary-u-secret"))
    ),
    "method": lambda: pat("u", "canary-pat-of-u", scopes=("a",)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
async def test_another_account_or_purpose_has_no_token_of_the_one_before(stage, other):
    """
    A name alone is nobody: what is asked for as somebody else, or for something else, is got anew.
    """
    before = stage.keeper(user("u", scopes=("a",)))
    token = await stage.ask(before, "u")

    after = successor(stage, before, other())
    found = await stage.ask(after, "u")

    assert isinstance(found, Token)
    assert found.fingerprint != token.fingerprint


async def test_a_refusal_is_still_waited_out(stage):
    """
    Reading the file again is no reason to ask an issuer that has just said no.
    """
    before = stage.keeper(user("u"))
    stage.plays["acme"].error = MintRejected("no")
    await stage.ask(before, "u")
    asked = stage.count("acme")

    after = successor(stage, before, user("u"))

    assert isinstance(await stage.ask(after, "u", within=1.0), MintRejected)
    assert stage.count("acme") == asked


async def test_what_fails_later_is_not_the_older_keepers(stage):
    """
    A configuration that is discarded leaves no failure of its credentials behind.
    """
    before = stage.keeper(user("u"))
    token = await stage.ask(before, "u")
    wrong = ClientSecret("u", Secret("canary-wrong-secret"))
    after = successor(stage, before, user("u", credential=wrong))
    stage.plays["acme"].refused.add(wrong.fingerprint)
    await stage.pass_time(2.0)

    assert after.slot("u").backoff.failures > 0
    assert after.slot("u").token is token
    assert before.slot("u").backoff.failures == 0
    assert before.slot("u").backoff.error is None


async def test_a_dead_personal_token_stays_dead(stage):
    """
    A personal access token its issuer no longer knows is not tried again because of a reload; a new
    one is.
    """
    before = stage.keeper(pat("p", "canary-pat-1"))
    token = before.slot("p").token
    stage.alive["canary-pat-1"] = False
    await before.renew("p", token)
    assert before.slot("p").buried

    same = successor(stage, before, pat("p", "canary-pat-1"))
    fresh = successor(stage, same, pat("p", "canary-pat-2"))

    assert same.slot("p").buried == before.slot("p").buried
    assert same.slot("p").token is before.slot("p").token
    assert fresh.slot("p").token.value == Secret("canary-pat-2")
    assert not fresh.slot("p").buried
    assert same.slot("p").buried


@pytest.mark.parametrize(
    ("on_rotation", "kept"), [("keep", True), ("drop", False)], ids=["keep", "drop"]
)
async def test_another_credential_of_the_same_account_is_a_rotation(stage, on_rotation, kept):
    """
    The token at hand lives on, unless the user says otherwise, and is replaced by the new
    credential's at once.
    """
    before = stage.keeper(user("u", on_rotation=on_rotation))
    token = await stage.ask(before, "u")
    fresh = ClientSecret("u", Secret("canary-new-secret"))

    after = successor(stage, before, user("u", credential=fresh, on_rotation=on_rotation))

    assert (after.slot("u").token is token) is kept
    assert ("token.dropped" in stage.told()) is not kept
    await stage.pass_time(1.0)
    assert after.slot("u").minted_by == fresh
    assert stage.count("acme") == 2


SUBJECTS = {
    "the same": (user("s"), 0),
    "its secret rotated": (user("s", credential=ClientSecret("s", Secret("canary-2"))), 0),
    "other scopes": (user("s", scopes=("x",)), 1),
    "another issuer": (user("s", at="other"), 1),
    "another client": (user("s", credential=ClientSecret("t", Secret("canary-s-secret"))), 1),
}


@pytest.mark.parametrize(("subject", "mints"), SUBJECTS.values(), ids=SUBJECTS.keys())
@pytest.mark.parametrize("depth", [1, 2])
async def test_an_exchange_goes_by_whose_token_it_was_got_for(stage, subject, mints, depth):
    """
    A token got for somebody else's is neither taken over nor found in the store once that name
    means another, over any number of exchanges.
    """
    chain = [exchange("e1", "s"), exchange("e2", "e1")][:depth]
    before = stage.keeper(user("s"), *chain)
    last = f"e{depth}"
    token = await stage.ask(before, last)

    after = successor(stage, before, subject, *chain)
    found = await stage.ask(after, last)

    assert (found.fingerprint != token.fingerprint) is bool(mints)
    exchanges = [name for _, _, name in stage.mints if name == last]
    assert len(exchanges) == 1 + mints


async def test_the_revoked_stay_revoked(stage):
    """
    A reload hands nobody back what an operator took, not under another definition either.
    """
    revocations = Revocations()
    before = stage.keeper(user("u"), pat("p", "canary-pat"), revocations=revocations)
    await stage.ask(before, "u")
    for name in ("u", "p"):
        await before.revoke(name)

    again = successor(stage, before, user("u"), pat("p", "canary-pat"), revocations=revocations)
    other = successor(stage, again, user("u", scopes=("a",)), revocations=revocations)

    for keeper, name in ((again, "u"), (again, "p"), (other, "u")):
        assert keeper.slot(name).token is None
        assert isinstance(await stage.ask(keeper, name), CredentialInvalid)
    assert stage.count("acme") == 1


async def test_revoking_reaches_the_keepers_that_rest(stage):
    """
    Requests of an older configuration lose their token with all others.
    """
    revocations = Revocations()
    before = stage.keeper(user("u"), revocations=revocations)
    await stage.ask(before, "u")
    after = successor(stage, before, user("u"), revocations=revocations)

    await after.revoke("u")

    assert before.slot("u").token is None
    assert isinstance(await stage.ask(before, "u"), CredentialInvalid)


async def test_readiness_waits_no_longer_for_a_reload(stage):
    """
    Who was ready stays so: the time for first tokens counts from the process's start.
    """
    before = stage.keeper(user("u"))
    await stage.pass_time(29.0)

    after = successor(stage, before, user("u"), user("v"))

    assert after.bound == before.bound


async def test_a_keeper_at_rest_renews_nothing(stage):
    """
    Of two keepers only the newer sees to renewals; the older still has a token for its requests.
    """
    before = stage.keeper(user("u"))
    token = await stage.ask(before, "u")
    before.slot("u").used = True
    after = successor(stage, before, user("u"))

    await stage.pass_time(3500.0)

    assert before.slot("u").token is token
    assert after.slot("u").token is not token
    assert stage.count("acme") == 2

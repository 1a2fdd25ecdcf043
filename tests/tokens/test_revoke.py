"""
A revoked service user has no token and gets none, whoever asks and whatever is under way.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from proxy.core.credential import ClientSecret, FixedToken, Issuer, ServiceUser, identity
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token
from proxy.errors import CredentialInvalid, MintRejected
from proxy.tokens.keeper import Keeper
from proxy.tokens.means import Means
from proxy.tokens.revocation import REVOKED, Revocations
from proxy.tokens.store import MemoryStore

USER = ServiceUser(
    "reporter",
    Issuer("zitadel", "https://acme.example"),
    ClientSecret("reporter", Secret("canary-secret")),
    ("openid",),
)
SPARE = ClientSecret("reporter", Secret("canary-spare"))
PAT = replace(USER, name="dev", credential=FixedToken(Secret("canary-pat")))


class Issuing:
    """
    Mints canary-1, canary-2, …; waits while it is shut; refuses the credentials it is told to.
    """

    def __init__(self, time) -> None:
        self.time = time
        self.asked = 0
        self.refuses: set[object] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.arrived = asyncio.Event()

    async def __call__(self, user: ServiceUser) -> Minted:
        """
        Mint.
        """
        self.asked += 1
        number, born = self.asked, self.time.now
        self.arrived.set()
        await self.open.wait()
        if user.credential in self.refuses:
            raise MintRejected("no")
        return Minted(Token(Secret(f"canary-{number}"), born, 1000.0, "minted"))


@pytest.fixture
def mint(time):
    """
    The issuer.
    """
    return Issuing(time)


@pytest.fixture
def events():
    """
    What was told.
    """
    return []


@pytest.fixture
def store(time):
    """
    An empty store.
    """
    return MemoryStore(time.clock.boot)


@pytest.fixture
def revocations():
    """
    Nobody is revoked.
    """
    return Revocations()


@pytest.fixture
async def make(time, mint, store, events, revocations):
    """
    Make keepers of the same process.
    """
    means = Means(
        mint=mint,
        store=store,
        clock=time.clock,
        chance=lambda: 0.0,
        on_event=lambda name, /, **facts: events.append((name, facts)),
        sleep=lambda _: asyncio.sleep(0),
    )
    made: list[Keeper] = []

    def one(*users: ServiceUser) -> Keeper:
        made.append(Keeper(users or (USER, PAT), means, revocations=revocations))
        return made[-1]

    yield one
    for keeper in made:
        await keeper.__aexit__(None, None, None)


async def refused(keeper, name) -> str:
    """
    Return why there is no token.
    """
    with pytest.raises(CredentialInvalid) as caught:
        await keeper.get(name)
    return caught.value.reason


@pytest.mark.parametrize("name", ["reporter", "dev"])
async def test_what_is_at_hand_and_in_the_store_is_dropped(make, mint, store, events, name):
    """
    Slot and store are empty at once, and nobody gets a token; told by fingerprint.
    """
    keeper = make()
    token = await keeper.get(name)
    asked = mint.asked

    await keeper.revoke(name)

    slot = keeper.slot(name)
    assert slot.token is None
    assert len(store) == 0
    assert await refused(keeper, name) == REVOKED
    with pytest.raises(CredentialInvalid):
        await keeper.renew(name, token)
    assert mint.asked == asked
    dropped = next(facts for event, facts in events if event == "token.dropped")
    assert (dropped["reason"], dropped["fingerprint"]) == ("revoked", token.fingerprint)
    assert "canary" not in str(events)
    state = keeper.state(name)
    assert (state.condition, state.last_error, state.renews_in) == ("revoked", REVOKED, None)


async def test_the_others_are_not_touched(make):
    """
    One service user is one switch.
    """
    keeper = make()
    token = await keeper.get("dev")

    await keeper.revoke("reporter")

    assert await keeper.get("dev") is token
    assert keeper.state("dev").condition == "ready"


async def test_background_work_leaves_a_revoked_user_alone(make, mint, time):
    """
    Neither renewal nor a leap of the clock, new credentials or the end of a token mints.
    """
    keeper = make()
    await keeper.get("reporter")
    await keeper.revoke("reporter")
    await keeper.revoke("dev")
    keeper.rotate(replace(USER, credential=SPARE))
    keeper.rotate(replace(PAT, credential=FixedToken(Secret("canary-pat-2"))))
    for _ in range(3):
        time.move(2000.0)
        keeper.tick()
        await asyncio.sleep(0)

    assert mint.asked == 1
    assert keeper.slot("reporter").token is None
    assert keeper.slot("dev").token is None


async def test_a_revoked_user_does_not_hold_up_readiness(make):
    """
    The operator meant it, and the others' requests are served.
    """
    keeper = make()
    assert not keeper.ready()

    await keeper.revoke("reporter")

    assert keeper.ready()


async def test_a_mint_under_way_brings_nothing(make, mint, store):
    """
    Who waits for it is refused, and neither slot nor store keeps what it got.
    """
    keeper = make()
    mint.open.clear()
    waiting = asyncio.gather(keeper.get("reporter"), return_exceptions=True)
    await mint.arrived.wait()

    await keeper.revoke("reporter")
    mint.open.set()
    (outcome,) = await waiting

    assert isinstance(outcome, CredentialInvalid)
    assert keeper.slot("reporter").token is None
    assert len(store) == 0


async def test_what_was_asked_for_before_is_not_used_after(make, mint, store):
    """
    Revoked and allowed again while a mint is under way: its token is thrown away, another is got.
    """
    keeper = make()
    mint.open.clear()
    waiting = asyncio.gather(keeper.get("reporter"))
    await mint.arrived.wait()

    await keeper.revoke("reporter")
    keeper.allow("reporter")
    mint.open.set()
    (token,) = await waiting

    assert token.value == Secret("canary-2")
    assert keeper.slot("reporter").token is token
    assert await store.get(identity(USER)) is token


async def test_the_next_credential_is_not_tried_after_it(make, mint):
    """
    A flight that goes on to the user's next credential does not ask the issuer any more.
    """
    keeper = make(replace(USER, spares=(SPARE,)))
    mint.refuses = {USER.credential}
    mint.open.clear()
    waiting = asyncio.gather(keeper.get("reporter"), return_exceptions=True)
    await mint.arrived.wait()

    await keeper.revoke("reporter")
    mint.open.set()
    await waiting

    assert mint.asked == 1


async def test_tokens_of_every_credential_leave_the_store(make, store, time):
    """
    Whichever of its credentials a token was got with.
    """
    user = replace(USER, spares=(SPARE,))
    keeper = make(user)
    for number, credential in enumerate(user.credentials):
        token = Token(Secret(f"canary-{number}"), time.now, 1000.0, "minted")
        await store.put(identity(user.acting_with(credential)), token)

    await keeper.revoke("reporter")

    assert len(store) == 0


@pytest.mark.parametrize("name", ["reporter", "dev"])
async def test_allowed_again_it_has_a_token_at_once(make, mint, name):
    """
    Without anybody having asked for it; a failure before the revocation is forgiven.
    """
    keeper = make()
    await keeper.revoke(name)
    mint.arrived.clear()

    keeper.allow(name)

    if name == "reporter":
        await mint.arrived.wait()
    token = await keeper.get(name)
    assert keeper.slot(name).token is token
    assert keeper.state(name).condition == "ready"
    assert mint.asked == (1 if name == "reporter" else 0)


async def test_allowing_who_is_not_revoked_changes_nothing(make, mint):
    """
    The token at hand stays.
    """
    keeper = make()
    token = await keeper.get("reporter")

    keeper.allow("reporter")
    await asyncio.sleep(0)

    assert await keeper.get("reporter") is token
    assert mint.asked == 1


@pytest.mark.parametrize("name", ["reporter", "dev"])
async def test_a_new_generation_knows_and_an_old_one_is_reached(make, mint, store, name):
    """
    A keeper made after the revocation has no token, one made before loses its own; allow reaches both.
    """
    old = make()
    await old.get(name)
    asked = mint.asked
    new = make()
    await new.__aenter__()

    await new.revoke(name)
    newest = make()
    await newest.__aenter__()

    for keeper in (old, new, newest):
        assert keeper.slot(name).token is None
        assert await refused(keeper, name) == REVOKED
    assert mint.asked <= asked + 1  # new's own, before

    newest.allow(name)
    for keeper in (newest, old):
        assert (await keeper.get(name)).usable(0.0)


async def test_a_keeper_that_is_gone_is_not_held(make, revocations):
    """
    Generations come and go; the revocations do not keep them.
    """
    keeper = make()
    assert len(revocations._parts) == 1
    assert list(revocations) == []
    revoking = keeper._revoking
    keeper._revoking = None
    del revoking
    gc.collect()

    assert len(revocations._parts) == 0

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import ContextVar
from dataclasses import replace

import pytest

from proxy.core.clock import Clock
from proxy.core.credential import ClientSecret, FixedToken, Issuer, ServiceUser, identity
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token
from proxy.errors import (
    CredentialInvalid,
    MintRejected,
    MintTimeout,
    MintUnavailable,
    TokenError,
)
from proxy.tokens.keeper import START_BOUND, Keeper
from proxy.tokens.means import Means
from proxy.tokens.store import MemoryStore

USER = ServiceUser(
    "reporter",
    Issuer("zitadel", "https://acme.example"),
    ClientSecret("reporter", Secret("canary-secret")),
    ("openid",),
)
OTHER = replace(
    USER,
    name="other",
    credential=ClientSecret("other", Secret("canary-secret")),
    required=False,
)
PAT = replace(USER, name="dev", credential=FixedToken(Secret("canary-pat")))
NAMES = ContextVar("names", default="none")


class HandMint:
    """
    Mints canary-1, canary-2, …, or what the script says; waits while it is shut.
    """

    def __init__(self, time) -> None:
        self.time = time
        self.script: deque[float | Exception] = deque()
        self.asked: list[str] = []
        self.context: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.arrived = asyncio.Event()
        self.lifetime = 1000.0

    async def __call__(self, user: ServiceUser) -> Minted:
        """
        Mint, or fail, as the script says.
        """
        self.asked.append(user.name)
        self.context.append(NAMES.get())
        number, born = len(self.asked), self.time.now
        self.arrived.set()
        await self.open.wait()
        step = self.script.popleft() if self.script else self.lifetime
        if isinstance(step, Exception):
            raise step
        return Minted(Token(Secret(f"canary-{number}"), born, step, "minted"))


class SlowStore(MemoryStore):
    """
    A store that takes its time while it is shut.
    """

    def __init__(self, boot) -> None:
        super().__init__(boot)
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, identity):
        """
        Look, once the store is open.
        """
        await self.open.wait()
        return await super().get(identity)


@pytest.fixture
def mint(time):
    """
    Mints by script.
    """
    return HandMint(time)


@pytest.fixture
def store(time):
    """
    An empty store.
    """
    return SlowStore(time.clock.boot)


@pytest.fixture
def events():
    """
    What the keeper has told: names and facts.
    """
    return []


@pytest.fixture
def keep(mint, store, events, time):
    """
    Make a keeper of the users given, with chance 0.5 and all it tells in `events`.
    """

    async def pause(seconds: float) -> None:
        time.move(seconds)
        await asyncio.sleep(0)

    def make(*users: ServiceUser) -> Keeper:
        means = Means(
            mint,
            store,
            time.clock,
            lambda: 0.5,
            lambda name, /, **facts: events.append((name, facts)),
            sleep=pause,
        )
        return Keeper(users, means)

    return make


@pytest.fixture
async def keeper(keep):
    """
    A keeper whose `tick` is called by hand.
    """
    under_test = keep(USER, OTHER)
    yield under_test
    await under_test._flights.close()


async def settle(keeper) -> None:
    """
    Let every flight land.
    """
    while tasks := tuple(keeper._flights._tasks):
        await asyncio.wait(tasks)


def told(events) -> list[str]:
    """
    Return the names of the events.
    """
    return [name for name, _ in events]


# Cold


async def test_five_hundred_cold_callers_cause_one_mint(keeper, mint):
    """
    All who want the token while it is being minted get that one.
    """
    tokens = await asyncio.gather(*(keeper.get("reporter") for _ in range(500)))

    assert {id(token) for token in tokens} == {id(tokens[0])}
    assert mint.asked == ["reporter"]


async def test_a_token_at_hand_is_returned_and_stands_in_the_slot(keeper, mint):
    """
    The data path reads the slot; `get` gives the same.
    """
    slot = keeper.slot("reporter")
    assert slot.token is None

    token = await keeper.get("reporter")

    assert slot.token is token is await keeper.get("reporter")
    assert slot.used
    assert mint.asked == ["reporter"]


async def test_a_caller_that_leaves_does_not_cancel_the_mint(keeper, mint):
    """
    The mint belongs to nobody: whoever still waits gets the token, whoever led.
    """
    mint.open.clear()
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(keeper.get("reporter"))
        stayer = group.create_task(keeper.get("reporter"))
        await mint.arrived.wait()
        leader.cancel()
        mint.open.set()

    assert stayer.result().value == Secret("canary-1")
    assert leader.cancelled()
    assert mint.asked == ["reporter"]


async def test_a_mint_goes_on_when_all_have_left(keeper, mint):
    """
    Its token is there for whoever comes next.
    """
    mint.open.clear()
    async with asyncio.TaskGroup() as group:
        only = group.create_task(keeper.get("reporter"))
        await mint.arrived.wait()
        only.cancel()
    mint.open.set()
    await settle(keeper)

    assert (await keeper.get("reporter")).value == Secret("canary-1")
    assert mint.asked == ["reporter"]


async def test_a_failure_reaches_all_who_wait_and_is_soon_forgotten(keeper, mint, time):
    """
    Three attempts for all; each waiter gets an exception of its own; whoever asks then waits for
    the next attempt, which is near.
    """
    mint.script.extend([MintUnavailable("down")] * 3)

    outcomes = await asyncio.gather(
        *(keeper.get("reporter") for _ in range(100)), return_exceptions=True
    )

    assert {type(one) for one in outcomes} == {MintUnavailable}
    assert len({id(one) for one in outcomes}) == 100
    assert mint.asked == ["reporter"] * 3
    before = time.now
    assert (await keeper.get("reporter")).value == Secret("canary-4")
    assert time.now - before == 0.75


async def test_a_slow_store_does_not_mint_twice(keeper, mint, store):
    """
    The look into the store is part of the flight.
    """
    store.open.clear()
    async with asyncio.TaskGroup() as group:
        waiters = [group.create_task(keeper.get("reporter")) for _ in range(10)]
        await asyncio.sleep(0)
        group.create_task(keeper.get("reporter"))
        store.open.set()

    assert mint.asked == ["reporter"]
    assert all(one.result().value == Secret("canary-1") for one in waiters)


async def test_users_do_not_wait_for_each_other(keeper, mint):
    """
    One issuer that hangs holds up only its own service users.
    """
    mint.open.clear()
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(keeper.get("reporter"))
        await mint.arrived.wait()
        mint.open = asyncio.Event()
        mint.open.set()
        assert (await keeper.get("other")).value == Secret("canary-2")
        hanging.cancel()


async def test_a_mint_does_not_inherit_a_requests_context(keeper, mint):
    """
    The fields of one request's log line do not end up in work for all.
    """
    NAMES.set("request-1")
    await keeper.get("reporter")

    assert mint.context == ["none"]


# Failures remembered


@pytest.mark.parametrize("kind", [MintRejected, CredentialInvalid])
async def test_a_permanent_refusal_does_not_hammer_the_issuer(keeper, mint, time, kind):
    """
    It is remembered for seconds, and each who asks meanwhile gets it with the time left.
    """
    mint.script.extend([kind("no"), kind("no")])
    for _ in range(50):
        with pytest.raises(kind, match="no"):
            await keeper.get("reporter")
    assert mint.asked == ["reporter"]

    time.move(1.5)
    with pytest.raises(kind) as caught:
        await keeper.get("reporter")
    assert caught.value.retry_after == 0.5
    time.move(0.5)
    with pytest.raises(kind):
        await keeper.get("reporter")
    assert len(mint.asked) == 2
    time.move(4.0)
    assert (await keeper.get("reporter")).value == Secret("canary-3")


async def test_retry_after_is_honoured(keeper, mint, time):
    """
    A throttling issuer is left alone for as long as it asked.
    """
    mint.script.append(MintUnavailable("throttled", retry_after=30.0))
    for _ in range(5):
        with pytest.raises(MintUnavailable):
            await keeper.get("reporter")
    assert len(mint.asked) == 1

    time.move(30.0)
    await keeper.get("reporter")
    assert len(mint.asked) == 2


async def test_a_token_that_ended_on_the_way_is_a_failure(keeper, mint, time, events):
    """
    A token is never handed out after its end, not even once.
    """
    mint.open.clear()
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(_outcome(keeper.get("reporter")))
        await mint.arrived.wait()
        time.move(2000)
        mint.open.set()

    assert waiter.result().value == Secret("canary-2")
    assert "had ended before it arrived" in events[0][1]["reason"]


async def test_a_bug_in_minting_shows_and_does_not_spin(keeper, mint, time):
    """
    An exception nobody planned reaches the caller, and counts as a failure for the background.
    """
    mint.script.append(KeyError("bug"))

    with pytest.raises(KeyError):
        await keeper.get("reporter")

    assert keeper.state("reporter").last_error == "a bug: KeyError"
    time.move(1.0)
    assert (await keeper.get("reporter")).value == Secret("canary-2")


async def _outcome(coroutine):
    try:
        return await coroutine
    except TokenError as exc:
        return exc


# Refused by an upstream


async def test_a_burst_of_refusals_causes_one_mint(keeper, mint, store, events):
    """
    Compare and drop: a thousand 401 for one token replace it once.
    """
    old = await keeper.get("reporter")

    tokens = await asyncio.gather(*(keeper.renew("reporter", old) for _ in range(1000)))

    assert {token.value.reveal() for token in tokens} == {"canary-2"}
    assert len(mint.asked) == 2
    assert (await store.get(identity(USER))).value == Secret("canary-2")
    assert told(events) == ["token.minted", "token.dropped", "token.minted"]


async def test_a_late_refusal_of_an_old_token_gets_the_new_one(keeper, mint):
    """
    A newer token is never dropped for an older one's sake.
    """
    old = await keeper.get("reporter")
    new = await keeper.renew("reporter", old)

    assert await keeper.renew("reporter", old) is new
    assert len(mint.asked) == 2


async def test_a_refused_token_is_not_taken_from_the_store_again(keeper, mint, store, time):
    """
    Neither here nor by the next generation.
    """
    old = await keeper.get("reporter")
    mint.script.append(MintTimeout("slow"))
    with pytest.raises(MintTimeout):
        await keeper.renew("reporter", old)

    assert await store.get(identity(USER)) is None
    time.move(1.0)
    assert (await keeper.get("reporter")).value == Secret("canary-3")


async def test_a_fresh_token_refused_again_is_kept_for_a_while(keeper, mint, time):
    """
    A missing scope must not double every call: there is no other token, so the 401 passes.
    """
    old = await keeper.get("reporter")
    new = await keeper.renew("reporter", old)

    for _ in range(100):
        assert await keeper.renew("reporter", new) is None
    assert len(mint.asked) == 2

    time.move(5.0)
    assert (await keeper.renew("reporter", new)).value == Secret("canary-3")


async def test_a_token_another_keeper_minted_is_taken_from_the_store(keeper, keep, mint):
    """
    Two generations overlap for a while; what one mints serves both.
    """
    elsewhere = await keep(USER).get("reporter")

    assert await keeper.get("reporter") is elsewhere
    assert mint.asked == ["reporter"]


async def test_a_longer_lived_token_in_the_store_is_a_renewal(keeper, keep, mint, time):
    """
    The one at hand is no reason to mint, nor is an older one in the store to go back.
    """
    other = keep(USER)
    await keeper.get("reporter")
    await other.get("reporter")
    time.move(801.0)
    keeper.tick()
    await settle(keeper)
    other.slot("reporter").used = True
    other.tick()
    await settle(other)

    assert other.slot("reporter").token is keeper.slot("reporter").token
    assert mint.asked == ["reporter", "reporter"]


async def test_a_failed_renewal_after_a_refusal_reaches_all(keeper, mint):
    """
    The refused token is gone, and all who need another learn why there is none.
    """
    old = await keeper.get("reporter")
    mint.script.append(MintTimeout("slow"))

    outcomes = await asyncio.gather(*(_outcome(keeper.renew("reporter", old)) for _ in range(100)))

    assert {type(one) for one in outcomes} == {MintTimeout}
    assert len(mint.asked) == 2


# Renewal ahead


async def test_a_used_token_is_renewed_before_its_end(keeper, mint, time):
    """
    At 80 % of its life (chance 0.5) a new one is minted; nobody waits, the old one is served on.
    """
    old = await keeper.get("reporter")
    time.move(799.0)
    keeper.tick()
    assert len(mint.asked) == 1

    time.move(2.0)
    mint.open.clear()
    keeper.tick()
    assert await keeper.get("reporter") is old
    mint.open.set()
    await settle(keeper)

    assert (await keeper.get("reporter")).value != old.value
    assert mint.asked.count("reporter") == 2


async def test_tick_says_when_to_come_back(keep, mint, time):
    """
    The next thing due is the earliest renewal, or nothing at all.
    """
    keeper = keep(replace(USER, required=False))
    assert keeper.tick() == math.inf

    await keeper.get("reporter")
    assert keeper.tick() == time.now + 800.0


async def test_an_unused_token_is_not_renewed_and_its_user_stays_ready(keeper, mint, time, events):
    """
    A token nobody wanted costs no second one; the first caller after that gets one minted.
    """
    keeper.tick()
    await settle(keeper)
    assert mint.asked == ["reporter"]
    for _ in range(20):
        time.move(100.0)
        keeper.tick()
        await settle(keeper)

    assert mint.asked == ["reporter"]
    assert keeper.state("reporter").condition == "idle"
    assert keeper.ready()
    assert told(events) == ["token.minted", "token.dropped"]
    await keeper.get("reporter")
    assert len(mint.asked) == 2


async def test_a_token_used_late_is_renewed_after_all(keeper, mint, time):
    """
    Use between the renewal moment and the end counts.
    """
    keeper.tick()
    await settle(keeper)
    time.move(900.0)
    keeper.tick()
    keeper.slot("reporter").used = True
    keeper.tick()
    await settle(keeper)

    assert mint.asked.count("reporter") == 2


async def test_a_token_is_served_to_its_true_end_while_the_issuer_is_down(
    keeper, mint, time, events
):
    """
    Failing renewals cost callers nothing until the token really ends; then they learn the reason.
    """
    old = await keeper.get("reporter")
    mint.script.extend([MintUnavailable("down")] * 1000)
    served = 0
    while time.now < old.born + old.lifetime:
        keeper.tick()
        await settle(keeper)
        assert (await keeper.get("reporter")).fingerprint == old.fingerprint
        served += 1
        time.move(1.0)

    assert served == 1000
    assert keeper.state("reporter").condition in {"stale", "failing"}
    assert 5 <= mint.asked.count("reporter") <= 15, "backs off between attempts"
    assert "token.renewal_failed" in told(events)
    with pytest.raises(MintUnavailable, match="down"):
        await keeper.get("reporter")
    mint.script.clear()
    time.move(10.0)
    assert (await keeper.get("reporter")).usable(time.now)


async def test_renewal_is_retried_with_growing_waits(keeper, mint, time):
    """
    0.75, 1.5, 3, 6 … s at chance 0.5, and as long as Retry-After says.
    """
    await keeper.get("reporter")
    time.move(801.0)
    mint.script.extend([MintUnavailable("down")] * 3)
    mint.script.append(MintUnavailable("busy", retry_after=42.0))
    waits = []
    for _ in range(4):
        keeper.tick()
        await settle(keeper)
        waits.append(keeper.slot("reporter").due - time.now)
        time.move(waits[-1])

    assert waits == [0.75, 1.5, 3.0, 42.0]
    keeper.tick()
    await settle(keeper)
    assert not keeper.slot("reporter").stale


async def test_tokens_of_five_seconds_are_not_minted_per_request(keeper, mint, time):
    """
    A short life is renewed in time and served in between.
    """
    mint.lifetime = 5.0
    for _ in range(600):
        await keeper.get("reporter")
        keeper.tick()
        await settle(keeper)
        time.move(0.1)

    assert 13 <= mint.asked.count("reporter") <= 16


# Start


async def test_required_users_are_minted_for_at_the_start(keep, mint, time):
    """
    Readiness waits for them; the others are minted for when asked.
    """
    keeper = keep(USER, OTHER)
    assert not keeper.ready()

    keeper.tick()
    await settle(keeper)

    assert mint.asked == ["reporter"]
    assert keeper.ready()
    assert keeper.state("other").condition == "cold"


async def test_readiness_waits_only_so_long(keep, mint, time):
    """
    An issuer that is down at the start leaves the proxy unready for a bound, not for ever.
    """
    keeper = keep(USER)
    mint.script.extend([MintUnavailable("down")] * 100)
    keeper.tick()
    await settle(keeper)
    assert not keeper.ready()
    assert keeper.state("reporter").condition == "failing"

    time.move(START_BOUND)
    assert keeper.ready()


async def test_the_first_token_is_tried_for_again(keep, mint, time):
    """
    A required user whose first mint failed is looked after without anybody asking.
    """
    keeper = keep(USER)
    mint.script.extend([MintRejected("key not known yet")] * 2)
    for _ in range(10):
        keeper.tick()
        await settle(keeper)
        time.move(1.0)

    assert len(mint.asked) == 3
    assert keeper.ready()


async def test_the_watch_mints_and_renews_by_itself(mint):
    """
    With a real clock: the loop wakes for the first mint and for each renewal ahead.
    """
    loop = asyncio.get_running_loop()
    clock = Clock(wall=loop.time, boot=loop.time)
    mint.time, mint.lifetime = RealTime(), 0.2
    renewals: asyncio.Queue[bool] = asyncio.Queue()

    def on_event(name, /, **facts):
        if name == "token.minted":
            renewals.put_nowait(facts["renewal"])
            loop.call_soon(setattr, watched.slot("reporter"), "used", True)

    means = Means(mint, MemoryStore(loop.time), clock, lambda: 0.0, on_event)
    watched = Keeper([USER], means)
    async with asyncio.timeout(5), watched:
        assert [await renewals.get() for _ in range(3)] == [False, True, True]


class RealTime:
    """
    The loop's own clock, for a token's birth.
    """

    @property
    def now(self) -> float:
        """
        Read the clock.
        """
        return asyncio.get_running_loop().time()


async def test_tokens_survive_a_reload(keep, mint):
    """
    The next generation's keeper finds what is unchanged in the store, and mints for the rest.
    """
    async with keep(USER) as before:
        token = await before.get("reporter")
    renamed = replace(USER, name="renamed")
    changed = replace(USER, name="changed", scopes=("openid", "profile"))
    async with keep(renamed, changed) as after:
        assert after.slot("renamed").token is token
        await after.get("changed")

    assert mint.asked == ["reporter", "changed"]


async def test_leaving_ends_what_is_under_way(keep, mint):
    """
    No task outlives its keeper.
    """
    mint.open.clear()
    before = asyncio.all_tasks()
    async with keep(USER):
        await mint.arrived.wait()

    assert asyncio.all_tasks() == before


# Personal access tokens


async def test_a_personal_access_token_is_at_hand_at_once(keep, mint, time):
    """
    It is never minted, never renewed and, without a stated expiry, never ends.
    """
    keeper = keep(PAT)
    token = keeper.slot("dev").token

    assert token is not None
    assert token.header == b"Authorization: Bearer canary-pat\r\n"
    time.move(1e9)
    assert keeper.tick() == math.inf
    assert await keeper.get("dev") is token
    assert keeper.ready()
    assert mint.asked == []


@pytest.mark.parametrize("left", [10.0, -1.0])
async def test_a_personal_access_token_ends_when_its_owner_said(keep, mint, time, left):
    """
    Past its stated expiry it is not sent: the upstream's 401 would explain less.
    """
    expires = time.clock.wall() + left
    keeper = keep(replace(PAT, credential=FixedToken(Secret("canary-pat"), expires)))
    time.move(10.0)
    keeper.tick()

    with pytest.raises(CredentialInvalid, match="passed its stated expiry; create a new one"):
        await keeper.get("dev")
    assert keeper.slot("dev").token is None
    assert keeper.state("dev").condition == "failing"
    assert not keeper.ready()
    assert mint.asked == []


async def test_a_garbled_personal_access_token_says_so(keep):
    """
    It is found at the start and told to whoever asks.
    """
    keeper = keep(replace(PAT, credential=FixedToken(Secret("canary pat"))))

    with pytest.raises(CredentialInvalid, match="paste the token alone"):
        await keeper.get("dev")


async def test_a_refused_personal_access_token_passes_the_401_on(keep, events):
    """
    There is no other to be had, and the operator is told once.
    """
    keeper = keep(PAT)
    token = await keeper.get("dev")

    for _ in range(3):
        assert await keeper.renew("dev", token) is None
    assert told(events) == ["token.refused"]
    assert keeper.state("dev").condition == "refused"
    assert "its user is locked" in keeper.state("dev").last_error


# What is shown


async def test_the_state_tells_what_there_is_to_tell(keeper, mint, time):
    """
    Age, end and next renewal in seconds; counts; the last error in words.
    """
    cold = keeper.state("reporter")
    assert (cold.condition, cold.age, cold.expires_in, cold.mints) == ("cold", None, None, 0)

    await keeper.get("reporter")
    time.move(100.0)
    ready = keeper.state("reporter")
    assert (ready.name, ready.issuer, ready.method) == (
        "reporter",
        "zitadel",
        "client_credentials",
    )
    assert (ready.condition, ready.age, ready.expires_in, ready.renews_in) == (
        "ready",
        100.0,
        895.0,
        700.0,
    )
    assert (ready.mints, ready.failures, ready.last_error) == (1, 0, "")

    mint.script.append(MintUnavailable("down"))
    time.move(701.0)
    keeper.tick()
    await settle(keeper)
    stale = keeper.state("reporter")
    assert (stale.condition, stale.failures, stale.last_error) == ("stale", 1, "down")
    assert stale.renews_in == 0.75
    assert keeper.states() == (stale, keeper.state("other"))


async def test_events_carry_facts_and_no_secret(keeper, keep, mint, events, time):
    """
    Names, seconds, reasons and fingerprints; no token, secret or assertion in anything shown.
    """
    token = await keeper.get("reporter")
    mint.script.append(MintUnavailable("down"))
    time.move(801.0)
    keeper.tick()
    await settle(keeper)
    time.move(1.0)
    mint.script.append(MintRejected("no"))
    error = await _outcome(keeper.renew("reporter", token))
    personal = keep(PAT)
    await personal.renew("dev", await personal.get("dev"))

    assert told(events) == [
        "token.minted",
        "token.renewal_failed",
        "token.dropped",
        "token.mint_failed",
        "token.refused",
    ]
    minted = events[0][1]
    assert minted["service_user"] == "reporter"
    assert minted["lifetime"] == 1000.0
    assert minted["fingerprint"] == token.fingerprint
    shown = repr((events, error, error.reason, keeper, personal, token))
    shown += repr([keeper.state("reporter"), personal.state("dev")])
    shown += repr([keeper.slot("reporter"), personal.slot("dev")])
    assert "canary" not in shown


async def test_an_unknown_name_is_a_bug(keeper):
    """
    The configuration has checked all names.
    """
    with pytest.raises(KeyError):
        keeper.slot("nobody")

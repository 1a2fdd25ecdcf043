"""
Hundreds of answers no issuer should give, over a real socket, to a keeper with a token at hand.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from dataclasses import replace

import pytest
from aiohttp import web

from proxy.core.token import Token
from proxy.errors import MintRejected, MintUnavailable, TokenError
from proxy.tokens.keeper import Keeper
from proxy.tokens.means import Means
from proxy.tokens.store import MemoryStore
from tests.tokens.bodies import NOT_JSON, TOKEN, documents, lives_no_longer, refused, taken

# Bytes: what caches of the libraries may grow by over a whole run, and far below what it sees.
GROWTH = 1_500_000


@pytest.fixture
def events():
    """
    What the keeper has told: names and facts.
    """
    return []


@pytest.fixture
async def keeper(mint, time, events, reporter):
    """
    A keeper of one service user at the running issuer, ticked by hand.
    """
    means = Means(
        mint,
        MemoryStore(time.clock.boot),
        time.clock,
        lambda: 0.5,
        lambda name, /, **facts: events.append((name, facts)),
        sleep=lambda _seconds: asyncio.sleep(0),
    )
    made = Keeper([reporter], means)
    yield made
    await made._flights.close()


@pytest.fixture
def renew(keeper, time, issuer):
    """
    Let a renewal be due, have it answered, and return the token at hand after it.
    """

    async def once(answer: web.Response | None = None) -> Token | None:
        if answer is not None:
            issuer.script.append(answer)
        time.move(61.0)  # past any wait there may be
        slot = keeper.slot("reporter")
        slot.used, slot.due = True, time.now
        keeper.tick()
        while tasks := tuple(keeper._flights._tasks):
            await asyncio.wait(tasks)
        assert not issuer.script, "the issuer was asked"
        issuer.asked.clear()
        token: Token | None = slot.token
        return token

    return once


def shown(keeper, events, error=None) -> str:
    """
    Return everything anybody could see.
    """
    slot = keeper.slot("reporter")
    told = repr((events, keeper, slot, slot.token, keeper.states(), slot.backoff.error, error))
    return told + str(error) + ("" if error is None else repr(vars(error)))


def reply(body: bytes, status: int = 200, **headers: str) -> web.Response:
    """
    Return an answer that calls itself JSON.
    """
    return web.Response(
        status=status, body=body, headers={"Content-Type": "application/json"} | headers
    )


async def test_an_answer_that_is_no_token_costs_nobody_the_one_at_hand(
    keeper, renew, events, issuer
):
    """
    Whatever the body: the renewal fails with a TokenError, the old token is served, nothing of the
    body is repeated but a short quote of an error, and the next good answer heals it.
    """
    count = 0
    await renew()
    for name, body in refused():
        old = keeper.slot("reporter").token
        assert await renew(reply(body)) is old, name
        assert await keeper.get("reporter") is old, name
        assert keeper.state("reporter").condition == "stale", name
        assert events[0][0] == "token.renewal_failed" or "dropped" not in events[0][0], name
        text = shown(keeper, events)
        assert TOKEN not in text, name
        assert name.split()[0] not in NOT_JSON or "canary" not in text, name
        assert len(keeper.state("reporter").last_error) < 600, name

        assert await renew() is not old, name
        assert keeper.state("reporter").condition == "ready", name
        events.clear()
        count += 1

    assert count >= 300


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403, 404, 429, 500, 503, 599])
async def test_the_same_with_any_status(keeper, renew, events, issuer, status):
    """
    A body that makes no sense leaves the status to say what is wrong; even a good body does not
    make a token of anything but a 200.
    """
    await renew()
    bodies = [("good", b'{"access_token":"canary-token","token_type":"Bearer"}')]
    for name, body in (*bodies, *list(refused())[::7]):
        old = keeper.slot("reporter").token
        assert await renew(reply(b"" if status == 204 else body, status)) is old, name
        text = shown(keeper, events)
        assert TOKEN not in text, name
        assert await renew() is not old, name
        events.clear()


async def test_an_odd_token_is_taken_with_care(keeper, renew, events):
    """
    As the strict reading says: a token, living no longer than can be believed.
    """
    for name, body, seconds in taken():
        old = keeper.slot("reporter").token
        token = await renew(reply(body))
        assert token is not None, name
        assert token is not old, (name, keeper.state("reporter").last_error)
        assert lives_no_longer(token.lifetime, seconds), name
        assert token.header.count(b"\r\n") == 1, name
        assert TOKEN not in shown(keeper, events), name
        events.clear()


async def test_a_cold_caller_gets_a_token_error_and_soon_a_token(keeper, issuer, time, events):
    """
    With nothing at hand the first caller learns of it, and the next good answer is taken.
    """
    for name, body in list(refused())[::3]:
        issuer.script.extend(reply(body) for _ in range(3))
        with pytest.raises(TokenError) as caught:
            await keeper.get("reporter")
        assert TOKEN not in shown(keeper, events, caught.value), name
        assert caught.value.__cause__ is None or TOKEN not in repr(caught.value.__cause__)
        issuer.script.clear()
        time.move(61.0)
        token = await keeper.get("reporter")
        assert token.usable(time.now), name
        keeper.slot("reporter").empty(refused=True)
        issuer.asked.clear()
        events.clear()


async def test_memory_stays_flat(keeper, renew, events):
    """
    Three hundred hostile bodies, megabytes in all, leave nothing behind.
    """
    bodies = list(refused())
    for _, body in bodies:  # caches of the libraries fill once
        await renew(reply(body))
        events.clear()
    await renew()
    gc.collect()
    tracemalloc.start()
    try:
        for _, body in bodies:
            await renew(reply(body))
            await renew()
            events.clear()
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert left < GROWTH


async def test_a_discovery_document_that_is_none_costs_nobody_a_token(
    keeper, renew, discovery, issuer, reporter, time, events
):
    """
    A document is believed about itself or not at all; what was known goes on being used, and
    without that the outcome is a TokenError that repeats nothing.
    """
    await renew()
    for name, body in documents(issuer.url):
        issuer.document = reply(body)
        cold = replace(reporter.issuer, connect_to=issuer.url)  # another place: nothing is known
        with pytest.raises((MintUnavailable, MintRejected)) as caught:
            await discovery.token_endpoint(cold)
        assert name.split()[0] not in NOT_JSON or "canary" not in str(caught.value), name
        assert len(caught.value.reason) < 700, name
        assert caught.value.reason.isprintable(), name

        discovery._fresh.clear()
        discovery._failed.clear()
        old = keeper.slot("reporter").token
        assert await renew() is not old, f"{name}: what was known is used"
    issuer.document = None
    assert await discovery.token_endpoint(replace(reporter.issuer, connect_to=issuer.url))

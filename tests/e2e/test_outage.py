"""
What callers notice while the issuer is gone, slow to know its own tokens, or lives in another time.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.conftest import at_once, only

KEY = ("/management/v1/orgs/me", "provisioner")
SECRET = ("/orders/42", "reporter")

NOTICED = 3.0
"""Seconds after which an issuer's return has to be noticed, on a machine that is busy."""

BOTH = [pytest.param(*KEY, id="private key JWT"), pytest.param(*SECRET, id="client credentials")]


async def failing(sandbox, relay):
    """
    The issuer is there and answers 503 to everything about tokens.
    """
    del relay
    sandbox.faults.set("discovery-500")
    sandbox.faults.set("token-503")


async def refusing(sandbox, relay):
    """
    The issuer's port refuses connections.
    """
    del sandbox
    await relay.shut()


@pytest.mark.parametrize("options", [{"token_lifetime": 4.0}], indirect=True)
@pytest.mark.parametrize("go_down", [failing, refusing], ids=["failing", "refusing"])
async def test_an_outage_is_noticed_when_the_token_ends_and_over_when_it_is_over(
    sandbox, serve, relay, go_down
):
    """
    Until the token at hand ends every request is served; then callers are told when to come back,
    the issuer is left in peace, and its return is noticed without a restart.
    """

    def detour(document):
        only("reporter")(document)
        document["issuers"]["zitadel"]["connect_to"] = relay.url

    await relay.open(sandbox.url)
    through = await serve(detour)
    assert (await through("GET", "/orders/42")).status == 200

    await go_down(sandbox, relay)
    asked = sandbox.mints.requests
    failed = await through.log.wait("token.renewal_failed")
    assert (failed["service_user"], failed["level"]) == ("reporter", "warning")
    reply = await through("GET", "/orders/42")
    assert reply.status == 200
    assert (await through.log.done(reply))["token"] == "stale"
    while reply.status == 200:
        assert not through.log.events("token.dropped")
        reply = await through("GET", "/orders/42")

    dropped = await through.log.wait("token.dropped")
    assert dropped["reason"] == "expired"
    refused = [reply, *await at_once(through, "/orders/42", 50)]
    assert {(each.status, each.code) for each in refused} == {(503, "mint_unavailable")}
    assert all(int(each.headers["Retry-After"]) >= 1 for each in refused)
    await through.log.wait("issuer.left_alone")
    assert sandbox.mints.requests - asked <= 6

    sandbox.faults.clear()
    if go_down is refusing:
        await relay.open(sandbox.url)
    async with asyncio.timeout(NOTICED):
        back = await through.log.wait("issuer.recovered")
    assert back["issuer"] == "zitadel"
    assert (await through("GET", "/orders/42")).status == 200
    assert len(through.log.events("issuer.left_alone")) == 1


async def test_a_crowd_of_first_callers_is_one_mint_whoever_leads_it(sandbox, serve):
    """
    Five hundred ask before there is a token and the first of them leaves: one mint, all are served.
    """
    path, user = KEY
    sandbox.faults.set("token-slow")
    through = await serve(only(user))
    async with asyncio.timeout(20):
        await sandbox.mints.until(1)
        async with asyncio.TaskGroup() as group:
            leader = group.create_task(through("GET", path, headers={"X-Request-Id": "leader"}))
            await through.waiting(1)
            asked = [group.create_task(through("GET", path)) for _ in range(499)]
            await through.waiting(500)
            leader.cancel()
            await through.log.wait("request.done", request_id="leader", status=499)
            sandbox.faults.clear("token-slow")

    assert {each.result().status for each in asked} == {200}
    assert sandbox.mints.requests == 1


async def test_a_thousand_refusals_at_once_are_one_mint(sandbox, serve):
    """
    A token that dies under a thousand requests is replaced once, and every one of them is served.
    """
    path = KEY[0]
    through = await serve(only("provisioner"))
    assert (await through("GET", path)).status == 200
    sandbox.hits.clear()
    sandbox.faults.set("api-slow")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asked = [group.create_task(through("GET", path)) for _ in range(1000)]
        await sandbox.hits.until(1001)  # all are held, before their token is looked at
        sandbox.revoke(sandbox.users["provisioner"])
        sandbox.faults.clear("api-slow")

    assert {each.result().status for each in asked} == {200}
    assert sandbox.mints.requests == 2
    seen = [hit.status for hit in sandbox.hits]
    assert (seen.count(401), seen.count(200)) == (1000, 1000)


@pytest.mark.parametrize(("path", "user"), BOTH)
async def test_a_token_that_is_not_known_everywhere_yet_is_tried_again(sandbox, serve, path, user):
    """
    A new token that a replica does not know yet is not thrown away: the caller sees 200.
    """
    sandbox.faults.set("token-young", value=1.0)
    through = await serve(only(user))

    reply = await through("GET", path)

    assert reply.status == 200
    assert [hit.status for hit in sandbox.hits] == [401, 200]
    assert len({hit.bearer.reveal() for hit in sandbox.hits}) == 1
    assert sandbox.mints.requests == 1
    assert (await through.log.done(reply))["replayed"] is True


@pytest.mark.parametrize(
    ("size", "status", "replayed"), [(64 * 1024, 200, True), (64 * 1024 + 1, 401, False)]
)
async def test_a_body_too_large_to_repeat_leaves_the_401_to_the_caller(
    sandbox, serve, size, status, replayed
):
    """
    What was not kept cannot be sent again; the caller sees the 401, and the next one a new token.
    """
    through = await serve(only("reporter"))
    assert (await through("GET", "/orders/42")).status == 200
    sandbox.faults.set("revoke-once")

    reply = await through("PUT", "/echo", data=b"x" * size)

    assert (reply.status, reply.code) == (status, None)
    assert (await through.log.done(reply))["replayed"] is replayed
    await through.log.wait("token.dropped", reason="refused")
    assert (await through("GET", "/orders/42")).status == 200
    assert sandbox.mints.requests == 2


@pytest.mark.parametrize("fault", ["clock-ahead=3600", "clock-behind=3600"])
async def test_an_issuer_in_another_time_is_served_in_its_time(sandbox, serve, fault):
    """
    Assertions bear the issuer's time: no mint fails, and the difference is told once.
    """
    name, _, value = fault.partition("=")
    sandbox.faults.set(name, value=value)
    through = await serve(only("provisioner"))
    assert (await through("GET", KEY[0])).status == 200
    sandbox.revoke(sandbox.users["provisioner"])
    assert (await through("GET", KEY[0])).status == 200

    assert (sandbox.mints.count(ok=True), sandbox.mints.count(ok=False)) == (2, 0)
    (skewed,) = through.log.events("clock.skewed")
    ahead = name == "clock-ahead"
    assert abs(skewed["behind"] - (3600 if ahead else -3600)) <= 2
    assert skewed["level"] == "warning"


@pytest.mark.parametrize("life", [2, 5])
@pytest.mark.parametrize(("path", "user"), BOTH)
async def test_short_lives_do_not_cost_a_mint_each_request(sandbox, serve, path, user, life):
    """
    A token that lives for seconds serves all requests of these seconds.
    """
    sandbox.faults.set("short-lived", value=life)
    through = await serve(only(user))

    answers = [await through("GET", path) for _ in range(60)]

    assert {each.status for each in answers} == {200}
    spent = sandbox.instance.now() - sandbox.users[user].created
    assert sandbox.mints.requests <= 1 + spent / (0.75 * (life - 1))

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.conftest import at_once, only

CALLERS = 200

MINTED = [
    pytest.param("/management/v1/orgs/me", "provisioner", id="private key JWT"),
    pytest.param("/orders/42", "reporter", id="client credentials"),
]


@pytest.mark.parametrize(("path", "user"), MINTED)
async def test_many_first_callers_share_one_mint(sandbox, serve, path, user):
    """
    However many ask before there is a token, the issuer is asked once and all get the answer.
    """
    sandbox.faults.set("token-slow")
    through = await serve(only(user))
    async with asyncio.timeout(20):
        await sandbox.mints.until(1)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(through("GET", path)) for _ in range(CALLERS)]
            await through.waiting(CALLERS)
            assert sandbox.hits.total == 0  # nothing went up without one
            sandbox.faults.clear("token-slow")

    assert {each.result().status for each in asked} == {200}
    assert sandbox.mints.requests == 1
    assert len({hit.bearer.reveal() for hit in sandbox.hits}) == 1

    again = await at_once(through, path, 50)
    assert {each.status for each in again} == {200}
    assert sandbox.mints.requests == 1
    await through.log.wait("request.done", token="minted", service_user=user)
    await through.log.wait("request.done", token="cached", service_user=user)


async def test_a_personal_access_token_is_never_minted(sandbox, serve):
    """
    The third method asks the issuer for nothing, however many call.
    """
    through = await serve(only("dev"))

    answers = await at_once(through, "/dev/auth/v1/users/me", CALLERS)

    assert {each.status for each in answers} == {200}
    assert sandbox.mints.requests == 0
    assert sandbox.issuer_hits.total == 0
    await through.log.wait("request.done", token="static", service_user="dev")


@pytest.mark.parametrize("options", [{"token_lifetime": 3.0}], indirect=True)
@pytest.mark.parametrize(("path", "user"), MINTED)
async def test_a_token_is_renewed_before_anybody_waits(sandbox, serve, path, user):
    """
    A token in use is replaced ahead of its end; the next caller finds the new one at hand.
    """
    through = await serve(only(user))
    assert (await through("GET", path)).status == 200

    async with asyncio.timeout(2.5):  # the first one's life
        renewed = await through.log.wait("token.minted", renewal=True)
    assert renewed["service_user"] == user
    reply = await through("GET", path, headers={"X-Request-Id": "after"})

    assert reply.status == 200
    assert (await through.log.wait("request.done", request_id="after"))["token"] == "cached"
    first, second = (hit.bearer.reveal() for hit in sandbox.hits)
    assert first != second
    assert sandbox.mints.requests == 2


@pytest.mark.parametrize(
    ("method", "path", "user"),
    [
        ("GET", "/management/v1/orgs/me", "provisioner"),
        ("POST", "/v2/users", "provisioner"),
        ("GET", "/orders/42", "reporter"),
        ("PUT", "/echo", "reporter"),
    ],
)
async def test_a_revoked_token_costs_the_caller_nothing(sandbox, serve, method, path, user):
    """
    A 401 for a token that worked before is answered by one new token and one replay.
    """
    through = await serve(only(user))
    options = {} if method == "GET" else {"json": {"query": {"limit": 1}}}
    assert (await through(method, path, **options)).status == 200
    sandbox.hits.clear()
    sandbox.faults.set("revoke-once")

    reply = await through(method, path, headers={"X-Request-Id": "again"}, **options)

    assert reply.status == 200
    assert sandbox.mints.requests == 2
    refused, replayed = sandbox.hits
    assert (refused.status, replayed.status) == (401, 200)
    assert refused.target == replayed.target
    assert refused.body_sha256 == replayed.body_sha256
    assert refused.bearer.reveal() != replayed.bearer.reveal()
    line = await through.log.wait("request.done", request_id="again")
    assert (line["replayed"], line["token"], line["status"]) == (True, "minted", 200)


async def test_a_burst_with_a_revoked_token_causes_one_mint(sandbox, serve):
    """
    When all at once are refused the same token, it is replaced once for all of them.
    """
    through = await serve(only("provisioner"))
    assert (await through("GET", "/management/v1/orgs/me")).status == 200
    sandbox.revoke(sandbox.users["provisioner"])

    answers = await at_once(through, "/management/v1/orgs/me", 50)

    assert {each.status for each in answers} == {200}
    assert sandbox.mints.requests == 2


async def test_a_post_elsewhere_is_not_repeated(sandbox, serve):
    """
    A POST to somebody else's API may have acted before its 401: the caller sees that 401.
    """
    through = await serve(only("reporter"))
    assert (await through("GET", "/orders/1")).status == 200
    sandbox.faults.set("revoke-once")

    reply = await through("POST", "/orders/", json={"item": "cup"})

    assert (reply.status, reply.code) == (401, None)
    assert len(sandbox.hits) == 2


async def test_an_upstream_that_refuses_everything_is_not_hammered(sandbox, serve):
    """
    If a new token is refused too, the caller sees the upstream's 401, and mints stay bounded.
    """
    sandbox.faults.set("api-401")
    through = await serve(only("provisioner"))

    answers = [await through("GET", "/management/v1/orgs/me") for _ in range(30)]

    assert {(each.status, each.code) for each in answers} == {(401, None)}
    assert all(b"AUTH-7fs1e" in each.body for each in answers)
    assert sandbox.mints.requests <= 2
    assert sandbox.hits.total <= 30 + 3  # two young tokens given their second, one replaced


async def test_a_refused_personal_access_token_is_said(sandbox, serve):
    """
    A dead personal access token cannot be replaced: the caller sees the 401, the log says why.
    """
    sandbox.revoke(sandbox.users["dev"])
    through = await serve(only("dev"))

    reply = await through("GET", "/dev/auth/v1/users/me")

    assert (reply.status, reply.code) == (401, None)
    assert sandbox.hits.total == 1

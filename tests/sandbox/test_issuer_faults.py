from __future__ import annotations

import asyncio

import aiohttp
import pytest

from proxy.tasks import spawn

PATHS = [
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("POST", "/oauth/v2/token"),
    ("POST", "/oauth/v2/introspect"),
    ("GET", "/oauth/v2/keys"),
    ("GET", "/oidc/v1/userinfo"),
    ("GET", "/debug/healthz"),
    ("GET", "/auth/v1/users/me"),
    ("GET", "/nothing/here"),
]


@pytest.mark.parametrize(("method", "path"), PATHS, ids=[path for _, path in PATHS])
async def test_an_issuer_that_is_down_closes_every_connection(sandbox, issuer, method, path):
    """
    No path is answered but the control paths; once cleared, all are again.
    """
    await issuer("POST", "/sandbox/faults/down")

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await issuer(method, path)
    assert (await issuer("GET", "/sandbox/state")).json["faults"] == ["down"]
    await issuer("DELETE", "/sandbox/faults/down")

    assert (await issuer(method, path)).status > 0


async def test_what_was_under_way_when_the_issuer_went_down_is_lost(sandbox, mint):
    """
    An answer that was held does not come after all.
    """
    sandbox.faults.set("token-slow")
    tasks: set[asyncio.Task[object]] = set()
    asking = spawn(tasks, mint.by_key(), name="mint")
    await sandbox.mints.until(1)

    sandbox.faults.set("down")
    sandbox.faults.clear("token-slow")

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asking


@pytest.mark.parametrize(("method", "path"), PATHS, ids=[path for _, path in PATHS])
async def test_a_silent_issuer_answers_once_the_fault_is_cleared(sandbox, issuer, method, path):
    """
    The request arrives and nothing comes back, while the control paths go on working.
    """
    sandbox.faults.set("silent")
    tasks: set[asyncio.Task[object]] = set()

    asking = spawn(tasks, issuer(method, path), name="ask")
    await asyncio.wait(
        [spawn(tasks, log.until(1), name="arrival") for log in (sandbox.hits, sandbox.issuer_hits)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert (await issuer("GET", "/sandbox/state")).json["faults"] == ["silent"]
    assert not asking.done()
    await issuer("DELETE", "/sandbox/faults")

    assert (await asking).status > 0
    for task in tasks:
        task.cancel()


async def test_the_backend_suffers_with_its_issuer(sandbox, issuer, backend, bearer):
    """
    It is up itself, but can ask nobody about a token.
    """
    token = sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes)
    sandbox.faults.set("down")

    assert (await backend("GET", "/healthz")).status == 200
    assert (await backend("GET", "/orders", headers=bearer(token))).status == 503

    sandbox.faults.clear("down")
    assert (await backend("GET", "/orders", headers=bearer(token))).status == 200


@pytest.mark.parametrize(
    ("fault", "value", "date", "reason"),
    [
        ("clock-behind", None, "Fri, 15 Jan 2027 07:55:00 GMT", "in the future"),
        ("clock-behind", 7200, "Fri, 15 Jan 2027 06:00:00 GMT", "in the future"),
        ("clock-ahead", None, "Fri, 15 Jan 2027 08:05:00 GMT", "exp is missing or over"),
        ("clock-ahead", 7200, "Fri, 15 Jan 2027 10:00:00 GMT", "exp is missing or over"),
    ],
)
async def test_a_wrong_clock_shows_and_decides(sandbox, issuer, mint, fault, value, date, reason):
    """
    The issuer's clock shows in the Date of every answer, errors too, and judges assertions.
    """
    sandbox.faults.set(fault, value=value)

    refused = await mint.by_key()

    assert (refused.status, refused.headers["Date"]) == (400, date)
    assert reason in sandbox.mints[-1].reason
    for method, path in PATHS:
        assert (await issuer(method, path)).headers.getall("Date") == [date]
    for broken in ("token-503", "token-html", "discovery-500", "discovery-404"):
        sandbox.faults.set(broken)
        path = "/oauth/v2/token" if broken.startswith("token") else PATHS[0][1]
        assert (await issuer("GET", path)).headers.getall("Date") == [date]


async def test_a_clock_ahead_ends_tokens_early(sandbox, issuer, mint, bearer):
    """
    Expiry is judged by the issuer's clock as it is now.
    """
    token = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes)

    sandbox.faults.set("clock-ahead", value=43_200)

    assert (await issuer("GET", "/auth/v1/users/me", headers=bearer(token))).status == 401


@pytest.mark.parametrize(("value", "expires_in"), [(None, 4), (60, 59), (0, None)])
async def test_tokens_can_be_short_lived(sandbox, issuer, mint, clock, value, expires_in):
    """
    The answer says so and the token ends then.
    """
    sandbox.faults.set("short-lived", value=value, times=1)
    short = (await mint.by_key()).json
    usual = (await mint.by_key()).json

    assert (short.get("expires_in"), usual["expires_in"]) == (expires_in, 43_199)
    clock.now += 5 if value is None else value
    for answer, status in ((short, 401), (usual, 200)):
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await issuer("GET", "/auth/v1/users/me", headers=headers)).status == status


async def test_a_young_token_is_refused(sandbox, issuer, backend, clock, bearer):
    """
    APIs and backend refuse it until it is old enough; a personal token is never young.
    """
    sandbox.faults.set("token-young")
    api = bearer(sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes))
    order = bearer(sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes))

    async def tries() -> list[int]:
        return [
            (await issuer("GET", "/auth/v1/users/me", headers=api)).status,
            (await backend("GET", "/orders", headers=order)).status,
            (await issuer("GET", "/auth/v1/users/me", headers=bearer(sandbox.pat))).status,
        ]

    assert await tries() == [401, 401, 200]
    clock.now += 1
    assert await tries() == [200, 200, 200]


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [("userinfo-500", 500, "server_error"), ("userinfo-401", 401, "access_denied")],
)
async def test_userinfo_can_fail(sandbox, issuer, bearer, fault, status, error):
    """
    Userinfo fails alone: the APIs take the same token.
    """
    sandbox.faults.set(fault, times=1)

    reply = await issuer("GET", "/oidc/v1/userinfo", headers=bearer(sandbox.pat))

    assert (reply.status, reply.json["error"]) == (status, error)
    assert (await issuer("GET", "/auth/v1/users/me", headers=bearer(sandbox.pat))).status == 200
    assert (await issuer("GET", "/oidc/v1/userinfo", headers=bearer(sandbox.pat))).status == 200


async def test_the_backend_can_refuse_every_token(sandbox, issuer, backend, bearer):
    """
    A resource server of its own mind: the issuer knows the token well.
    """
    token = bearer(sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes))
    sandbox.faults.set("backend-401", times=1)

    refused = await backend("GET", "/orders", headers=token)

    assert refused.status == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert sandbox.issuer_hits.total == 0
    assert (await backend("GET", "/orders", headers=token)).status == 200


@pytest.mark.parametrize(
    ("options", "status", "error"),
    [({"era": "400"}, 400, "invalid_client"), ({"era": "500"}, 500, "server_error")],
    indirect=["options"],
)
async def test_a_key_can_be_unknown(sandbox, mint, status, error):
    """
    An unknown key is answered as the server's age has it.
    """
    sandbox.faults.set("key-unknown", times=1)

    reply = await mint.by_key()

    assert (reply.status, reply.json["error"]) == (status, error)
    assert sandbox.mints[-1].reason == "no usable key with this kid belongs to this iss"
    assert (await mint.by_key()).status == 200


async def test_a_secret_can_be_wrong(sandbox, mint):
    """
    The right secret is answered as a wrong one; keys are not concerned.
    """
    right = {"client_id": "reporter", "client_secret": sandbox.client_secret.reveal()}
    sandbox.faults.set("secret-wrong")

    reply = await mint.by_secret(**right)

    assert reply.json["error_description"] == "Errors.User.Machine.Secret.Invalid"
    assert (await mint.by_key()).status == 200
    sandbox.faults.clear()
    assert (await mint.by_secret(**right)).status == 200

from __future__ import annotations

import pytest

from proxy.sandbox.fault_list import FAULTS
from proxy.sandbox.grants import JWT_BEARER


async def test_faults_are_set_and_cleared_over_http(sandbox, issuer, mint):
    """
    The control paths do what the object does.
    """
    listed = await issuer("GET", "/sandbox/faults")
    assert listed.json["on"] == []
    off = {"on": False, "value": None, "times_left": 0}
    assert listed.json["faults"] == {
        name: {"description": text} | off for name, text in FAULTS.items()
    }

    reply = await issuer("POST", "/sandbox/faults/token-500?times=1")
    assert reply.json["on"] == ["token-500"]
    assert [(await mint.by_key()).status for _ in range(2)] == [500, 200]

    await issuer("POST", "/sandbox/faults/odd-expires-in?value=-5")
    assert (await mint.by_key()).json["expires_in"] == -5
    reply = await issuer("DELETE", "/sandbox/faults/odd-expires-in")
    assert reply.json["on"] == []

    await issuer("POST", "/sandbox/faults/api-401")
    await issuer("POST", "/sandbox/faults/api-500")
    reply = await issuer("DELETE", "/sandbox/faults")
    assert reply.json["on"] == []


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/sandbox/faults/nothing", 400),
        ("DELETE", "/sandbox/faults/nothing", 400),
        ("POST", "/sandbox/faults/token-500?times=x", 400),
        ("POST", "/sandbox/faults/token-500?times=0", 400),
        ("POST", "/sandbox/faults/token-500?time=1", 400),
        ("POST", "/sandbox/faults/token-500?value=1", 400),
        ("POST", "/sandbox/faults/token-slow?value=soon", 400),
        ("POST", "/sandbox/faults/token-body", 400),
        ("POST", "/sandbox/revoke?name=dev", 400),
        ("POST", "/sandbox/revoke?user=nobody", 400),
        ("POST", "/sandbox/state", 404),
        ("GET", "/sandbox/nothing", 404),
        ("POST", "/sandbox/faults", 404),
    ],
)
async def test_what_control_does_not_know(issuer, method, target, status):
    """
    Mistakes are answered as such.
    """
    reply = await issuer(method, target)

    assert reply.status == status
    assert "error" in reply.json


async def test_how_it_stands_with_a_fault_is_told(sandbox, issuer, mint):
    """
    What it does, its value or default, and how often it still hits; a used-up one is off.
    """
    slow = (await issuer("POST", "/sandbox/faults/token-slow")).json
    assert slow == {
        "on": ["token-slow"],
        "faults": {
            "token-slow": {
                "description": FAULTS["token-slow"],
                "on": True,
                "value": 10.0,
                "times_left": None,
            }
        },
    }
    await issuer("DELETE", "/sandbox/faults")

    await issuer("POST", "/sandbox/faults/token-429?times=2&value=7")
    await mint.by_key()
    state = (await issuer("GET", "/sandbox/faults")).json["faults"]["token-429"]
    assert (state["on"], state["value"], state["times_left"]) == (True, "7", 1)

    await mint.by_key()
    state = (await issuer("GET", "/sandbox/faults")).json["faults"]["token-429"]
    assert (state["on"], state["value"], state["times_left"]) == (False, None, 0)


async def test_a_mistake_is_told_what_there_is(issuer):
    """
    The message helps whoever mistyped.
    """
    fault = await issuer("POST", "/sandbox/faults/token-slo")
    value = await issuer("POST", "/sandbox/faults/token-slow?value=soon")
    user = await issuer("POST", "/sandbox/revoke?user=nobody")

    assert fault.json["error"].startswith("no fault 'token-slo'; perhaps token-slow")
    assert value.json["error"] == "token-slow: write a number of seconds from 0 to 3600"
    assert user.json["error"] == "no service user 'nobody'"


async def test_a_web_page_has_no_control(sandbox, issuer):
    """
    A request that a browser sends for a page is refused.
    """
    reply = await issuer(
        "POST", "/sandbox/faults/api-401", headers={"Origin": "http://elsewhere.example"}
    )

    assert reply.status == 403
    assert sandbox.faults.names() == ()


async def test_tokens_are_revoked_over_http(sandbox, issuer, bearer):
    """
    One user's tokens, or everybody's.
    """
    token = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes)

    one = await issuer("POST", "/sandbox/revoke?user=provisioner")
    everybody = await issuer("POST", "/sandbox/revoke")

    assert (one.json, everybody.json) == ({"revoked": 1}, {"revoked": 1})
    assert (await issuer("GET", "/auth/v1/users/me", headers=bearer(token))).status == 401


async def test_the_state_tells_what_happened_and_no_secret(sandbox, issuer, mint, bearer):
    """
    Users, mints with their true reason, and hits are shown; credentials are not.
    """
    token = (await mint.by_key()).json["access_token"]
    await mint.by_key("x", audience="a")
    await issuer("GET", "/auth/v1/users/me?secret=1", headers=bearer(sandbox.pat))

    reply = await issuer("GET", "/sandbox/state")

    users = {user["name"]: user for user in reply.json["users"]}
    assert (users["provisioner"]["mints"], users["provisioner"]["refused"]) == (1, 0)
    assert reply.json["applications"] == [
        {"client_id": app.client_id, "project_id": sandbox.project_id, "exchange": exchange}
        for app, exchange in ((sandbox.application, False), (sandbox.exchanger, True))
    ]
    assert reply.json["token_requests"] == 2
    assert reply.json["mints"][1] == {
        "grant": JWT_BEARER,
        "user": "unknown",
        "client_auth": "none",
        "audience": ["a"],
        "resource": [],
        "status": 400,
        "error": "invalid_client",
        "reason": "not a JWT",
    }
    assert reply.json["latest_hits"] == [
        {"place": "api", "method": "GET", "path": "/auth/v1/users/me", "user": "dev", "status": 200}
    ]
    secrets = (sandbox.pat, sandbox.client_secret, sandbox.exchanger.secret)
    for secret in (token, "secret=1", *(each.reveal() for each in secrets)):
        assert secret not in reply.text

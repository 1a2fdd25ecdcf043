from __future__ import annotations

import asyncio

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from proxy.core.secret import Secret
from proxy.sandbox.scopes import ZITADEL_AUD
from proxy.tasks import spawn


async def test_discovery_names_absolute_urls_of_the_asked_host(sandbox, issuer):
    """
    Every endpoint is an absolute URL under the issuer, which has no trailing slash.
    """
    reply = await issuer("GET", "/.well-known/openid-configuration")

    endpoints = [value for name, value in reply.json.items() if name.endswith("_endpoint")]
    assert reply.json["issuer"] == sandbox.url
    assert len(endpoints) == 4
    assert all(url.startswith(sandbox.url + "/") for url in endpoints)
    assert "zitadel.useragent=" in reply.headers["Set-Cookie"]


async def test_the_user_agent_cookie_is_set_once(issuer):
    """
    A client that sends the cookie back is not given another one.
    """
    reply = await issuer("GET", "/oauth/v2/keys", headers={"Cookie": "zitadel.useragent=x"})

    assert "Set-Cookie" not in reply.headers


async def test_published_keys_verify_what_the_issuer_signs(issuer, mint):
    """
    The key set holds the public half of the key that signs id tokens, found by kid.
    """
    published = await issuer("GET", "/oauth/v2/keys")
    id_token = (await mint.by_key()).json["id_token"]

    claims = jwt.decode(id_token, KeySet.import_key_set(published.json)).claims

    assert "d" not in published.json["keys"][0]
    assert claims["exp"] == claims["iat"]


@pytest.mark.parametrize(
    ("fault", "status", "issuer_named"),
    [("discovery-500", 500, None), ("discovery-wrong-issuer", 200, "https://wrong-issuer.invalid")],
)
async def test_discovery_goes_wrong_on_request(sandbox, issuer, fault, status, issuer_named):
    """
    Discovery has faults of its own.
    """
    sandbox.faults.set(fault)

    reply = await issuer("GET", "/.well-known/openid-configuration")

    assert (reply.status, reply.json.get("issuer")) == (status, issuer_named)


async def test_discovery_can_be_held(sandbox, issuer):
    """
    A held discovery comes when the fault is cleared.
    """
    sandbox.faults.set("discovery-slow")
    tasks: set[asyncio.Task[object]] = set()

    asking = spawn(tasks, issuer("GET", "/.well-known/openid-configuration"), name="discovery")
    await sandbox.issuer_hits.until(1)
    sandbox.faults.clear()

    assert (await asking).status == 200


async def test_userinfo_works_without_audience_or_role(sandbox, issuer, bearer):
    """
    Any living token of a service user is good here, which makes it a credential's self-test.
    """
    user = sandbox.users["reporter"]
    token = sandbox.issue(user, ("openid",))

    by_header = await issuer("GET", "/oidc/v1/userinfo", headers=bearer(token))
    by_form = await issuer("POST", "/oidc/v1/userinfo", data={"access_token": token.reveal()})
    by_pat = await issuer("GET", "/oidc/v1/userinfo", headers=bearer(sandbox.pat))

    assert (by_header.status, by_header.json) == (200, {"sub": user.user_id})
    assert by_form.json == by_header.json
    assert by_pat.json["preferred_username"] == "dev"


async def test_userinfo_refuses_a_bad_token(issuer, bearer):
    """
    No token and a bad token are 401 with OAuth errors.
    """
    none = await issuer("GET", "/oidc/v1/userinfo")
    bad = await issuer("GET", "/oidc/v1/userinfo", headers=bearer(Secret("x")))

    assert (none.status, none.json["error"]) == (401, "invalid_request")
    assert (bad.status, bad.json) == (
        401,
        {"error": "access_denied", "error_description": "access token invalid"},
    )


async def test_a_token_ends_with_its_time_its_user_or_by_revocation(sandbox, issuer, bearer, clock):
    """
    Expiry, deactivation, removal and revocation all kill a token, a JWT too.
    """
    user = sandbox.add_user("mortal", jwt=True)

    async def status(token: Secret) -> int:
        reply = await issuer("GET", "/oidc/v1/userinfo", headers=bearer(token))
        return int(reply.status)

    token = sandbox.issue(user, ("openid", ZITADEL_AUD))
    assert await status(token) == 200
    user.active = False
    assert await status(token) == 401
    user.active = True
    clock.now += sandbox.options.token_lifetime
    assert await status(token) == 401
    token = sandbox.issue(user, ("openid",))
    assert sandbox.revoke(user) == 2
    assert await status(token) == 401
    token = sandbox.issue(user, ("openid",))
    assert await status(token) == 200
    sandbox.users.remove("mortal")
    assert await status(token) == 401

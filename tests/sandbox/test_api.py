from __future__ import annotations

import asyncio
import base64

import pytest

from proxy.core.secret import Secret
from proxy.sandbox.scopes import ZITADEL_AUD
from proxy.tasks import spawn

ME = "/auth/v1/users/me"
ORG = "/management/v1/orgs/me"
CONNECT = "/zitadel.user.v2.UserService/ListUsers"
LISTS = ["/v2/users", CONNECT, "/management/v1/users/_search"]

TOKEN_INVALID = {
    "code": 16,
    "message": "Errors.Token.Invalid (AUTH-7fs1e)",
    "details": [
        {
            "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
            "id": "AUTH-7fs1e",
            "message": "Errors.Token.Invalid",
        }
    ],
}


@pytest.fixture
def good(sandbox):
    """
    A token for the APIs.
    """
    return sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes)


async def test_a_good_token_is_answered(sandbox, issuer, bearer, good):
    """
    Organisation and caller are told, and the record says who called.
    """
    org = await issuer("GET", ORG, headers=bearer(good))
    me = await issuer("GET", ME, headers=bearer(good))

    assert (org.status, org.json["org"]["id"]) == (200, sandbox.org_id)
    assert (me.status, me.json["user"]["userName"]) == (200, "provisioner")
    assert "X-Request-ID" in me.headers
    assert [(hit.place, hit.user, hit.status) for hit in sandbox.hits] == [
        ("api", "provisioner", 200)
    ] * 2


@pytest.mark.parametrize("path", LISTS)
async def test_users_are_listed(issuer, bearer, good, path):
    """
    Three paths list the users, page by page if asked to.
    """
    everybody = await issuer("POST", path, headers=bearer(good), json={})
    page = await issuer(
        "POST", path, headers=bearer(good), json={"query": {"offset": "1", "limit": 1}}
    )

    names = [user.get("userName", user.get("username")) for user in everybody.json["result"]]
    assert names == ["provisioner", "reporter", "dev"]
    assert everybody.json["details"]["totalResult"] == "3"
    assert [user["preferredLoginName"] for user in page.json["result"]] == ["reporter"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"query": {"limit": "x"}}'])
async def test_a_malformed_body_is_refused_after_the_token(issuer, bearer, good, body):
    """
    Authorisation comes before the body: a bad body with a bad token is 401.
    """
    refused = await issuer("POST", "/v2/users", headers=bearer(good), data=body)
    stranger = await issuer("POST", "/v2/users", headers=bearer(Secret("x")), data=body)

    assert (refused.status, refused.json["code"]) == (400, 3)
    assert stranger.status == 401


async def test_no_authorization_rest(issuer):
    """
    A REST call without a header is told so, in the body and, without scheme, in the challenge.
    """
    reply = await issuer("GET", ME)

    assert (reply.status, reply.json) == (
        401,
        {"code": 16, "message": "auth header missing", "details": []},
    )
    assert reply.headers["WWW-Authenticate"] == "auth header missing"


async def test_no_authorization_connect(issuer):
    """
    A Connect call without a header gets Connect's error form.
    """
    reply = await issuer("POST", CONNECT, json={})

    assert (reply.status, reply.json) == (
        401,
        {"code": "unauthenticated", "message": "auth header missing"},
    )


DEAD = ["garbage", "expired", "revoked", "no-audience", "deactivated", "expired-pat"]


@pytest.fixture(params=DEAD)
def dead(sandbox, clock, request):
    """
    A token that is no good, in each way there is.
    """
    user = sandbox.add_user("mortal")
    match request.param:
        case "expired":
            token = sandbox.issue(user, sandbox.zitadel_scopes)
            clock.now += sandbox.options.token_lifetime
        case "revoked":
            token = sandbox.issue(user, sandbox.zitadel_scopes)
            sandbox.revoke(user)
        case "no-audience":
            token = sandbox.issue(user, ("openid", ZITADEL_AUD.removesuffix(":aud")))
        case "deactivated":
            token = sandbox.issue(user, sandbox.zitadel_scopes)
            user.active = False
        case "expired-pat":
            token = sandbox.add_pat(user, expires=clock.now - 1)
        case _:
            token = Secret("garbage")
    return token


async def test_every_dead_token_is_the_same_error_rest(issuer, bearer, dead):
    """
    All causes collapse into AUTH-7fs1e, a missing audience scope included.
    """
    reply = await issuer("GET", ME, headers=bearer(dead))

    assert (reply.status, reply.json) == (401, TOKEN_INVALID)
    assert reply.headers["WWW-Authenticate"] == "Errors.Token.Invalid (AUTH-7fs1e)"


async def test_every_dead_token_is_the_same_error_connect(issuer, bearer, dead):
    """
    Connect carries the same detail as base64 of a protobuf message.
    """
    reply = await issuer("POST", CONNECT, headers=bearer(dead), json={})

    detail = reply.json["details"][0]
    raw = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
    assert (reply.status, reply.json["code"]) == (401, "unauthenticated")
    assert reply.json["message"] == "Errors.Token.Invalid (AUTH-7fs1e)"
    assert detail["type"] == "zitadel.v1.ErrorDetail"
    assert raw == b"\x0a\x0aAUTH-7fs1e\x12\x14Errors.Token.Invalid"


async def test_a_pat_needs_no_audience_scope(sandbox, issuer, bearer):
    """
    A personal access token is good for the APIs as it is.
    """
    assert (await issuer("GET", ORG, headers=bearer(sandbox.pat))).status == 200


@pytest.mark.parametrize("form", ["bearer {}", "Basic {}", "{}", "Bearer Bearer {}"])
async def test_the_scheme_is_bearer_spelled_so_and_once(issuer, good, form):
    """
    Any other spelling is an invalid header, however good the token.
    """
    headers = {"Authorization": form.format(good.reveal())}

    reply = await issuer("GET", ME, headers=headers)

    assert (reply.status, reply.json["code"]) == (401, 16)
    assert reply.json["message"] == "invalid auth header (AUTH-toLo1)"


async def test_two_authorization_headers_are_refused(sandbox, issuer, good):
    """
    A second header is not ignored: what leaks through beside ours must show.
    """
    value = f"Bearer {good.reveal()}"

    reply = await issuer("GET", ME, headers=[("Authorization", value), ("Authorization", value)])

    assert reply.json["message"] == "invalid auth header (AUTH-toLo1)"
    assert sandbox.hits[-1].values("authorization") == ["Bearer ***", "Bearer ***"]
    assert sandbox.hits[-1].bearer is None


async def test_without_a_role_only_the_own_data_is_open(sandbox, issuer, bearer):
    """
    No role is 403 on v1, a shorter list on v2, and nothing to a call about oneself.
    """
    token = sandbox.issue(sandbox.users["reporter"], sandbox.zitadel_scopes)

    org = await issuer("GET", ORG, headers=bearer(token))
    listed = await issuer("POST", "/v2/users", headers=bearer(token))
    me = await issuer("GET", ME, headers=bearer(token))

    assert (org.status, org.json["code"]) == (403, 7)
    assert org.json["message"] == "No matching permissions found (AUTH-5mWD2)"
    assert [user["username"] for user in listed.json["result"]] == ["reporter"]
    assert me.status == 200


async def test_an_unknown_organisation_is_403(sandbox, issuer, bearer, good):
    """
    The organisation header must name the one organisation there is.
    """
    known = bearer(good) | {"x-zitadel-orgid": sandbox.org_id}
    unknown = bearer(good) | {"x-zitadel-orgid": "1"}

    assert (await issuer("GET", ORG, headers=known)).status == 200
    rest = await issuer("GET", ORG, headers=unknown)
    connect = await issuer("POST", CONNECT, headers=unknown)

    assert (rest.status, rest.json["message"]) == (403, "Organisation doesn't exist (AUTH-Bs7Ds)")
    assert (connect.status, connect.json["code"]) == (403, "permission_denied")


async def test_paths_and_methods_that_do_not_exist(issuer):
    """
    Routing comes before authorisation.
    """
    path = await issuer("GET", "/management/v1/nothing")
    method = await issuer("DELETE", ME)

    assert (path.status, path.json) == (404, {"code": 5, "message": "Not Found", "details": []})
    assert (method.status, method.json["code"]) == (405, 12)


async def test_a_preflight_needs_no_token(issuer):
    """
    OPTIONS is answered by itself.
    """
    reply = await issuer("OPTIONS", ME)

    assert reply.status == 204
    assert "authorization" in reply.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("fault", "status", "code", "name"),
    [
        ("api-401", 401, 16, "unauthenticated"),
        ("api-429", 429, 8, "resource_exhausted"),
        ("api-500", 500, 13, "internal"),
    ],
)
async def test_the_apis_go_wrong_on_request(
    sandbox, issuer, bearer, good, fault, status, code, name
):
    """
    Each fault answers in the form of the protocol asked.
    """
    sandbox.faults.set(fault)

    rest = await issuer("GET", ME, headers=bearer(good))
    connect = await issuer("POST", CONNECT, headers=bearer(good))

    assert (rest.status, rest.json["code"]) == (status, code)
    assert (connect.status, connect.json["code"]) == (status, name)


async def test_the_next_token_shown_is_revoked_once(sandbox, issuer, bearer, good):
    """
    One token dies for good; the next one works.
    """
    sandbox.faults.set("revoke-once")
    fresh = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes)

    statuses = [
        (await issuer("GET", ME, headers=bearer(token))).status for token in (good, good, fresh)
    ]

    assert statuses == [401, 401, 200]


async def test_an_api_can_be_held(sandbox, issuer, bearer, good):
    """
    A held API call is on record before it is answered.
    """
    sandbox.faults.set("api-slow")
    tasks: set[asyncio.Task[object]] = set()

    asking = spawn(tasks, issuer("POST", "/v2/users", headers=bearer(good), data=b"{}"), name="api")
    await sandbox.hits.until(1)
    assert sandbox.hits[0].status == 0
    sandbox.faults.clear()

    assert (await asking).status == 200

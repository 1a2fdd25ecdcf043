from __future__ import annotations

import aiohttp
import pytest

INTROSPECT = "/oauth/v2/introspect"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def introspect(sandbox, issuer):
    """
    Introspects as the backend's application.
    """

    async def introspect(token: str, path: str = INTROSPECT):
        app = sandbox.application
        header = aiohttp.encode_basic_auth(app.client_id, app.secret.reveal())
        return await issuer("POST", path, data={"token": token}, headers={"Authorization": header})

    return introspect


async def test_a_token_for_the_project_is_active(sandbox, introspect):
    """
    The answer tells who, for whom, by whom and until when.
    """
    user = sandbox.users["reporter"]

    reply = await introspect(sandbox.issue(user, sandbox.backend_scopes).reveal())

    assert reply.status == 200
    assert reply.json["active"] is True
    assert reply.json["sub"] == user.user_id
    assert reply.json["username"] == "reporter"
    assert reply.json["iss"] == sandbox.url
    assert reply.json["aud"] == [sandbox.project_id]
    assert reply.json["scope"] == " ".join(sandbox.backend_scopes)
    assert reply.json["exp"] - reply.json["iat"] == 43_200


async def test_without_the_profile_scope_there_is_no_name(sandbox, introspect):
    """
    Names come with the scope profile, and the client's id only if the mint said one.
    """
    user = sandbox.users["reporter"]
    bare = sandbox.issue(user, sandbox.backend_scopes[2:])
    named, _ = sandbox.instance.mint(
        user, sandbox.backend_scopes, issuer=sandbox.url, client_id="reporter"
    )

    assert not {"username", "client_id"} & set((await introspect(bare.reveal())).json)
    assert (await introspect(named.reveal())).json["client_id"] == "reporter"


async def test_a_token_for_another_project_is_inactive(sandbox, introspect):
    """
    Without the project's audience scope a good token is inactive to that project's application.
    """
    token = sandbox.issue(sandbox.users["reporter"], sandbox.zitadel_scopes)

    assert (await introspect(token.reveal())).json == {"active": False}


async def test_a_pat_needs_no_audience(sandbox, introspect):
    """
    Personal access tokens are exempt from the audience rule.
    """
    assert (await introspect(sandbox.pat.reveal())).json["active"] is True


async def test_dead_and_unknown_tokens_are_inactive(sandbox, introspect):
    """
    Every trouble with a token gets the same short answer.
    """
    revoked = sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes)
    sandbox.revoke()
    expired = sandbox.add_pat(sandbox.users["dev"], expires=sandbox.instance.now())

    for token in ("garbage", revoked.reveal(), expired.reveal(), sandbox.pat.reveal()):
        reply = await introspect(token)
        assert (reply.status, reply.json) == (200, {"active": False})


@pytest.mark.parametrize(
    ("form", "basic", "error", "description"),
    [
        pytest.param({"token": "x"}, None, "invalid_request", "client_id or", id="no-client"),
        pytest.param(
            {"token": "x", "client_id": "1"}, None, "invalid_client", "client must be", id="id-only"
        ),
        pytest.param({}, ("1", "x"), "invalid_request", "token missing", id="no-token"),
        pytest.param({"token": "x"}, ("1", "x"), "unauthorized_client", "", id="unknown-client"),
        pytest.param(
            {"token": "x", "client_assertion": "x", "client_assertion_type": ASSERTION_TYPE},
            None,
            "unauthorized_client",
            "",
            id="bad-assertion",
        ),
    ],
)
async def test_a_bad_client_is_refused(issuer, form, basic, error, description):
    """
    Only the client's own mistakes are errors, all of them 400.
    """
    headers = {"Authorization": aiohttp.encode_basic_auth(*basic)} if basic else {}

    reply = await issuer("POST", INTROSPECT, data=form, headers=headers)

    assert (reply.status, reply.json["error"]) == (400, error)
    assert reply.json["error_description"].startswith(description)


async def test_a_service_user_is_no_introspection_client(sandbox, issuer):
    """
    A service user's own secret does not let it introspect.
    """
    header = aiohttp.encode_basic_auth("reporter", sandbox.client_secret.reveal())

    reply = await issuer("POST", INTROSPECT, data={"token": "x"}, headers={"Authorization": header})

    assert reply.json["error"] == "unauthorized_client"


async def test_an_application_may_sign_instead(sandbox, issuer, sign, spare):
    """
    An application's key works as client authentication, if it belongs to a known application.
    """
    file = sandbox.add_application_key(pair=spare)
    form = {"token": sandbox.pat.reveal(), "client_assertion_type": ASSERTION_TYPE}

    accepted = await issuer("POST", INTROSPECT, data=form | {"client_assertion": sign(file)})
    stranger = sign(file, iss="1", sub="1")
    refused = await issuer("POST", INTROSPECT, data=form | {"client_assertion": stranger})

    assert accepted.json["active"] is True
    assert refused.json["error"] == "unauthorized_client"


async def test_introspection_goes_wrong_on_request(sandbox, introspect):
    """
    Introspection has faults of its own.
    """
    sandbox.faults.set("introspection-inactive", times=1)
    assert (await introspect(sandbox.pat.reveal())).json == {"active": False}

    sandbox.faults.set("introspection-500", times=1)
    assert (await introspect(sandbox.pat.reveal())).status == 500

    assert (await introspect(sandbox.pat.reveal())).json["active"] is True


async def test_a_service_users_token_cannot_be_revoked_by_a_client(sandbox, introspect):
    """
    The revocation endpoint refuses tokens that name no application, and shrugs at unknown ones.
    """
    refused = await introspect(sandbox.pat.reveal(), "/oauth/v2/revoke")
    unknown = await introspect("garbage", "/oauth/v2/revoke")

    assert (refused.status, refused.json["error_description"]) == (
        401,
        "token was not issued for this client",
    )
    assert unknown.status == 200

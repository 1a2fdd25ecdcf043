from __future__ import annotations

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from proxy.sandbox.clients import ASSERTION_TYPE
from proxy.sandbox.exchange import ACCESS_TOKEN, ID_TOKEN, JWT, TOKEN_EXCHANGE, USER_ID
from proxy.sandbox.scopes import ZITADEL_AUD

ME = "/auth/v1/users/me"


@pytest.fixture
def subject(sandbox):
    """
    An access token of `provisioner` for the APIs and the backend's project.
    """
    scopes = (*sandbox.zitadel_scopes, *sandbox.backend_scopes)
    return sandbox.issue(sandbox.users["provisioner"], scopes).reveal()


@pytest.fixture
def actor(sandbox):
    """
    What an exchange in somebody's name needs: an access token of `dev`.
    """
    token = sandbox.issue(sandbox.users["dev"], sandbox.backend_scopes)
    return {"actor_token": token.reveal(), "actor_token_type": ACCESS_TOKEN}


@pytest.fixture
def exchange(sandbox, issuer, subject):
    """
    Exchanges the subject's token, with the client's secret in the body; fields can be overridden.
    """

    async def send(headers=None, **form):
        whole = {
            "grant_type": TOKEN_EXCHANGE,
            "client_id": sandbox.exchanger.client_id,
            "client_secret": sandbox.exchanger.secret.reveal(),
            "subject_token": subject,
            "subject_token_type": ACCESS_TOKEN,
        } | form
        data = {name: value for name, value in whole.items() if value is not None}
        return await issuer("POST", "/oauth/v2/token", data=data, headers=headers or {})

    return send


def payload(token: str) -> dict[str, object]:
    """
    Return a JWT's claims, unverified.
    """
    part = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return claims


async def test_an_access_token_is_exchanged(sandbox, issuer, exchange, subject):
    """
    The answer says what was issued, for how long and for which scopes; the APIs take it.
    """
    reply = await exchange()

    assert reply.status == 200
    assert reply.json["access_token"] != subject
    assert reply.json["issued_token_type"] == ACCESS_TOKEN
    assert (reply.json["token_type"], reply.json["expires_in"]) == ("Bearer", 43_199)
    assert "openid" in reply.json["scope"].split()
    assert (sandbox.mints[-1].user, sandbox.mints[-1].ok) == ("provisioner", True)
    headers = {"Authorization": f"Bearer {reply.json['access_token']}"}
    assert (await issuer("GET", ME, headers=headers)).status == 200


async def test_the_application_may_show_its_secret_by_basic(sandbox, exchange):
    """
    Or in the Authorization header.
    """
    app = sandbox.exchanger
    pair = f"{app.client_id}:{app.secret.reveal()}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    reply = await exchange(headers, client_id=None, client_secret=None)

    assert reply.status == 200
    assert sandbox.mints[-1].client_auth == "basic"


async def test_the_application_may_sign_an_assertion(sandbox, exchange, sign, spare):
    """
    Or prove itself by its key.
    """
    file = sandbox.add_application_key(sandbox.exchanger, pair=spare)

    reply = await exchange(
        client_id=None,
        client_secret=None,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=sign(file),
    )

    assert reply.status == 200
    assert sandbox.mints[-1].client_auth == "assertion"


@pytest.mark.parametrize(
    ("form", "error", "text"),
    [
        ({"client_id": "1"}, "invalid_client", "client not found"),
        ({"client_secret": "x"}, "invalid_client", "invalid secret"),
        (
            {"client_id": None, "client_secret": None, "client_assertion": "x"},
            "invalid_client",
            "client not found",
        ),
        ({"subject_token": None}, "invalid_request", "subject_token invalid"),
        ({"subject_token": "x"}, "invalid_request", "subject_token invalid"),
        ({"subject_token_type": None}, "invalid_request", "subject_token invalid"),
        ({"subject_token_type": "x"}, "invalid_request", "subject_token invalid"),
        ({"subject_token_type": ID_TOKEN}, "invalid_request", "subject_token invalid"),
        ({"subject_token_type": JWT}, "invalid_request", "subject_token invalid"),
        ({"actor_token": "x"}, "invalid_request", "actor_token invalid"),
        ({"resource": "https://api.example"}, "invalid_target", "resource parameter"),
        ({"audience": "42"}, "invalid_target", 'audience "42" not found'),
        ({"scope": "email"}, "invalid_scope", 'scope "email" not found'),
        ({"requested_token_type": USER_ID}, "invalid_request", "TypeNotSupported"),
    ],
)
async def test_a_bad_exchange_is_refused(sandbox, exchange, form, error, text):
    """
    Client, tokens, audience, scope and types are looked at, in ZITADEL's words.
    """
    if "client_assertion" in form:
        form = form | {"client_assertion_type": ASSERTION_TYPE}

    reply = await exchange(**form)

    assert (reply.status, reply.json["error"]) == (400, error)
    assert text in reply.json["error_description"]
    assert not sandbox.mints[-1].ok


async def test_only_an_application_with_the_grant_exchanges(sandbox, exchange):
    """
    What introspects may not exchange, and a service user is no application.
    """
    app = sandbox.application
    reply = await exchange(client_id=app.client_id, client_secret=app.secret.reveal())
    assert reply.json["error"] == "unauthorized_client"

    reply = await exchange(client_id="reporter", client_secret=sandbox.client_secret.reveal())
    assert reply.json["error"] == "invalid_client"


@pytest.mark.parametrize("options", [{"token_exchange": False}], indirect=True, ids=["off"])
async def test_the_feature_can_be_off(exchange):
    """
    As on a server whose feature flag is off.
    """
    reply = await exchange()

    assert (reply.status, reply.json["error_description"]) == (
        400,
        "Errors.TokenExchange.FeatureDisabled",
    )


async def test_a_token_for_others_is_not_exchanged(sandbox, exchange):
    """
    The subject's token must be meant for the application or its project.
    """
    other = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes).reveal()

    assert (await exchange(subject_token=other)).status == 400
    assert (await exchange(subject_token=sandbox.pat.reveal())).status == 200


@pytest.mark.parametrize("kind", [ACCESS_TOKEN, JWT, ID_TOKEN])
async def test_the_client_chooses_what_it_gets(sandbox, exchange, kind):
    """
    An opaque token, a JWT, or an id_token that is no Bearer.
    """
    reply = await exchange(requested_token_type=kind)

    assert reply.status == 200
    assert reply.json["issued_token_type"] == kind
    assert reply.json["token_type"] == ("N_A" if kind == ID_TOKEN else "Bearer")
    assert ("." in reply.json["access_token"]) is (kind != ACCESS_TOKEN)
    alive = sandbox.instance.alive(reply.json["access_token"])
    assert (alive is None) is (kind == ID_TOKEN)


async def test_audience_and_scope_can_be_narrowed(sandbox, exchange):
    """
    Less than the subject has, never more.
    """
    reply = await exchange(audience=sandbox.project_id, scope="profile")

    token = sandbox.instance.alive(reply.json["access_token"]).token
    assert (token.audience, token.scopes) == ((sandbox.project_id,), ("profile",))
    assert reply.json["scope"] == "profile"
    assert sandbox.mints[-1].audience == (sandbox.project_id,)


async def test_an_id_token_is_a_subject(sandbox, exchange):
    """
    It says who and for whom; rights it has none.
    """
    first = await exchange()

    reply = await exchange(subject_token=first.json["id_token"], subject_token_type=ID_TOKEN)

    assert reply.status == 200
    alive = sandbox.instance.alive(reply.json["access_token"])
    assert (alive.user.name, alive.token.scopes) == ("provisioner", ())


async def test_a_user_id_needs_an_actor(sandbox, issuer, exchange, actor):
    """
    Whoever knows an id may not be that user: an actor's token has to come with it.
    """
    form = {
        "subject_token": sandbox.users["reporter"].user_id,
        "subject_token_type": USER_ID,
        "requested_token_type": JWT,
    }
    assert (await exchange(**form)).json["error_description"] == "actor_token invalid"

    reply = await exchange(**form, **actor)

    assert reply.status == 200
    claims = payload(reply.json["access_token"])
    assert claims["sub"] == sandbox.users["reporter"].user_id
    assert claims["act"] == {"sub": sandbox.users["dev"].user_id, "iss": sandbox.url}


async def test_an_actor_lends_no_rights_it_does_not_have(sandbox, exchange, actor):
    """
    Claims about the subject may be asked for; rights only as far as the actor has them.
    """
    form = {"subject_token": sandbox.users["reporter"].user_id, "subject_token_type": USER_ID}

    usual = await exchange(**form, **actor)
    claims = await exchange(**form, **actor, scope="openid email")
    rights = await exchange(**form, **actor, scope=ZITADEL_AUD)

    assert usual.json["scope"].split() == list(sandbox.backend_scopes)
    assert claims.json["scope"] == "openid email"
    assert sandbox.instance.alive(claims.json["access_token"]).token.audience == (
        sandbox.project_id,
    )
    assert (rights.status, rights.json["error"]) == (400, "invalid_scope")


async def test_a_jwt_of_the_application_names_a_user(sandbox, exchange, actor, clock, spare):
    """
    The application signs whom it means, and needs an actor as well.
    """
    file = json.loads(sandbox.add_application_key(sandbox.exchanger, pair=spare).reveal())
    now = int(clock.now)
    text = jwt.encode(
        {"alg": "RS256", "kid": file["keyId"]},
        {
            "iss": sandbox.exchanger.client_id,
            "sub": sandbox.users["reporter"].user_id,
            "aud": sandbox.url,
            "iat": now,
            "exp": now + 60,
        },
        RSAKey.import_key(file["key"]),
    )

    alone = await exchange(subject_token=text, subject_token_type=JWT)
    reply = await exchange(subject_token=text, subject_token_type=JWT, **actor)

    assert alone.json["error_description"] == "actor_token invalid"
    assert sandbox.instance.alive(reply.json["access_token"]).user.name == "reporter"


async def test_the_apis_refuse_a_token_with_an_actor(sandbox, issuer, backend, exchange, actor):
    """
    A delegated token is for backends and userinfo, not for ZITADEL's own APIs.
    """
    token = (await exchange(**actor)).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    refused = await issuer("GET", ME, headers=headers)

    assert (refused.status, refused.json["message"]) == (
        403,
        "Errors.TokenExchange.Token.NotForAPI",
    )
    assert (await issuer("GET", "/oidc/v1/userinfo", headers=headers)).status == 200
    assert (await backend("GET", "/orders", headers=headers)).status == 200


async def test_an_actor_needs_a_role(sandbox, exchange):
    """
    Whoever has no role may act for nobody.
    """
    token = sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes)

    reply = await exchange(actor_token=token.reveal(), actor_token_type=ACCESS_TOKEN)

    assert (reply.status, reply.json["error"]) == (403, "invalid_request")


@pytest.mark.parametrize(
    ("fault", "form", "text"),
    [
        ("secret-wrong", {}, "invalid secret"),
        ("token-not-active", {}, "Errors.User.NotActive"),
    ],
)
async def test_faults_of_the_token_endpoint_hit_exchanges(sandbox, exchange, fault, form, text):
    """
    The faults do not ask which grant it is.
    """
    sandbox.faults.set(fault, times=1)

    assert (await exchange(**form)).json["error_description"] == text
    assert (await exchange(**form)).status == 200


async def test_a_locked_subject_has_no_token(sandbox, exchange, actor):
    """
    A user that is not active gets no token by anybody's hand.
    """
    user = sandbox.users["reporter"]
    user.active = False

    reply = await exchange(subject_token=user.user_id, subject_token_type=USER_ID, **actor)

    assert reply.json["error_description"] == "Errors.User.NotActive"

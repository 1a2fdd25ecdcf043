from __future__ import annotations

import base64
import hmac
import io
import json
from urllib.parse import quote_plus

import pytest

from proxy.core.secret import Secret
from proxy.sandbox.scopes import ZITADEL_AUD

BOTH_ERAS = pytest.mark.parametrize(
    "options", [{"era": "400"}, {"era": "500"}], indirect=True, ids="era {0[era]}".format
)


def filled_in(claims, *, url, now):
    """
    Return claims with `{url}` replaced, and numbers counted from now.
    """
    return {
        name: now + value
        if isinstance(value, int)
        else [each.format(url=url) for each in value]
        if isinstance(value, list)
        else value.format(url=url)
        for name, value in claims.items()
    }


async def test_a_signed_assertion_buys_a_token(mint):
    """
    A right assertion is answered like ZITADEL does: expires_in floored, no scope, no refresh token.
    """
    reply = await mint.by_key()

    assert reply.status == 200
    assert set(reply.json) == {"access_token", "token_type", "expires_in", "id_token"}
    assert (reply.json["token_type"], reply.json["expires_in"]) == ("Bearer", 43_199)
    assert reply.headers["Cache-Control"] == "no-store"
    assert "zitadel.useragent=" in reply.headers["Set-Cookie"]
    assert "." not in reply.json["access_token"]


async def test_without_openid_there_is_no_id_token(mint):
    """
    The scope openid is not needed; it only adds an id_token.
    """
    reply = await mint.by_key(scope=ZITADEL_AUD)

    assert reply.status == 200
    assert "id_token" not in reply.json


async def test_a_secret_in_the_body_buys_a_token(sandbox, mint):
    """
    The client's id and secret may come as form fields.
    """
    secret = sandbox.client_secret.reveal()

    reply = await mint.by_secret(client_id="reporter", client_secret=secret)

    assert reply.status == 200
    assert (sandbox.mints[-1].client_auth, sandbox.mints[-1].user) == ("post", "reporter")


async def test_a_secret_by_basic_buys_a_token(sandbox, mint):
    """
    The client's id and secret may come in the Authorization header.
    """
    secret = sandbox.client_secret.reveal()

    reply = await mint.by_secret(basic=("reporter", secret))

    assert reply.status == 200
    assert (sandbox.mints[-1].client_auth, sandbox.mints[-1].user) == ("basic", "reporter")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"token_lifetime": 30.0}, 29),
        ({"token_lifetime": 2.5}, 2),
        ({"token_lifetime": 1.0}, None),
    ],
    indirect=["options"],
)
async def test_expires_in_is_floored_and_zero_is_left_out(mint, expected):
    """
    What is left of the life is floored; zero is left out as Go's omitempty does.
    """
    assert (await mint.by_key()).json.get("expires_in") == expected


@BOTH_ERAS
@pytest.mark.parametrize(
    ("claims", "drop", "header"),
    [
        pytest.param({"aud": "{url}/oauth/v2/token"}, (), {}, id="aud-is-token-endpoint"),
        pytest.param({"aud": "{url}/"}, (), {}, id="aud-with-trailing-slash"),
        pytest.param({"aud": ["other"]}, (), {}, id="aud-list-without-issuer"),
        pytest.param({}, ("aud",), {}, id="aud-missing"),
        pytest.param({"exp": -10}, (), {}, id="exp-over"),
        pytest.param({"exp": 1}, (), {}, id="exp-within-one-second"),
        pytest.param({}, ("exp",), {}, id="exp-missing"),
        pytest.param({"iat": 2}, (), {}, id="iat-two-seconds-ahead"),
        pytest.param({"iat": -3601}, (), {}, id="iat-over-an-hour-ago"),
        pytest.param({}, ("iat",), {}, id="iat-missing"),
        pytest.param({"iss": "1"}, (), {}, id="iss-is-not-sub"),
        pytest.param({}, ("sub",), {}, id="sub-missing"),
        pytest.param({}, (), {"kid": None}, id="kid-missing"),
        pytest.param({}, (), {"kid": "1"}, id="kid-unknown"),
        pytest.param({}, (), {"alg": "RS384"}, id="alg-rs384"),
    ],
)
async def test_every_bad_assertion_gets_the_same_answer(
    sandbox, mint, sign, clock, claims, drop, header
):
    """
    Whatever is wrong with an assertion, the answer depends on the server's age alone.
    """
    changed = filled_in(claims, url=sandbox.url, now=int(clock.now))

    reply = await mint.by_key(sign(header=header, drop=drop, **changed))

    if sandbox.options.era == "500":
        expected = (500, {"error": "server_error", "error_description": "Errors.Internal"})
    else:
        expected = (400, {"error": "invalid_client", "error_description": "assertion invalid"})
    assert (reply.status, reply.json) == expected
    assert sandbox.mints[-1].reason not in {"", "assertion invalid"}
    assert sandbox.mints.successes == 0


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        pytest.param({"aud": ["other", "{url}"]}, {}, id="aud-list-with-issuer"),
        pytest.param({"iat": -3600}, {}, id="iat-an-hour-ago"),
        pytest.param({"iat": 1}, {}, id="iat-one-second-ahead"),
        pytest.param({"exp": 10**8}, {}, id="exp-in-years"),
        pytest.param({"nbf": 10**6}, {}, id="nbf-unread"),
        pytest.param({}, {"alg": "PS256"}, id="alg-ps256"),
        pytest.param({}, {"typ": None}, id="typ-missing"),
    ],
)
async def test_what_zitadel_lets_pass_passes(sandbox, mint, sign, clock, claims, header):
    """
    Leniencies are part of the behaviour: exp has no upper bound, nbf is unread, and so on.
    """
    changed = filled_in(claims, url=sandbox.url, now=int(clock.now))

    assert (await mint.by_key(sign(header=header, **changed))).status == 200


async def test_an_assertion_may_be_used_again(mint, sign):
    """
    There is no replay check.
    """
    assertion = sign()

    assert [(await mint.by_key(assertion)).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("text", ["x", "a.b.c", "e30.e30.", "bnVsbA.bnVsbA.x", "e30.W10.x"])
async def test_garbage_is_a_bad_assertion(mint, text):
    """
    What is no JWT at all is refused like a wrong one.
    """
    reply = await mint.by_key(text)

    assert (reply.status, reply.json["error"]) == (400, "invalid_client")


async def test_an_assertion_signed_by_another_key_is_refused(sandbox, mint, sign, spare):
    """
    The signature is truly verified.
    """
    reply = await mint.by_key(sign(key=spare.private))

    assert reply.json["error"] == "invalid_client"
    assert sandbox.mints[-1].reason == "the signature does not match the key"


async def test_an_hmac_over_the_public_key_is_refused(sandbox, mint, sign, keys):
    """
    An HS256 assertion made from the public key is refused before any key is looked at.
    """
    head, body, _ = sign().split(".")
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    header = json.dumps({"alg": "HS256", "kid": kid}).encode()
    signed = base64.urlsafe_b64encode(header).rstrip(b"=") + b"." + body.encode()
    mac = hmac.digest(keys.provisioner.public.as_pem(private=False), signed, "sha256")
    tail = base64.urlsafe_b64encode(mac).rstrip(b"=")

    reply = await mint.by_key((signed + b"." + tail).decode())

    assert reply.json["error"] == "invalid_client"
    assert sandbox.mints[-1].reason == "alg is none of RS256, PS256"


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        pytest.param(
            {"assertion": ""}, 400, "invalid_request", "assertion missing", id="assertion"
        ),
        pytest.param(
            {"scope": ""}, 400, "invalid_request", "The scope of your request", id="scope"
        ),
        pytest.param({"grant_type": ""}, 400, "invalid_request", "grant_type missing", id="none"),
        pytest.param(
            {"grant_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
            400,
            "unsupported_grant_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer not supported",
            id="assertion-type-as-grant",
        ),
        pytest.param(
            {"grant_type": "password"},
            400,
            "unsupported_grant_type",
            "password not supported",
            id="password",
        ),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(mint, form, status, error, description):
    """
    Mistakes in the form have answers of their own.
    """
    reply = await mint.by_key(**form)

    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["error_description"].startswith(description)


async def test_a_form_of_another_content_type_is_not_read(issuer):
    """
    A JSON body holds no parameters, so the grant type is missing.
    """
    reply = await issuer("POST", "/oauth/v2/token", json={"grant_type": "client_credentials"})

    assert (reply.status, reply.json["error_description"]) == (400, "grant_type missing")


async def test_parameters_may_stand_in_the_query(issuer, sign):
    """
    Body and query are one set of parameters.
    """
    grant = quote_plus("urn:ietf:params:oauth:grant-type:jwt-bearer")

    reply = await issuer(
        "POST", f"/oauth/v2/token?grant_type={grant}&scope=openid", data={"assertion": sign()}
    )

    assert reply.status == 200


@pytest.mark.parametrize("scope", ["urn:zitadel:nothing", "api:read urn:zitadel:iam:org:id:1"])
async def test_an_unknown_scope_is_dropped_without_a_word(sandbox, mint, issuer, bearer, scope):
    """
    The mint succeeds and says nothing; only the API then refuses the token.
    """
    reply = await mint.by_key(scope=scope)
    token = Secret(reply.json["access_token"])

    assert reply.status == 200
    assert sandbox.instance.tokens.find(token.reveal()).scopes == ()
    assert (await issuer("GET", "/auth/v1/users/me", headers=bearer(token))).status == 401


@pytest.mark.parametrize(
    ("basic", "form", "error", "description"),
    [
        pytest.param(("ghost", "x"), {}, "invalid_client", "client not found", id="unknown-client"),
        pytest.param(
            ("reporter", "x"),
            {},
            "invalid_request",
            "Errors.User.Machine.Secret.Invalid",
            id="wrong-secret",
        ),
        pytest.param(
            ("dev", "x"),
            {},
            "invalid_request",
            "Errors.User.Machine.Secret.NotExisting",
            id="user-without-secret",
        ),
        pytest.param(
            ("re%porter", "x"), {}, "invalid_client", "invalid basic auth header", id="bad-escape"
        ),
        pytest.param(
            ("reporter", "x"),
            {"client_id": "reporter", "client_secret": "x"},
            "invalid_request",
            "client authentication must not use more than one method",
            id="two-methods",
        ),
        pytest.param(
            None,
            {},
            "invalid_request",
            "client_id or client_assertion must be provided",
            id="no-client",
        ),
        pytest.param(
            None,
            {"client_assertion": "x", "client_assertion_type": "odd"},
            "invalid_request",
            "invalid client_assertion_type odd",
            id="odd-assertion-type",
        ),
    ],
)
async def test_a_client_that_is_not_accepted(mint, basic, form, error, description):
    """
    Every refusal of a client is 400, invalid_client included.
    """
    reply = await mint.by_secret(basic=basic, **form)

    assert (reply.status, reply.json) == (
        400,
        {"error": error, "error_description": description},
    )


async def test_basic_halves_are_form_decoded(sandbox, mint):
    """
    An id with odd characters works escaped, and only escaped.
    """
    user = sandbox.add_user("odd", login_name="svc+u@x:p%s")
    secret = sandbox.add_secret(user).reveal()

    escaped = await mint.by_secret(basic=(quote_plus(user.login_name), secret))
    plus = await mint.by_secret(basic=("svc+u@x%3Ap%25s", secret))

    assert escaped.status == 200
    assert plus.json["error_description"] == "client not found"


@pytest.mark.parametrize("value", ["Basic !!!", "Basic cmVwb3J0ZXI=", "Bearer x"])
async def test_an_unreadable_basic_header_counts_as_none(issuer, value):
    """
    What is not id:secret in base64 is as if nothing had been sent.
    """
    reply = await issuer(
        "POST",
        "/oauth/v2/token",
        data={"grant_type": "client_credentials", "scope": "openid"},
        headers={"Authorization": value},
    )

    assert reply.json["error_description"] == "client_id or client_assertion must be provided"


async def test_a_human_has_no_machine_secret(sandbox, mint):
    """
    A person's account is not a client, whatever secret is shown.
    """
    sandbox.users["reporter"].human = True

    reply = await mint.by_secret(client_id="reporter", client_secret=sandbox.client_secret.reveal())

    assert reply.json["error_description"] == "Errors.User.Machine.Secret.NotExisting"


async def test_a_new_secret_kills_the_old(sandbox, mint):
    """
    A user has one client secret at a time.
    """
    old = sandbox.client_secret.reveal()
    new = sandbox.add_secret(sandbox.users["reporter"]).reveal()

    refused = await mint.by_secret(client_id="reporter", client_secret=old)
    accepted = await mint.by_secret(client_id="reporter", client_secret=new)

    assert refused.json["error_description"] == "Errors.User.Machine.Secret.Invalid"
    assert accepted.status == 200


async def test_a_deactivated_user_gets_no_token(sandbox, mint):
    """
    Both grants refuse a user that is not active, after its credential was found good.
    """
    secret = sandbox.client_secret.reveal()
    for name in ("provisioner", "reporter"):
        sandbox.users[name].active = False

    replies = [
        await mint.by_key(),
        await mint.by_secret(client_id="reporter", client_secret=secret),
    ]

    assert [(reply.status, reply.json["error_description"]) for reply in replies] == [
        (400, "Errors.User.NotActive")
    ] * 2


async def test_a_removed_users_key_is_unknown(sandbox, mint, sign):
    """
    Of a removed user nothing is found.
    """
    assertion = sign()
    sandbox.users.remove("provisioner")

    assert (await mint.by_key(assertion)).json["error"] == "invalid_client"


async def test_an_expired_key_is_unknown(sandbox, mint, sign, clock, spare):
    """
    A key past its expiry looks like one that never existed.
    """
    user = sandbox.users["provisioner"]
    file = sandbox.add_key(user, pair=spare, expires=clock.now + 60)

    assert (await mint.by_key(sign(file))).status == 200
    clock.now += 60
    assert (await mint.by_key(sign(file))).status == 400


async def test_a_key_of_another_user_is_unknown(sandbox, mint, sign, spare):
    """
    Key and user must belong together.
    """
    other = sandbox.add_user("other")
    file = json.loads(sandbox.add_key(other, pair=spare).reveal())
    file["userId"] = sandbox.users["provisioner"].user_id

    assert (await mint.by_key(sign(Secret(json.dumps(file))))).status == 400


async def test_an_application_key_is_of_no_use(sandbox, mint, sign, spare):
    """
    An application's key cannot be used for a service user's grant.
    """
    file = sandbox.add_application_key(pair=spare)

    assert (await mint.by_key(sign(file))).json["error"] == "invalid_client"


async def test_a_fresh_key_heals_by_waiting(sandbox, mint, sign, clock, spare):
    """
    A key the projection does not know yet is refused, and works later.
    """
    file = sandbox.add_key(sandbox.users["dev"], pair=spare, visible_after=2.0)

    assert (await mint.by_key(sign(file))).status == 400
    clock.now += 2.0
    assert (await mint.by_key(sign(file))).status == 200


async def test_mints_are_counted_per_user_and_grant(sandbox, mint):
    """
    Tallies tell users, grants and outcomes apart, and what the assertion said is kept.
    """
    await mint.by_key()
    await mint.by_key("x")
    await mint.by_secret(client_id="reporter", client_secret="wrong")

    assert sandbox.mints.requests == 3
    assert sandbox.mints.successes == 1
    assert sandbox.mints.count(user="provisioner", ok=True) == 1
    assert sandbox.mints.count(user="unknown", ok=False) == 1
    assert sandbox.mints.count(user="reporter", grant="client_credentials") == 1
    assert sandbox.mints[0].claims["aud"] == sandbox.url
    assert sandbox.mints[0].header["alg"] == "RS256"
    assert len(sandbox.mints) == len(list(sandbox.mints)) == 3


async def test_a_jwt_user_gets_jwt_tokens(sandbox, mint):
    """
    The access token's form is the user's setting.
    """
    sandbox.users["provisioner"].jwt = True

    token = (await mint.by_key()).json["access_token"]

    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iss"] == sandbox.url
    assert claims["sub"] == sandbox.users["provisioner"].user_id
    assert claims["aud"] == [sandbox.instance.zitadel_project]
    assert claims["exp"] - claims["iat"] == 43_200


async def test_a_huge_form_is_refused(issuer):
    """
    A form of more than 1 MiB is not looked into.
    """
    reply = await issuer(
        "POST",
        "/oauth/v2/token",
        data=io.BytesIO(b"grant_type=" + b"x" * (1 << 20)),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (reply.status, reply.json["error_description"]) == (400, "error parsing form")


async def test_a_jwt_names_the_client_of_the_form(sandbox, mint):
    """
    A client_id in the form ends up in the token, and in what introspection says of it.
    """
    sandbox.users["reporter"].jwt = True
    secret = sandbox.client_secret.reveal()

    reply = await mint.by_secret(client_id="reporter", client_secret=secret)

    token = reply.json["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["client_id"] == "reporter"
    assert sandbox.instance.alive(token).token.client_id == "reporter"

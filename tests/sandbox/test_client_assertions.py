from __future__ import annotations

import base64
import itertools
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from proxy.sandbox.clients import ASSERTION_TYPE
from proxy.sandbox.keys import public_key

TAKEN = pytest.mark.parametrize(
    "options", [{"client_assertions": True}], indirect=True, ids=["taken"]
)
NUMBERS = itertools.count(1)


@pytest.fixture
def ask(sandbox, mint, sign):
    """
    Asks for a token by a client assertion of `provisioner`, right but for what is overridden.
    """

    async def send(form=None, **options):
        claims = {
            "iss": "provisioner",
            "sub": "provisioner",
            "jti": f"id-{next(NUMBERS)}",
        }
        whole = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign(**(claims | options)),
            "scope": " ".join(sandbox.zitadel_scopes),
        }
        return await mint.by_secret(**(whole | (form or {})))

    return send


async def test_zitadel_takes_no_client_assertion(sandbox, ask):
    """
    Unless it is told otherwise, the sandbox refuses one for client_credentials as ZITADEL does.
    """
    reply = await ask()

    assert (reply.status, reply.json["error"]) == (400, "invalid_client")
    assert reply.json["error_description"] == "client not found"


@TAKEN
@pytest.mark.parametrize(
    ("form", "changes"),
    [
        pytest.param({}, {}, id="aud is the issuer"),
        pytest.param({"client_id": "provisioner"}, {}, id="with client_id"),
        pytest.param({}, {"header": {"kid": None}}, id="without kid"),
        pytest.param({}, {"header": {"alg": "PS256"}}, id="PS256"),
    ],
)
async def test_an_assertion_proves_a_client(sandbox, ask, form, changes):
    """
    Issuer and subject are the login name, and the token is that service user's.
    """
    reply = await ask(form, **changes)

    assert reply.status == 200
    assert sandbox.instance.alive(reply.json["access_token"]).user.name == "provisioner"
    mint = sandbox.mints[-1]
    assert (mint.client_auth, mint.user, mint.claims["iss"]) == (
        "assertion",
        "provisioner",
        "provisioner",
    )


@TAKEN
async def test_an_assertion_may_be_meant_for_the_token_endpoint(sandbox, ask):
    """
    RFC 7523 §3: the token endpoint's URL is an audience too.
    """
    assert (await ask(aud=f"{sandbox.url}/oauth/v2/token")).status == 200


@TAKEN
@pytest.mark.parametrize(
    ("form", "changes", "reason"),
    [
        pytest.param({}, {"drop": ("jti",)}, "jti is missing", id="no jti"),
        pytest.param({}, {"drop": ("exp",)}, "exp is missing", id="no exp"),
        pytest.param({}, {"aud": "https://elsewhere.invalid"}, "aud does not", id="aud"),
        pytest.param({}, {"sub": "reporter"}, "iss and sub", id="sub"),
        pytest.param({}, {"iss": "x", "sub": "x"}, "no usable key", id="unknown"),
        pytest.param({}, {"header": {"kid": "1"}}, "no usable key", id="kid"),
        pytest.param({"client_id": "reporter"}, {}, "client_id is not", id="client_id"),
        pytest.param({"client_assertion": "x"}, {}, "not a JWT", id="no JWT"),
    ],
)
async def test_a_bad_client_assertion_is_refused(sandbox, ask, form, changes, reason):
    """
    Whatever is wrong, the answer is invalid_client and the record says why.
    """
    reply = await ask(form, **changes)

    assert (reply.status, reply.json["error"]) == (400, "invalid_client")
    assert reason in sandbox.mints[-1].reason


@TAKEN
async def test_an_assertion_is_good_once(sandbox, ask):
    """
    A jti that was used does not count again, even in another assertion.
    """
    assert (await ask(jti="same")).status == 200

    assert (await ask(jti="same")).status == 400
    assert sandbox.mints[-1].reason == "an assertion with this jti was used before"


@TAKEN
@pytest.mark.parametrize(
    ("make", "alg"),
    [
        pytest.param(lambda: ECKey.generate_key("P-256"), "ES256", id="ES256"),
        pytest.param(lambda: RSAKey.generate_key(2048), "RS256", id="RS256"),
        pytest.param(lambda: RSAKey.generate_key(2048), "PS256", id="PS256"),
    ],
)
async def test_a_key_made_elsewhere_is_registered_by_its_public_half(
    sandbox, mint, clock, make, alg
):
    """
    RSA and EC keys prove a client alike.
    """
    user, key = sandbox.add_user("own-key"), make()
    sandbox.add_public_key(user, key.as_pem(private=False).decode(), "key-1")
    now = int(clock.now)
    claims = {"iss": "own-key", "sub": "own-key", "aud": sandbox.url, "jti": "1"}
    assertion = jwt.encode(
        {"alg": alg, "kid": "key-1"}, claims | {"iat": now, "exp": now + 60}, key, algorithms=[alg]
    )

    reply = await mint.by_secret(client_assertion_type=ASSERTION_TYPE, client_assertion=assertion)

    assert reply.status == 200


@TAKEN
@pytest.mark.parametrize(
    ("make", "alg"),
    [
        pytest.param(lambda: ECKey.generate_key("P-256"), "RS256", id="RS256 by an EC key"),
        pytest.param(lambda: ECKey.generate_key("P-256"), "PS256", id="PS256 by an EC key"),
        pytest.param(lambda: RSAKey.generate_key(2048), "ES256", id="ES256 by an RSA key"),
    ],
)
async def test_an_algorithm_must_fit_the_key(sandbox, ask, sign, make, alg):
    """
    What the header says is not believed against the kind of key that is registered.
    """
    sandbox.add_public_key(
        sandbox.users["provisioner"], make().as_pem(private=False).decode(), "odd"
    )
    claims = {"iss": "provisioner", "sub": "provisioner", "jti": "1"}
    _, body, tail = sign(**claims).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "odd"}).encode()).rstrip(b"=")

    reply = await ask({"client_assertion": f"{head.decode()}.{body}.{tail}"})

    assert reply.status == 400
    assert sandbox.mints[-1].reason == "alg does not fit the key"


async def test_zitadels_own_grant_takes_no_elliptic_curve(sandbox, mint, clock):
    """
    Stored machine keys are RSA: ES256 is refused whatever key is registered.
    """
    user, key = sandbox.add_user("own-key"), ECKey.generate_key("P-256")
    sandbox.add_public_key(user, key.as_pem(private=False).decode(), "key-1")
    now = int(clock.now)
    claims = {"iss": user.user_id, "sub": user.user_id, "aud": sandbox.url}
    assertion = jwt.encode(
        {"alg": "ES256", "kid": "key-1"},
        claims | {"iat": now, "exp": now + 60},
        key,
        algorithms=["ES256"],
    )

    assert (await mint.by_key(assertion)).status == 400
    assert sandbox.mints[-1].reason == "alg is none of RS256, PS256"


@pytest.mark.parametrize(
    "pem",
    ["", "nonsense", ECKey.generate_key("P-384").as_pem(private=False).decode()],
    ids=["empty", "nonsense", "P-384"],
)
def test_other_keys_are_not_registered(pem):
    """
    Only RSA and EC on P-256 are of use here.
    """
    with pytest.raises(ValueError, match="neither an RSA key nor"):
        public_key(pem)


async def test_audience_and_resource_are_on_record(sandbox, mint):
    """
    ZITADEL knows neither parameter; each value is kept for whoever looks.
    """
    form = [
        ("grant_type", "client_credentials"),
        ("client_id", "reporter"),
        ("client_secret", sandbox.client_secret.reveal()),
        ("scope", "openid"),
        ("audience", "a1"),
        ("audience", "a2"),
        ("resource", "https://api.example"),
    ]

    reply = await mint.client("POST", "/oauth/v2/token", data=form)
    await mint.by_key(audience="a3")

    assert reply.status == 200
    assert (sandbox.mints[0].audience, sandbox.mints[0].resource) == (
        ("a1", "a2"),
        ("https://api.example",),
    )
    assert (sandbox.mints[1].audience, sandbox.mints[1].resource) == (("a3",), ())

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

ME = "/auth/v1/users/me"
SEARCH = "/system/v1/instances/_search"


@pytest.fixture
def system(sandbox, clock, spare):
    """
    Signs a Bearer as the system user `root`, right but for what is overridden.
    """
    key = RSAKey.import_key(sandbox.add_system_user("root", pair=spare).reveal())

    def sign(header=None, **claims):
        now = int(clock.now)
        whole = {"iss": "root", "sub": "root", "aud": sandbox.url, "iat": now, "exp": now + 600}
        head = {"alg": "RS256"} | (header or {})
        text = jwt.encode(head, whole | claims, key, algorithms=["RS256", "PS256"])
        return {"Authorization": f"Bearer {text}"}

    return sign


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", SEARCH),
        ("GET", "/management/v1/orgs/me"),
        ("POST", "/v2/users"),
        ("POST", "/zitadel.user.v2.UserService/ListUsers"),
        ("GET", ME),
    ],
)
async def test_a_system_user_signs_its_own_token(sandbox, issuer, system, method, path):
    """
    Its JWT is the Bearer on every API, and no token is minted.
    """
    reply = await issuer(method, path, headers=system())

    assert reply.status == 200
    assert sandbox.hits[-1].user == "root"
    assert sandbox.mints.requests == 0


async def test_the_system_api_is_for_system_users(sandbox, issuer, bearer):
    """
    No role of an ordinary service user opens it.
    """
    reply = await issuer("POST", SEARCH, headers=bearer(sandbox.pat))

    assert (reply.status, reply.json["code"]) == (403, 7)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        pytest.param({}, {"aud": "https://elsewhere.invalid"}, id="aud"),
        pytest.param({}, {"iss": "other", "sub": "other"}, id="unknown"),
        pytest.param({}, {"sub": "other"}, id="sub"),
        pytest.param({}, {"iat": 1_800_000_000 - 3_601}, id="iat"),
        pytest.param({}, {"exp": 1_800_000_000}, id="exp"),
        pytest.param({"alg": "PS256"}, {}, id="alg"),
    ],
)
async def test_a_bad_system_token_is_refused(issuer, system, header, claims):
    """
    As any other token that is not good.
    """
    reply = await issuer("GET", ME, headers=system(header, **claims))

    assert (reply.status, reply.json["details"][0]["id"]) == (401, "AUTH-7fs1e")


async def test_another_key_does_not_make_a_system_user(sandbox, issuer, system, sign):
    """
    The signature must match the key that was registered.
    """
    forged = sign(iss="root", sub="root")

    reply = await issuer("GET", ME, headers={"Authorization": f"Bearer {forged}"})

    assert reply.status == 401


async def test_the_backend_knows_no_system_users(backend, system):
    """
    Introspection calls such a JWT inactive.
    """
    assert (await backend("GET", "/orders", headers=system())).status == 401


async def test_a_system_token_can_be_revoked_and_young(sandbox, issuer, system, clock):
    """
    The faults of tokens strike here too: a revoked one stays so, the next one is good.
    """
    first, second = system(), system(jti="2")
    sandbox.faults.set("revoke-once")

    assert [(await issuer("GET", ME, headers=first)).status for _ in range(2)] == [401, 401]
    assert (await issuer("GET", ME, headers=second)).status == 200

    sandbox.faults.set("token-young", value=5)
    assert (await issuer("GET", ME, headers=second)).status == 401
    clock.now += 5
    assert (await issuer("GET", ME, headers=second)).status == 200

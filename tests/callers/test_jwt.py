from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from typing import Any

import pytest
from aiohttp import web
from joserfc.jws import JWSRegistry

from proxy.callers.claims import LEEWAY
from proxy.callers.jws import MAX_HEADER, MAX_TOKEN, read_jwt
from proxy.callers.jwt import LONGEST, JwtVerifier
from proxy.callers.verdicts import BAD_FOR, MAX_BAD
from proxy.core.credential import Issuer
from proxy.errors import CallerCheckUnavailable
from proxy.sandbox.server import Sandbox
from tests.callers.publisher import (
    AUDIENCE,
    FOREIGN,
    HEADER,
    RSA,
    SIGNERS,
    b64,
    issuers_at,
    jwk,
    signed,
)


@pytest.mark.parametrize(("header", "key"), SIGNERS.values(), ids=SIGNERS.keys())
async def test_what_the_issuer_signed_is_taken_at_once(verifier, claims, header, key):
    """
    Once the keys are known a token is judged without waiting, and its claims come back.
    """
    assert verifier.look(signed(header, claims, key)) == claims


CHANGES = {
    "aud in a list": {"aud": ["x", AUDIENCE]},
    "no iat, no nbf": {"iat": None, "nbf": None},
    "exp with a fraction": {"exp": 1_700_000_600.25},
    "a little early": {"nbf": 1_700_000_000 + LEEWAY, "iat": 1_700_000_000 + LEEWAY},
    "anything else": {"scope": "a b", "exp2": "x", "nested": {"a": [1, None]}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_claims_that_keep_to_the_terms_are_taken(verifier, claims, change):
    """
    RFC 7519 §4.1: `aud` is a text or a list; `iat` and `nbf` may be missing.
    """
    said = {name: value for name, value in (claims | change).items() if value is not None}

    assert verifier.look(signed(HEADER, said, RSA)) == said


NOW = 1_700_000_000
REFUSED = {
    "another issuer": {"iss": "https://evil.example"},
    "issuer with a slash": {"iss": "URL/"},
    "issuer in capitals": {"iss": "HTTP://127.0.0.1"},
    "issuer in a list": {"iss": ["URL"]},
    "no issuer": {"iss": None},
    "another audience": {"aud": "https://other.example"},
    "audience with more": {"aud": AUDIENCE + "/"},
    "part of the audience": {"aud": AUDIENCE[:-1]},
    "audience as a name": {"aud": {AUDIENCE: True}},
    "audience nested": {"aud": [[AUDIENCE]]},
    "audience without text": {"aud": [1, None, {}]},
    "no audience": {"aud": None},
    "expired": {"exp": NOW - LEEWAY},
    "no exp": {"exp": None},
    "exp as text": {"exp": str(NOW + 600)},
    "exp true": {"exp": True},
    "exp in a list": {"exp": [NOW + 600]},
    "exp of zero": {"exp": 0},
    "exp negative": {"exp": -NOW},
    "exp of 4000 digits": {"exp": 10**4000},
    "not yet": {"nbf": NOW + LEEWAY + 1},
    "nbf as text": {"nbf": "0"},
    "nbf false": {"nbf": False},
    "made in the future": {"iat": NOW + LEEWAY + 1},
    "iat as text": {"iat": "now"},
    "iat in milliseconds": {"iat": NOW * 1000},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
async def test_claims_that_do_not_keep_to_the_terms_are_refused(verifier, claims, issuer, change):
    """
    Well signed, and yet not for us, or not now; no signature is checked for it.
    """
    said = {name: value for name, value in (claims | change).items() if value is not None}
    said = json.loads(json.dumps(said).replace("URL", issuer.url))

    assert verifier.look(signed(HEADER, said, RSA)) is None
    assert await verifier.ask(signed(HEADER, said, RSA)) is None
    assert verifier.checks == 0


HEADERS = {
    "none": {"alg": "none"},
    "None": {"alg": "None", "kid": "r"},
    "no alg": {"kid": "r"},
    "HS256": {"alg": "HS256", "kid": "r"},
    "RS384": {"alg": "RS384", "kid": "r"},
    "RS512": {"alg": "RS512", "kid": "r"},
    "ES256K": {"alg": "ES256K", "kid": "e"},
    "alg in small letters": {"alg": "rs256", "kid": "r"},
    "alg as a list": {"alg": ["RS256"], "kid": "r"},
    "alg as an object": {"alg": {"RS256": 1}, "kid": "r"},
    "alg null": {"alg": None, "kid": "r"},
    "alg of another key": {"alg": "ES256", "kid": "r"},
    "PS256 said, RS256 signed": {"alg": "PS256", "kid": "r"},
    "crit": HEADER | {"crit": ["exp"], "exp": 1},
    "crit empty": HEADER | {"crit": []},
    "kid as a number": HEADER | {"kid": 1},
    "kid of another key": HEADER | {"kid": "e"},
    "kid unknown": HEADER | {"kid": "x"},
    "kid empty": HEADER | {"kid": ""},
    "kid a path": HEADER | {"kid": "../../r"},
    "logout": HEADER | {"typ": "logout+jwt"},
    "dpop": HEADER | {"typ": "dpop+jwt"},
    "typ null": HEADER | {"typ": None},
    "typ a number": HEADER | {"typ": 1},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_a_header_does_not_choose_how_it_is_checked(verifier, claims, header):
    """
    RFC 8725 §3.1, §3.11: only listed algorithms that go with the named key, only JWTs.
    """
    start = b64(json.dumps(header)) + b"." + b64(json.dumps(claims))
    by_rs256 = start + b"." + b64(JWSRegistry.algorithms["RS256"].sign(start, RSA))

    assert await verifier.ask(by_rs256) is None
    assert await verifier.ask(start + b".") is None
    assert await verifier.ask(start) is None


async def test_a_public_key_is_nobodys_secret(verifier, claims):
    """
    RFC 8725 §2.1: an HMAC under the public key, in whatever spelling, is no signature.
    """
    public = RSA.as_dict(private=False)
    spellings = [
        RSA.as_pem(private=False),
        RSA.as_pem(private=False).strip(),
        RSA.as_der(private=False),
        json.dumps(public).encode(),
        str(public["n"]).encode(),
    ]
    for secret in spellings:
        for header in (
            {"alg": "HS256", "kid": "r"},
            {"alg": "RS256", "kid": "r"},
            {"alg": "HS256"},
        ):
            start = b64(json.dumps(header)) + b"." + b64(json.dumps(claims))
            digest = hmac.digest(secret, start, hashlib.sha256)
            assert await verifier.ask(start + b"." + b64(digest)) is None


async def test_a_key_in_the_header_signs_nothing(verifier, claims):
    """
    CVE-2026-27962's kind: a token that brings its own key is foreign.
    """
    for kid in ("r", "x", None):
        header = {"alg": "RS256", "jwk": jwk(FOREIGN, kid), "jku": "https://evil.example/keys"}
        named = header if kid is None else header | {"kid": kid}
        assert await verifier.ask(signed(named, claims, FOREIGN)) is None


async def test_repeated_names_are_refused(verifier, claims):
    """
    Two readers could take another one of them each.
    """
    body = json.dumps(claims).encode()
    twice = body[:-1] + b',"sub":"admin"}'
    head = b'{"alg":"RS256","kid":"r","kid":"r"}'

    assert verifier.look(signed(HEADER, body, RSA)) is not None
    assert verifier.look(signed(HEADER, twice, RSA)) is None
    assert verifier.look(signed(head, body, RSA)) is None


async def test_what_is_too_large_is_not_read(verifier, claims):
    """
    A token has at most 8 KiB, its header 2 KiB.
    """
    fits = signed(HEADER, claims | {"x": "y" * 4000}, RSA)
    large = signed(HEADER, claims | {"x": "y" * MAX_TOKEN}, RSA)
    head = signed(HEADER | {"x": "y" * MAX_HEADER}, claims, RSA)

    assert verifier.look(fits) is not None
    assert verifier.look(large) is None
    assert verifier.look(head) is None
    assert verifier.checks == 1


async def test_an_exp_beyond_numbers_is_no_eternal_token(verifier, claims):
    """
    1e999 is read as infinite by the json module; a token must end.
    """
    body = json.dumps(claims | {"exp": 0}).encode().replace(b'"exp": 0', b'"exp":1e999')

    assert verifier.look(signed(HEADER, body, RSA)) is None


async def test_a_good_token_is_checked_once(verifier, claims):
    """
    What was found good is remembered by its digest.
    """
    token = signed(HEADER, claims, RSA)
    for _ in range(100):
        assert verifier.look(token) == claims

    assert verifier.checks == 1


async def test_a_near_miss_costs_what_any_wrong_token_costs(verifier, claims):
    """
    A guess one bit beside a token that is remembered takes as many signature checks as one from
    nowhere, and a token that is remembered as bad takes none.
    """
    token = signed(HEADER, claims, RSA)
    verifier.look(token)
    head, body, tail = token.split(b".")
    near = b".".join((head, body, tail[:-2] + (b"AA" if tail[-2:] != b"AA" else b"QA")))
    costs = []
    for wrong in (
        near,
        signed(HEADER, claims, FOREIGN),
        signed(HEADER, claims | {"x": 1}, FOREIGN),
    ):
        before = verifier.checks
        assert verifier.look(wrong) is None
        costs.append(verifier.checks - before)
        assert [verifier.look(wrong) for _ in range(50)] == [None] * 50
        assert verifier.checks - before == costs[-1]

    assert costs == [1, 1, 1]


async def test_a_flood_of_rubbish_pushes_out_no_good_token(verifier, claims):
    """
    Bad ones are remembered apart, and only so many.
    """
    token = signed(HEADER, claims, RSA)
    verifier.look(token)
    start = token.rpartition(b".")[0]
    for number in range(MAX_BAD + 100):
        assert verifier.look(start + b"." + b64(number.to_bytes(256, "big"))) is None
    before = verifier.checks

    assert verifier.look(token) == claims
    assert verifier.checks == before
    assert f"{MAX_BAD} bad" in repr(verifier._verdicts)


async def test_a_bad_token_is_looked_at_again_after_seconds(verifier, claims, time):
    """
    A refusal is not remembered for long.
    """
    wrong = signed(HEADER, claims, FOREIGN)
    verifier.look(wrong)
    time.move(BAD_FOR)
    verifier.look(wrong)

    assert verifier.checks == 2


async def test_a_token_ends_when_it_says(verifier, claims, time):
    """
    A remembered token is forgotten at `exp`; within the leeway it is checked each time, then refused.
    """
    token = signed(HEADER, claims, RSA)
    verifier.look(token)
    time.move(599)
    verifier.look(token)
    assert verifier.checks == 1
    time.move(1 + LEEWAY - 1)
    late: Any = verifier.look(token)
    verifier.look(token)
    assert verifier.checks == 3
    assert late["exp"] == pytest.approx(
        time.wall + 1, abs=0.01
    )  # so that whoever believes it soon stops
    time.move(1)
    assert verifier.look(token) is None


async def test_a_wall_clock_that_jumps_prolongs_nothing(verifier, claims, time):
    """
    Set back, the boot clock ends it; set ahead, the wall clock does.
    """
    token = signed(HEADER, claims, RSA)
    verifier.look(token)
    time.wall -= 3600
    time.boot += 600 + LEEWAY
    assert verifier.look(token) is None

    time.wall += 3600 + 600 + LEEWAY
    other = signed(HEADER, claims | {"exp": int(time.wall) + 600}, RSA)
    assert verifier.look(other) is not None
    time.wall += 600 + LEEWAY
    assert verifier.look(other) is None


@pytest.mark.parametrize("behind", [-600.0, 600.0], ids=["issuer ahead", "issuer behind"])
async def test_the_later_clock_judges(issuer, issuers, time, claims, behind):
    """
    A slow clock, here or there, does not keep an expired token alive; what a fast issuer has just
    made is not in the future.
    """
    issuer.behind = behind
    verifier = JwtVerifier(issuer.issuer, AUDIENCE, issuers, time.clock)
    await verifier.warm()
    later = time.wall + max(0.0, -behind)
    times = {"iat": int(later), "nbf": int(later), "exp": int(later) + 300}
    fresh: Any = verifier.look(signed(HEADER, claims | times, RSA))
    old = claims | times | {"exp": int(later - LEEWAY) - 1}

    assert fresh is not None
    assert fresh["exp"] == pytest.approx(time.wall + 300, abs=2)  # by this host's clock
    assert verifier.look(signed(HEADER, old, RSA)) is None


async def test_no_token_is_believed_for_longer_than_keys_are_fresh(verifier, claims, time):
    """
    A token for years is checked again each hour, so that a withdrawn key counts.
    """
    token = signed(HEADER, claims | {"exp": 9_999_999_999}, RSA)
    said: Any = verifier.look(token)
    time.move(LONGEST)
    verifier.look(token)

    assert said["exp"] == pytest.approx(1_700_000_000 + LONGEST, abs=0.01)
    assert verifier.checks == 2


async def test_a_kubernetes_service_account_is_a_caller(issuer, issuers, time):
    """
    A projected token as the API server writes it: audience in a list, no typ, names in an object.
    """
    now = int(time.wall)
    said = {
        "aud": [AUDIENCE],
        "exp": now + 3607,
        "iat": now,
        "iss": issuer.url,
        "jti": "3c8b1f0e-5a0d-4a5e-9c55-2d0f7c4f6a11",
        "kubernetes.io": {
            "namespace": "billing",
            "node": {"name": "node-1", "uid": "5e3d"},
            "pod": {"name": "app-0", "uid": "9a1c"},
            "serviceaccount": {"name": "app", "uid": "1b2c"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:billing:app",
    }
    elsewhere = Issuer("cluster", issuer.url, jwks_uri=f"{issuer.url}/keys")
    issuer.document = web.Response(status=401)
    verifier = JwtVerifier(elsewhere, AUDIENCE, issuers, time.clock)
    await verifier.warm()
    found: Any = verifier.look(signed({"alg": "RS256", "kid": "r"}, said, RSA))
    default = said | {"aud": ["https://kubernetes.default.svc.cluster.local"]}

    assert found["sub"] == "system:serviceaccount:billing:app"
    assert found["kubernetes.io"]["serviceaccount"]["name"] == "app"
    assert verifier.look(signed({"alg": "RS256", "kid": "r"}, default, RSA)) is None


async def test_nothing_shows_a_token(cold, claims, issuer):
    """
    Neither a repr nor an error holds a part of it.
    """
    issuer.keys = web.Response(status=500)
    token = signed(HEADER, claims, RSA)
    with pytest.raises(CallerCheckUnavailable) as caught:
        await cold.ask(token)
    issuer.keys = {"keys": [jwk(RSA, "r")]}
    shown = [repr(cold), repr(cold._verdicts), repr(read_jwt(token)), str(caught.value)]
    shown.append("".join(traceback.format_exception(caught.value)))

    for part in token.decode().split("."):
        assert not any(part in text for text in shown)


async def test_what_was_found_cannot_be_changed(verifier, claims):
    """
    Claims are shared by all who ask.
    """
    found = verifier.look(signed(HEADER, claims, RSA))

    with pytest.raises(TypeError):
        found["sub"] = "admin"


async def test_a_token_of_the_sandbox_is_taken():
    """
    Issued, published and verified as ZITADEL would have it: for the project, not for another.
    """
    async with Sandbox() as sandbox, issuers_at(sandbox.instance.clock) as way:
        user = sandbox.add_user("caller", jwt=True)
        token = sandbox.issue(user, sandbox.backend_scopes).reveal().encode()
        clock, issuer = sandbox.instance.clock, Issuer("zitadel", sandbox.url)
        verifier = JwtVerifier(issuer, sandbox.project_id, way, clock)
        other = JwtVerifier(issuer, "another", way, clock)

        found: Any = await verifier.ask(token)
        assert found["sub"] == user.user_id
        assert await other.ask(token) is None
        assert await verifier.ask(sandbox.pat.reveal().encode()) is None

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from proxy.callers.jwks import AGAIN, FRESH, KeyRing
from proxy.callers.jwt import JwtVerifier
from proxy.callers.verifier import PENDING
from proxy.errors import CallerCheckUnavailable
from tests.callers.publisher import (
    AUDIENCE,
    FOREIGN,
    HEADER,
    P256,
    RSA,
    SIGNERS,
    jwk,
    signed,
)


async def test_the_first_token_waits_for_the_keys(cold, claims, issuer):
    """
    Before the keys are known somebody must be asked; all who ask share one fetch.
    """
    token = signed(HEADER, claims, RSA)
    assert cold.look(token) is PENDING
    answers = await asyncio.gather(*(cold.ask(token) for _ in range(50)))

    assert answers == [claims] * 50
    assert issuer.asked["/keys"] == 1
    assert cold.look(token) == claims


async def test_a_new_key_is_fetched_once_a_minute_whoever_asks(verifier, claims, issuer, time):
    """
    Rotation: an unknown kid has the keys fetched again, but a flood of them only once a minute.
    """
    token = signed(HEADER | {"kid": "new"}, claims, FOREIGN)
    assert verifier.look(token) is None  # fetched just now
    time.move(AGAIN)
    issuer.keys = {"keys": [*issuer.keys["keys"], jwk(FOREIGN, "new")]}
    assert verifier.look(token) is PENDING
    unknown = [signed(HEADER | {"kid": f"x{n}"}, claims, FOREIGN) for n in range(50)]
    answers = await asyncio.gather(verifier.ask(token), *map(verifier.ask, unknown))

    assert answers == [claims] + [None] * 50
    assert issuer.asked["/keys"] == 2
    assert [verifier.look(each) for each in unknown] == [None] * 50
    time.move(AGAIN - 1)
    assert [verifier.look(each) for each in unknown] == [None] * 50
    time.move(1)
    assert verifier.look(unknown[0]) is PENDING


async def test_a_new_key_without_a_name_is_found_too(cold, claims, issuer, time):
    """
    A token without kid is tried with each key that fits, and may have the keys fetched again.
    """
    issuer.keys = {"keys": [jwk(FOREIGN, None), jwk(P256, None)]}
    await cold.warm()
    token = signed({"alg": "RS256"}, claims, RSA)
    assert cold.look(token) is None
    assert cold.checks == 1
    time.move(AGAIN)
    issuer.keys = {"keys": [jwk(FOREIGN, None), jwk(RSA, None)]}

    assert await cold.ask(token) == claims


async def test_a_named_token_may_be_of_a_nameless_key(cold, claims, issuer):
    """
    An issuer with one key often publishes it without a kid.
    """
    issuer.keys = {"keys": [jwk(RSA, None)]}

    assert await cold.ask(signed(HEADER, claims, RSA)) == claims


async def test_only_so_many_keys_are_tried(cold, claims, issuer):
    """
    A token without kid costs at most sixteen checks.
    """
    issuer.keys = {"keys": [jwk(FOREIGN, str(n)) for n in range(50)]}
    await cold.warm()
    cold.look(signed({"alg": "RS256"}, claims, RSA))

    assert cold.checks == 16


async def test_a_withdrawn_key_ends_the_tokens_it_signed(verifier, claims, issuer, time):
    """
    What is remembered of a key that is no longer published is forgotten.
    """
    token = signed(HEADER, claims | {"exp": int(time.wall) + 2 * int(FRESH)}, RSA)
    other = signed(SIGNERS["ES256"][0], claims | {"exp": int(time.wall) + 2 * int(FRESH)}, P256)
    time.move(FRESH / 2)
    assert verifier.look(token) is not None
    issuer.keys = {"keys": [jwk(P256, "e")]}
    time.move(FRESH / 2)
    assert verifier.look(token) is not None
    verifier.look(other)
    await issuer.arrived("/keys", 2)
    await verifier.ask(signed(HEADER | {"kid": "x"}, claims, RSA))
    await verifier._ring.refresh()

    assert verifier.look(token) is None
    assert verifier.look(other) is not None


async def test_without_keys_nobody_is_let_in_and_nobody_is_refused(cold, claims, issuer, time):
    """
    An issuer that is down at the start is no reason to say no: 503, until it is back.
    """
    issuer.keys = web.Response(status=503)
    await cold.warm()
    token = signed(HEADER, claims, RSA)
    assert cold.look(token) is PENDING
    with pytest.raises(
        CallerCheckUnavailable, match=r"keys of http.* cannot be had: it answered 503"
    ):
        await cold.ask(token)
    assert issuer.asked["/keys"] == 1
    assert "503" in (cold.trouble or "")

    issuer.keys = {"keys": [jwk(RSA, "r")]}
    time.move(1)
    assert await cold.ask(token) == claims
    assert cold.trouble is None


async def test_known_keys_go_on_when_the_issuer_is_down(verifier, claims, issuer, time):
    """
    Tokens of known keys are taken; of one that names an unknown key nobody can tell.
    """
    issuer.keys = b"<html>"
    time.move(FRESH)
    times = {"exp": int(time.wall) + 600}
    new = signed(HEADER | {"kid": "new"}, claims | times, FOREIGN)
    with pytest.raises(CallerCheckUnavailable):
        await verifier.ask(new)
    asked = issuer.asked["/keys"]
    with pytest.raises(CallerCheckUnavailable):
        await verifier.ask(new)

    assert verifier.look(signed(HEADER, claims | times, RSA)) is not None
    assert issuer.asked["/keys"] == asked


async def test_one_ring_serves_several_verifiers(issuer, issuers, time, claims):
    """
    Audiences are apart, keys are shared.
    """
    ring = KeyRing(issuer.issuer, issuers, time.clock.boot)
    one = JwtVerifier(issuer.issuer, AUDIENCE, issuers, time.clock, keys=ring)
    two = JwtVerifier(issuer.issuer, ("x", "y"), issuers, time.clock, keys=ring)
    await one.warm()

    assert issuer.asked["/keys"] == 1
    assert one.look(signed(HEADER, claims, RSA)) is not None
    assert two.look(signed(HEADER, claims, RSA)) is None
    assert two.look(signed(HEADER, claims | {"aud": ["y"]}, RSA)) is not None


async def test_a_wrong_signature_of_a_known_key_asks_nobody(verifier, claims, issuer, time):
    """
    Only a key that is not known is worth a question.
    """
    time.move(AGAIN)

    assert verifier.look(signed(HEADER, claims, FOREIGN)) is None
    assert issuer.asked["/keys"] == 1

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from proxy.callers.jwks import AGAIN, FRESH, MAX_KEYS, KeyRing, read_keys
from proxy.errors import CallerCheckUnavailable
from tests.callers.publisher import b64, issuers_at, jwk, publishing
from tests.tokens.bodies import NOT_JSON

RSA = RSAKey.generate_key(2048, private=True)
EC = ECKey.generate_key("P-256")
GOOD = jwk(RSA, "k1")


@pytest.fixture
async def issuer(time):
    """
    An issuer with one key.
    """
    async with publishing(time) as publisher:
        publisher.keys = {"keys": [GOOD]}
        yield publisher


@pytest.fixture
async def ring(issuer, issuers, time):
    """
    What is under test.
    """
    keys = KeyRing(issuer.issuer, issuers, time.clock.boot)
    yield keys
    await keys.close()


def algorithms(*entries: object) -> list[tuple[str, ...]]:
    """
    Return what the usable of these entries may sign with.
    """
    return [key.algorithms for key in read_keys(json.dumps({"keys": entries}).encode())]


USABLE = {
    "RSA": (GOOD, ("RS256", "PS256")),
    "RSA bound to PS256": (GOOD | {"alg": "PS256"}, ("PS256",)),
    "P-256": (jwk(EC, "k1"), ("ES256",)),
    "P-384": (jwk(ECKey.generate_key("P-384"), "k1"), ("ES384",)),
    "Ed25519": (jwk(OKPKey.generate_key("Ed25519"), "k1"), ("EdDSA",)),
    "without kid": (jwk(RSA, None), ("RS256", "PS256")),
    "without use": ({k: v for k, v in GOOD.items() if k != "use"}, ("RS256", "PS256")),
    "for verifying": (GOOD | {"key_ops": ["verify"]}, ("RS256", "PS256")),
    "with a certificate that is none": (GOOD | {"x5c": ["x"], "x5t": 1}, ("RS256", "PS256")),
}


@pytest.mark.parametrize(("entry", "expected"), USABLE.values(), ids=USABLE.keys())
def test_a_key_signs_with_what_goes_with_it(entry, expected):
    """
    RFC 8725 §3.1: the key's type, and its own `alg`, say which algorithms it is for.
    """
    assert algorithms(entry) == [expected]


def small(bits: int) -> dict[str, object]:
    """
    Return an RSA key of so many bits.
    """
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    modulus = b64(numbers.n.to_bytes(bits // 8, "big")).decode()
    return {"kty": "RSA", "kid": "k1", "n": modulus, "e": "AQAB"}


UNUSABLE = {
    "RSA of 1024 bits": small(1024),
    "RSA with a giant modulus": GOOD | {"n": "_" * 200_000},
    "RSA with a giant exponent": GOOD | {"e": b64(b"\x01" * 41).decode()},
    "RSA with an exponent of one": GOOD | {"e": "AQ"},
    "RSA without n": {k: v for k, v in GOOD.items() if k != "n"},
    "RSA with n as a number": GOOD | {"n": 5},
    "RSA with n of padding": GOOD | {"n": "===="},
    "RSA with an empty n": GOOD | {"n": ""},
    "RSA with an even modulus": GOOD | {"n": GOOD["n"][:-1] + "A"},
    "private": RSA.as_dict(private=True) | {"kid": "k1"},
    "symmetric": OctKey.generate_key(256).as_dict(private=True) | {"kid": "k1"},
    "symmetric in disguise": jwk(EC, "k1") | {"kty": "oct", "k": "c2VjcmV0"},
    "for encryption": GOOD | {"use": "enc"},
    "for signing": GOOD | {"key_ops": ["sign"]},
    "key_ops of another type": GOOD | {"key_ops": "verify"},
    "bound to HS256": GOOD | {"alg": "HS256"},
    "bound to none": GOOD | {"alg": "none"},
    "bound to RS1": GOOD | {"alg": "RS1"},
    "bound to a number": GOOD | {"alg": 256},
    "kid as a number": GOOD | {"kid": 1},
    "P-521": jwk(ECKey.generate_key("P-521"), "k1"),
    "X25519": jwk(OKPKey.generate_key("X25519"), "k1"),
    "Ed448": jwk(OKPKey.generate_key("Ed448"), "k1"),
    "off the curve": jwk(EC, "k1") | {"x": "AAAA"},
    "curve of another type": jwk(EC, "k1") | {"crv": "Ed25519"},
    "type of another curve": jwk(EC, "k1") | {"kty": "OKP"},
    "curve as a list": jwk(EC, "k1") | {"crv": ["P-256"]},
    "no type": {"kid": "k1"},
    "type unknown": {"kty": "AKP", "kid": "k1", "pub": "x"},
    "a text": "k1",
    "null": None,
    "a list": [GOOD],
    "empty": {},
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_key_is_passed_over_and_the_others_are_read(entry):
    """
    RFC 7517 §5: what is not understood, weak or meant for something else is skipped.
    """
    assert algorithms(entry, jwk(EC, "k2")) == [("ES256",)]


def test_only_so_many_keys_are_read():
    """
    A set without end costs no more than a hundred keys.
    """
    assert len(algorithms(*[jwk(EC, str(n)) for n in range(MAX_KEYS + 50)])) == MAX_KEYS


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"keys":{}}', b'{"keys":null}', b'{"keys":"x"}'])
def test_what_is_no_key_set_is_said_to_be_none(body):
    """
    An answer without a list of keys is not an empty set.
    """
    with pytest.raises(ValueError, match=r"is not a JSON object|has no list of keys"):
        read_keys(body)


@pytest.mark.parametrize("group", NOT_JSON)
def test_garbage_never_becomes_keys_nor_leaks(group):
    """
    No body that is not strict JSON is read, and no message repeats it.
    """
    for body in NOT_JSON[group]:
        with pytest.raises(ValueError) as caught:
            read_keys(body)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"keys":5}',
        web.Response(status=503),
        web.Response(status=404),
        web.Response(status=302, headers={"Location": "https://evil.example/keys"}),
        web.Response(body=b" " * 300_000),
    ],
    ids=["html", "no list", "503", "404", "redirect", "too large"],
)
async def test_known_keys_outlive_an_issuer_that_answers_rubbish(ring, issuer, time, answer):
    """
    Keys are kept when they cannot be had again, and asked for once a minute.
    """
    await ring.refresh()
    time.move(FRESH)
    issuer.keys = answer
    with pytest.raises(CallerCheckUnavailable, match="cannot be had"):
        await ring.refresh()
    asked = issuer.asked["/keys"]
    time.move(AGAIN - 1)
    for _ in range(5):
        ring.tend()
        with pytest.raises(CallerCheckUnavailable):
            await ring.refresh()

    assert issuer.url not in ring._flights
    assert "1 keys" in repr(ring)
    assert ring.edition == 1
    assert issuer.asked["/keys"] == asked

    issuer.keys = {"keys": []}
    time.move(1)
    await ring.refresh()
    assert (ring.trouble, ring.edition, repr(ring)[-7:]) == (None, 2, "0 keys>")


async def test_old_keys_are_fetched_again_in_the_background(ring, issuer, time):
    """
    After an hour, whoever uses the keys has them fetched again and waits for nothing.
    """
    await ring.refresh()
    ring.tend()
    time.move(FRESH)
    ring.tend()
    ring.tend()
    await issuer.arrived("/keys", 2)
    await ring.refresh()

    assert issuer.asked["/keys"] == 2


async def test_without_keys_a_failed_fetch_is_repeated_after_a_second(ring, issuer, time):
    """
    An issuer that is down at the start is not asked per request, and soon after it is back.
    """
    issuer.keys = web.Response(status=500)
    waits = set()
    for _ in range(5):
        with pytest.raises(CallerCheckUnavailable) as caught:
            await ring.refresh()
        waits.add(caught.value.retry_after)
    assert (issuer.asked["/keys"], waits) == (1, {1.0})

    issuer.keys = {"keys": [GOOD]}
    time.move(1.0)
    await ring.refresh()
    assert ring.known


async def test_an_issuer_that_asks_for_patience_gets_it(ring, issuer, time):
    """
    Retry-After is honoured, up to a minute.
    """
    issuer.keys = web.Response(status=429, headers={"Retry-After": "7200"})
    with pytest.raises(CallerCheckUnavailable) as caught:
        await ring.refresh()
    time.move(AGAIN - 1)
    with pytest.raises(CallerCheckUnavailable):
        await ring.refresh()

    assert caught.value.retry_after == AGAIN
    assert issuer.asked["/keys"] == 1


async def test_an_issuer_that_never_answers_is_given_up(issuer, time):
    """
    Discovery and keys together have one deadline.
    """
    issuer.open.clear()
    async with issuers_at(time.clock, timeout=0.05) as way:
        ring = KeyRing(issuer.issuer, way, time.clock.boot)
        with pytest.raises(CallerCheckUnavailable, match=r"within 0.05 s"):
            await ring.refresh()
        await ring.close()


async def test_a_jwks_uri_elsewhere_is_not_followed_unless_it_is_configured(issuer, issuers, time):
    """
    A discovery document cannot name another origin; the configuration can, and then needs no document.
    """
    issuer.document = {
        "issuer": issuer.url,
        "token_endpoint": f"{issuer.url}/token",
        "jwks_uri": "https://evil.example/keys",
    }
    ring = KeyRing(issuer.issuer, issuers, time.clock.boot)
    with pytest.raises(CallerCheckUnavailable, match="write jwks_uri"):
        await ring.refresh()
    issuer.document = web.Response(status=404)
    named = dataclasses.replace(issuer.issuer, jwks_uri=f"{issuer.url}/keys")
    other = KeyRing(named, issuers, time.clock.boot)
    await other.refresh()

    assert other.known


async def test_all_who_ask_share_one_fetch(ring, issuer):
    """
    Fifty wait for one; one that leaves cancels nothing.
    """
    issuer.open.clear()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(ring.refresh()) for _ in range(50)]
        await issuer.arrived("/.well-known/openid-configuration")
        waiting[0].cancel()
        issuer.open.set()

    assert issuer.asked["/keys"] == 1
    assert ring.known

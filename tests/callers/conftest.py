"""
An issuer that publishes one key of each type, and a verifier of its JWTs.
"""

from __future__ import annotations

import pytest

from proxy.callers.jwt import JwtVerifier
from tests.callers.publisher import AUDIENCE, KEYS, HandClock, issuers_at, jwk, publishing


@pytest.fixture
def time():
    """
    A clock moved by hand.
    """
    return HandClock()


@pytest.fixture
async def issuer(time):
    """
    An issuer with one key of each type.
    """
    async with publishing(time) as publisher:
        publisher.keys = {"keys": [jwk(key, kid) for kid, key in KEYS.items()]}
        yield publisher


@pytest.fixture
async def issuers(time):
    """
    The way to it.
    """
    async with issuers_at(time.clock, timeout=2.0) as way:
        yield way


@pytest.fixture
async def cold(issuer, issuers, time):
    """
    What is under test, without keys yet.
    """
    under_test = JwtVerifier(issuer.issuer, AUDIENCE, issuers, time.clock)
    yield under_test
    await under_test.close()


@pytest.fixture
async def verifier(cold):
    """
    What is under test, keys known.
    """
    await cold.warm()
    return cold


@pytest.fixture
def claims(issuer, time):
    """
    Claims that are taken.
    """
    now = int(time.wall)
    return {
        "iss": issuer.url,
        "aud": AUDIENCE,
        "sub": "u1",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }

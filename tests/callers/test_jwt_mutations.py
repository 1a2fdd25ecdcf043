from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.callers.publisher import (
    FOREIGN,
    FOREIGN_EC,
    HEADER,
    RSA,
    SIGNERS,
    b64,
    signed,
)

RUBBISH = {
    "empty": b"",
    "dots": b"..",
    "four parts": b"a.b.c.d",
    "five parts": b"a.b.c.d.e",
    "not ASCII": "é.é.é".encode(),
    "nulls": b"\x00" * 100,
    "white space": b" a.b.c ",
    "a new line": b"e30.e30.e30\n",
    "a megabyte": b"a" * 1_000_000,
    "deep": b64(b"[" * 5000) + b"." + b64("{}") + b".AA",
    "deep claims": b64(b'{"alg":"RS256"}') + b"." + b64(b'{"a":' * 1500) + b".AA",
    "a long number": b64(b'{"alg":"RS256"}') + b"." + b64(b'{"exp":' + b"9" * 5000 + b"}") + b".AA",
    "Infinity": b64(b'{"alg":"RS256"}') + b"." + b64(b'{"exp":Infinity}') + b".AA",
    "UTF-16": b64('{"alg":"RS256"}'.encode("utf-16")) + b"." + b64("{}") + b".AA",
    "JSON serialisation": b'{"payload":"e30","protected":"e30","signature":""}',
}


@pytest.mark.parametrize("credential", RUBBISH.values(), ids=RUBBISH.keys())
async def test_rubbish_is_refused_without_a_key(cold, credential):
    """
    What is no JWT needs no issuer to be refused.
    """
    assert cold.look(credential) is None
    assert await cold.ask(credential) is None


def flips(token: bytes) -> Iterator[bytes]:
    """
    Yield the token with one byte replaced, each byte by several others, with one lost, and with one
    more.
    """
    chance = random.Random(1)
    for at in range(len(token)):
        others = {token[at] ^ bit for bit in (1, 2, 4, 8, 16, 32, 64, 128)}
        others |= {ord("A"), ord("."), ord("="), 0, 255, chance.randrange(256)}
        for other in sorted(others - {token[at]}):
            yield token[:at] + bytes([other]) + token[at + 1 :]
        yield token[:at] + token[at + 1 :]
        yield token[:at] + bytes([chance.choice(b"Aw._-=+/ \n\xc3")]) + token[at:]
        yield token[:at]


def swaps(parts: list[list[bytes]]) -> Iterator[bytes]:
    """
    Yield every mixture of the parts of several tokens that is none of them.
    """
    for head in parts:
        for body in parts:
            for tail in parts:
                if not (head is body is tail):
                    yield b".".join((head[0], body[1], tail[2]))


async def test_no_mutation_of_a_good_token_is_taken(verifier, claims):
    """
    More than ten thousand near misses: each byte flipped, lost or doubled, parts swapped.
    """
    tokens = [signed(header, claims, key) for header, key in list(SIGNERS.values())[:5]]
    tokens.append(signed(HEADER, claims | {"sub": "u2"}, RSA))
    foreign = [signed(HEADER, claims, FOREIGN), signed(SIGNERS["ES256"][0], claims, FOREIGN_EC)]
    tried = 0
    for token in (tokens[0], tokens[2]):
        for mutation in flips(token):
            assert verifier.look(mutation) is None, mutation
            tried += 1
    mixed = [token.split(b".") for token in tokens + foreign]
    for mutation in (*foreign, *swaps(mixed)):
        # Two heads over the same claims, each with its own signature, are the tokens themselves
        if mutation not in tokens:
            assert verifier.look(mutation) is None, mutation
            tried += 1

    assert tried > 10_000
    assert all(verifier.look(token) is not None for token in tokens)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(max_size=3), PLAIN, max_size=2)
NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "jwk", "b64", "iss", "aud", "exp", "nbf", "iat"]
)
MEMBERS = st.dictionaries(NAMES, JSON, max_size=4)


@given(header=MEMBERS, more=MEMBERS, body=st.binary(max_size=64))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_json_a_token_holds_nothing_crashes(verifier, claims, header, more, body):
    """
    Signed by nobody, with members of any type: None, and never an exception.
    """
    for head in (header, HEADER | header):
        for said in (claims | more, more):
            start = b64(json.dumps(head)) + b"." + b64(json.dumps(said))
            assert verifier.look(start + b"." + b64(b"s" * 256)) is None
    assert verifier.look(body) is None
    assert verifier.look(b".".join([b64(json.dumps(HEADER)), b64(body), b64(body)])) is None

from __future__ import annotations

import json

import pytest

from proxy.callers.jwks import read_keys
from proxy.callers.jws import MAX_TOKEN, Jwt, decoded, read_jwt
from tests.callers.publisher import FOREIGN, HEADER, P256, RSA, SIGNERS, b64, jwk, signed


def read(token: bytes) -> Jwt:
    """
    Read a token that is one.
    """
    found = read_jwt(token)
    assert found is not None
    return found


@pytest.mark.parametrize(("header", "key"), SIGNERS.values(), ids=SIGNERS.keys())
def test_a_key_knows_what_it_signed(header, key):
    """
    The key that signed says yes, another of its type and one of another type say no.
    """
    published = {"keys": [jwk(each, "x") for each in (key, FOREIGN, P256) if each is not None]}
    own, *others = read_keys(json.dumps(published).encode())
    token = read(signed(header, {"sub": "u1"}, key))

    assert own.signed(token)
    assert [each.signed(token) for each in others if each.fingerprint != own.fingerprint] == [
        False
    ] * (2 - (key is P256))


def test_a_key_for_one_algorithm_is_for_no_other():
    """
    RFC 8725 §3.1: a key that is published for PS256 verifies nothing else, whoever asks it.
    """
    published = json.dumps({"keys": [jwk(RSA, "r", alg="PS256")]}).encode()
    (key,) = read_keys(published)

    assert key.signed(read(signed(HEADER | {"alg": "PS256"}, {}, RSA)))
    assert not key.signed(read(signed(HEADER, {}, RSA)))


@pytest.mark.parametrize(
    "algorithm", ["none", "HS256", "HS512", "RS512", "ES512", "ES256K", "", "x"]
)
def test_only_listed_algorithms_are_read(algorithm):
    """
    A token of any other has no key that could be looked for.
    """
    token = b".".join((b64(json.dumps(HEADER | {"alg": algorithm})), b64("{}"), b"AA"))

    assert read_jwt(token) is None
    assert read_jwt(token.replace(token.partition(b".")[0], b64(json.dumps(HEADER)))) is not None


def test_a_token_of_more_than_eight_kibibytes_is_not_read():
    """
    The size is looked at before anything else.
    """
    token = signed(HEADER, {"x": "y" * 2 * MAX_TOKEN}, RSA)

    assert read_jwt(token) is None


@pytest.mark.parametrize("part", [b"A", b"AB", b"AAB", b"AAAAA", b"A=", b"A A", b"A+", b"\xff"])
def test_base64_has_one_spelling(part):
    """
    What another decoder would forgive is refused: stray bits, padding, the other alphabet.
    """
    with pytest.raises(ValueError):
        decoded(part)


def test_a_token_has_no_repr():
    """
    It is a credential until it is known not to be.
    """
    assert "canary" not in repr(read(signed(HEADER, {"sub": "canary"}, RSA)))

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.key import parse_pem
from proxy.core.keyfile import KeyFile, parse_application_key, parse_key_json
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

CANARY = "hunter2Canary"


def pem(key, *, form=PrivateFormat.TraditionalOpenSSL, lock=None) -> str:
    """
    Return *key* as PEM.
    """
    return str(key.private_bytes(Encoding.PEM, form, lock or NoEncryption()), "ascii")


@pytest.fixture(scope="module")
def key():
    """
    A key of ZITADEL's default size.
    """
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def text(key):
    """
    A function that returns a key file with changes; None leaves a field out.
    """

    def build(**changes) -> Secret:
        data: dict[str, object] = {
            "type": "serviceaccount",
            "keyId": "100509901696068329",
            "key": pem(key),
            "expirationDate": "2030-01-31T00:00:00Z",
            "userId": "100507859606888466",
        }
        data |= changes
        return Secret(
            json.dumps({name: value for name, value in data.items() if value is not None})
        )

    return build


def test_a_service_users_key_is_read(text, key):
    """
    Ids, key and end, from the file as it was downloaded.
    """
    found = parse_key_json(text())

    assert found == KeyFile(
        key_id="100509901696068329",
        user_id="100507859606888466",
        key=key,
        expires=1896048000.0,
    )
    assert found.key.private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("date", "expires"),
    [
        (None, None),
        ("9999-12-31T23:59:59Z", None),
        ("2030-01-31T00:00:00Z", 1896048000.0),
        ("2030-01-31T02:00:00+02:00", 1896048000.0),
        ("2030-01-31T00:00:00.123456789Z", 1896048000.123456),
        ("2030-01-31T00:00:00", 1896048000.0),
    ],
)
def test_a_key_ends_when_its_file_says(date, expires, text):
    """
    Year 9999 and no date at all both mean never.
    """
    assert parse_key_json(text(expirationDate=date)).expires == expires


def test_pkcs8_is_as_good_as_pkcs1(text, key):
    """
    Both spellings of an RSA key are taken.
    """
    eight = pem(key, form=PrivateFormat.PKCS8)

    assert parse_key_json(text(key=eight)).key.private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "application", "appId": "a"}, "an application's key; a service user's is needed"),
        ({"type": CANARY}, "no service user's key"),
        ({"type": None}, "no service user's key"),
        ({"keyId": None}, "lacks a usable keyId;"),
        ({"keyId": 5, "userId": ""}, "lacks a usable keyId and userId"),
        ({"keyId": "a\nb"}, "lacks a usable keyId"),
        ({"keyId": "x" * 201}, "lacks a usable keyId"),
        ({"key": None}, "lacks a usable key;"),
        ({"key": CANARY}, "not readable as PEM"),
        ({"expirationDate": CANARY}, "expirationDate is no date"),
        ({"expirationDate": 5}, "expirationDate is no date"),
    ],
    ids=str,
)
def test_another_files_reason_says_what_is_needed(changes, reason, text):
    """
    Each mistake has its words, and none of them repeats the file.
    """
    with pytest.raises(CredentialInvalid) as caught:
        parse_key_json(text(**changes))

    assert reason in caught.value.reason
    assert CANARY not in caught.value.reason


@pytest.mark.parametrize(
    "content", ["", CANARY, "[]", "5", "{", "[" * 60000, '"x"'], ids=lambda text: text[:8]
)
def test_what_is_no_json_object_is_refused(content):
    """
    However it fails to be JSON; deep nesting too.
    """
    with pytest.raises(CredentialInvalid, match="this is no key JSON") as caught:
        parse_key_json(Secret(content))

    assert caught.value.__context__ is None


def test_a_bare_key_is_pointed_to_its_own_setting(key):
    """
    A PEM file given as key_file belongs to key_pem_file.
    """
    with pytest.raises(CredentialInvalid, match="write key_pem_file with key_id and user_id"):
        parse_key_json(Secret(pem(key)))


def test_keys_that_cannot_sign_for_zitadel_are_refused(key):
    """
    Encrypted, elliptic, short, public and broken keys each have their reason.
    """
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = {
        pem(key, lock=BestAvailableEncryption(b"x")): "is encrypted",
        pem(key, form=PrivateFormat.PKCS8, lock=BestAvailableEncryption(b"x")): "is encrypted",
        pem(curve): "is not RSA",
        pem(edwards, form=PrivateFormat.PKCS8): "is not RSA",
        pem(rsa.generate_private_key(65537, 1024)): "shorter than 2048 bits",
        public: "not readable as PEM",
        pem(key)[:400]: "not readable as PEM",
        "\ud800": "not readable as PEM",
    }
    for text, reason in keys.items():
        with pytest.raises(CredentialInvalid, match=reason):
            parse_pem(Secret(text))


@given(
    st.text()
    | st.recursive(
        st.none() | st.text(),
        lambda x: st.dictionaries(st.sampled_from(["type", "key", "keyId", "x"]), x),
    ).map(json.dumps)
)
def test_any_text_is_read_or_refused(text):
    """
    Nothing but CredentialInvalid comes out.
    """
    with pytest.raises(CredentialInvalid):
        parse_key_json(Secret(text))


def test_an_applications_key_is_read_as_a_client_that_signs(text, key):
    """
    What ZITADEL's console downloads for an API application.
    """
    found = parse_application_key(text(type="application", clientId="1@app", appId="2"))

    assert (found.client_id, found.key.key_id, found.key.algorithm) == (
        "1@app",
        "100509901696068329",
        "RS256",
    )
    assert (
        found.key.fingerprint
        == parse_application_key(
            text(type="application", clientId="1@app", key=pem(key, form=PrivateFormat.PKCS8))
        ).key.fingerprint
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "no application's key"),
        ({"type": "application"}, "lacks a usable clientId"),
        ({"type": "application", "clientId": "a\nb"}, "lacks a usable clientId"),
        ({"type": "application", "clientId": "1", "keyId": None, "key": ""}, "keyId and key"),
        ({"type": "application", "clientId": "1", "key": CANARY}, "not readable as PEM"),
    ],
    ids=["a service user's", "without client", "odd client", "without key", "no key"],
)
def test_another_file_than_an_applications_key_is_refused(text, changes, words):
    """
    The reason says what is wrong, and holds nothing of the file.
    """
    with pytest.raises(CredentialInvalid, match=words) as caught:
        parse_application_key(text(**changes))
    assert CANARY not in str(caught.value)

"""
A folder with every kind of file a configuration may name, good and bad.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

CANARY = "hunter2Canary"
"""Planted where no secret belongs; no message may hold it."""


def pem(key, *, form=PrivateFormat.TraditionalOpenSSL, passphrase=None) -> str:
    """
    Return *key* as PEM, PKCS#1 unless told otherwise.
    """
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, form, lock), "ascii")


def key_json(**changes) -> str:
    """
    Return a key file's text; None leaves a field out.
    """
    data = {"type": "serviceaccount", "keyId": "k1", "key": "", "userId": "u1", **changes}
    return json.dumps({name: value for name, value in data.items() if value is not None})


@pytest.fixture
def canary() -> str:
    """
    A secret that stands where none belongs.
    """
    return CANARY


@pytest.fixture
def environ() -> dict[str, str]:
    """
    An environment with a token, an empty variable, and a token with its scheme.
    """
    return {"ZITADEL_PAT": "pat-1", "EMPTY": "", "BEARER": f"Bearer {CANARY}"}


@pytest.fixture(scope="session")
def rsa_key():
    """
    A key of ZITADEL's default size.
    """
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def contents(rsa_key) -> dict[str, str]:
    """
    Text by file name.
    """
    authority, other = trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost")
    good = pem(rsa_key)
    return {
        "key.json": key_json(key=good, expirationDate="9999-12-31T23:59:59Z"),
        "application.json": key_json(type="application", key=good, appId="a", clientId="c"),
        "other.json": key_json(key=good, keyId="k2"),
        "ending.json": key_json(key=good, keyId="k3", expirationDate="2027-02-01T00:00:00Z"),
        "expired.json": key_json(key=good, expirationDate="2021-03-04T00:00:00Z"),
        "no-id.json": key_json(key=good, keyId=None),
        "key.pem": good,
        "pkcs8.pem": pem(rsa_key, form=PrivateFormat.PKCS8),
        "locked.pem": pem(rsa_key, passphrase=b"x"),
        "short.pem": pem(rsa.generate_private_key(65537, 1024)),
        "ec.pem": pem(ec.generate_private_key(ec.SECP256R1())),
        "secret": "s3cret\n",
        "blank": " \n",
        "lines": f"{CANARY}\n{CANARY}\n",
        "open": CANARY,
        "big": CANARY * 8000,
        "ca.pem": authority.cert_pem.bytes().decode(),
        "server.pem": server.cert_chain_pems[0].bytes().decode(),
        "server.key": server.private_key_pem.bytes().decode(),
        "locked.key": pem(rsa_key, form=PrivateFormat.PKCS8, passphrase=b"x"),
        "other.key": other.issue_cert("localhost").private_key_pem.bytes().decode(),
    }


@pytest.fixture
def folder(tmp_path: Path, contents) -> Path:
    """
    A folder with those files, readable by their owner only, but for `open`; a pipe; a folder.
    """
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "latin1").write_bytes(b"caf\xe9")
    (tmp_path / "latin1").chmod(0o600)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("secret")
    return tmp_path

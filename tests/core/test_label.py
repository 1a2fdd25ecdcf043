"""
What events say of credentials.
"""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.credential import (
    ClientKey,
    ClientSecret,
    Exchange,
    FixedToken,
    Issuer,
    Party,
    PrivateKey,
    ServiceUser,
    SystemKey,
)
from proxy.core.key import SigningKey
from proxy.core.label import key_id, label
from proxy.core.secret import Secret

KEY: Any = None  # nobody looks at it
SIGNING = SigningKey(KEY, "RS256", "print", "key-7")
NAMELESS = SigningKey(KEY, "RS256", "print")
SECRET = ClientSecret("reporter", Secret("canary-secret"))
ISSUER = Issuer("zitadel", "https://issuer.test")


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (PrivateKey("key-1", "user-1", KEY, "print"), "key-1"),
        (ClientKey("reporter", SIGNING), "key-7"),
        (ClientKey("reporter", NAMELESS), None),
        (SystemKey("system", SIGNING), "key-7"),
        (Exchange(ClientKey("broker", SIGNING), Party("type")), "key-7"),
        (Exchange(SECRET, Party("type")), None),
        (SECRET, None),
        (FixedToken(Secret("canary-token")), None),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_a_key_is_told_by_its_id(credential, expected):
    """
    Keys with a name have one, also that of a client that exchanges; nothing else does.
    """
    assert key_id(credential) == expected


def test_a_label_names_and_shows_nothing():
    """
    Names, fingerprints of what nobody made up, and the first key's id; never a secret.
    """
    key = PrivateKey("key-1", "user-1", KEY, "print-1")
    spare = PrivateKey("key-2", "user-1", KEY, "print-2")

    assert label(ServiceUser("a", ISSUER, key, spares=(spare,))) == {
        "service_user": "a",
        "method": "private_key_jwt",
        "fingerprint": "print-1",
        "key_id": "key-1",
        "of": 2,
    }
    assert label(ServiceUser("b", ISSUER, SECRET)) == {
        "service_user": "b",
        "method": "client_credentials",
    }

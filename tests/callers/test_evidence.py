from __future__ import annotations

from base64 import b64encode

import pytest

from proxy.callers.evidence import UNUSABLE, Evidence, shown

PROXY, KEY, OWN = b"proxy-authorization", b"x-api-key", b"authorization"


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ({}, None),
        ({KEY: b"k"}, b"k"),
        ({PROXY: b"Bearer k"}, b"k"),
        ({PROXY: b"bEARER  k "}, b"k"),
        ({PROXY: b"Bearer a", KEY: b"b"}, b"a"),
        ({PROXY: b"Basic a", KEY: b"b"}, b"b"),
        ({PROXY: b"Basic a"}, UNUSABLE),
        ({PROXY: b"Bearer"}, UNUSABLE),
        ({PROXY: b""}, UNUSABLE),
        ({KEY: b""}, UNUSABLE),
        ({OWN: b"Bearer k"}, None),
        ({PROXY: b"Basic " + b64encode(b"any:k")}, b"k"),
        ({PROXY: b"bASIC  " + b64encode(b":k:l ") + b" "}, b"k:l "),
        ({PROXY: b"Basic " + b64encode(b"any:k"), KEY: b"b"}, b"k"),
        ({PROXY: b"Basic " + b64encode(b"k:")}, UNUSABLE),
        ({PROXY: b"Basic " + b64encode(b"k")}, UNUSABLE),
        ({PROXY: b"Basic " + b64encode(b"any:k").rstrip(b"=") + b"!"}, UNUSABLE),
        ({PROXY: b"Basic " + b64encode(b"a:b") + b", Basic " + b64encode(b"c:d")}, UNUSABLE),
        ({PROXY: b"Basic"}, UNUSABLE),
        ({OWN: b"Basic " + b64encode(b"any:k")}, None),
    ],
    ids=str,
)
def test_a_credential_is_read_from_the_proxys_own_headers(fields, credential):
    """
    Proxy-Authorization by Bearer or as the password of Basic, in any case, counts before X-Api-Key;
    what can be no credential is shown all the same.
    """
    assert shown(fields.get, authorization=False) == credential


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ({OWN: b"Bearer k"}, b"k"),
        ({OWN: b"Basic k"}, UNUSABLE),
        ({OWN: b"Bearer a, Bearer b"}, b"a, Bearer b"),
        ({KEY: b"b", OWN: b"Bearer a"}, b"b"),
        ({}, None),
    ],
    ids=str,
)
def test_authorization_counts_where_it_is_asked_for(fields, credential):
    """
    It is looked at after the proxy's own headers; another scheme there shows something, too.
    """
    assert shown(fields.get, authorization=True) == credential


def test_a_credential_is_not_printed():
    """
    What a caller shows is a secret.
    """
    assert "canary" not in repr(Evidence(credential=b"canary"))

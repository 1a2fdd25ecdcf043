from __future__ import annotations

import base64

import pytest

from proxy.checkup.claims import audience, claims_of, dropped
from proxy.core.secret import Secret
from proxy.core.token import static_token

AUD = "urn:zitadel:iam:org:project:id:{}:aud"


def token(text):
    """
    Return a token with this text.
    """
    return static_token(Secret(text), born=0.0)


def jwt(payload):
    """
    Return a JWT's text with this payload.
    """
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.sig"


def test_claims_of_a_jwt():
    """
    A JWT's payload is read without its key.
    """
    assert claims_of(token(jwt(b'{"sub": "12"}'))) == {"sub": "12"}


@pytest.mark.parametrize(
    "text",
    ["opaque", "a.b", "a.b.c.d", "a.!!!.c", jwt(b"[1]"), jwt(b"no json"), jwt(b"\xff")],
    ids=["opaque", "two", "four", "no base64", "list", "no json", "no utf-8"],
)
def test_what_is_no_jwt_has_no_claims(text):
    """
    Whatever cannot be read counts as opaque.
    """
    assert claims_of(token(text)) is None


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"aud": "one"}, ("one",)),
        ({"aud": ["one", "two"]}, ("one", "two")),
        ({"aud": [1, None, "a\nb"]}, ("a b",)),
        ({"aud": {"a": 1}}, ()),
        ({}, ()),
    ],
    ids=["text", "list", "odd", "object", "none"],
)
def test_audience(claims, named):
    """
    `aud` is a text or a list of texts; anything else names nobody.
    """
    assert audience(claims) == named


@pytest.mark.parametrize(
    ("scopes", "claims", "lost"),
    [
        (("openid", "profile"), {"aud": []}, ()),
        ((AUD.format("7"),), {"aud": ["7"]}, ()),
        ((AUD.format("7"), AUD.format("8")), {"aud": ["7"]}, (AUD.format("8"),)),
        ((AUD.format("zitadel"),), {"aud": ["123"]}, ()),
        (("openid", "read", "write"), {"scope": "read"}, ("write",)),
        (("read", "write"), {"scp": ["read", "write"]}, ()),
        (("read",), {"scope": 7}, ()),
    ],
    ids=["unsaid", "kept", "dropped", "ZITADEL's own", "scope", "scp", "odd"],
)
def test_scopes_a_token_shows_no_trace_of(scopes, claims, lost):
    """
    Only what a token would show can be missed: an audience, or a scope where it has such a claim.
    """
    assert dropped(scopes, claims) == lost


def test_claims_are_read_as_hostile_data():
    """
    A payload nested too deeply is not read.
    """
    assert claims_of(token(jwt(b"[" * 20_000))) is None

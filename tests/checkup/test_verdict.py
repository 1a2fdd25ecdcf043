from __future__ import annotations

import base64
import json

import pytest
from joserfc.jwk import ECKey, RSAKey

from proxy.checkup.verdict import api_said, day, span, token_said, userinfo_said
from proxy.core.credential import (
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
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token, static_token

ISSUER = Issuer("zitadel", "https://acme.example")
CLIENT = ClientSecret("reporter", Secret("s3cr3t"))
PAT = Secret("p4t-canary-p4t-canary")
SYSTEM = SystemKey("ops", SigningKey(ECKey.generate_key("P-256"), "ES256", "fingerprint"))
NOW = 1_800_000_000.0


def user(credential):
    """
    Return a service user with this credential.
    """
    return ServiceUser("someone", ISSUER, credential, ("openid",))


def userinfo(status, body=b"", expires=None):
    """
    Return the step an answer of userinfo makes.
    """
    who = user(FixedToken(PAT, expires))
    return userinfo_said(status, body, who, static_token(PAT, born=0.0), NOW)


@pytest.mark.parametrize(
    ("status", "ok", "said"),
    [
        (401, False, "does not know the token"),
        (403, None, "not for such tokens here (answered 403)"),
        (404, None, "(answered 404)"),
        (429, False, "throttles"),
        (500, False, "fails (answered 500)"),
        (503, False, "fails (answered 503)"),
    ],
)
def test_userinfo_by_its_status(status, ok, said):
    """
    Issuers that keep userinfo for people are no failure; those in trouble are.
    """
    step = userinfo(status)

    assert step.ok is ok
    assert said in step.said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"sub": "12"}, "it is user 12"),
        ({"sub": "12", "preferred_username": "ops"}, "it is user 12 (ops)"),
        ({"sub": "ops", "name": "ops"}, "it is user ops"),
        ({"sub": 12}, "its answer names nobody"),
        ({}, "its answer names nobody"),
        ({"sub": "a\u001b[31mb\nc"}, "it is user a [31mb c"),
        ({"sub": PAT.reveal()}, "it is user ***"),
        ({"sub": "x" * 500}, "it is user ***"),
    ],
    ids=["id", "name", "same", "number", "nothing", "control", "token", "long"],
)
def test_who_userinfo_says_it_is(answer, said):
    """
    The issuer's text is quoted with care, and the token never.
    """
    step = userinfo(200, json.dumps(answer).encode())

    assert step.ok
    assert step.said.endswith(said)


def test_a_key_of_another_user_is_warned_about():
    """
    Userinfo that names another user than the key file does is worth a look.
    """
    key = RSAKey.generate_key(2048)
    someone = user(PrivateKey("7", "13", key, "fingerprint"))

    step = userinfo_said(200, b'{"sub": "12"}', someone, static_token(PAT, born=0.0), NOW)

    assert step.ok
    assert step.warns
    assert "user 13" in step.instead


def test_userinfo_that_is_no_json_object():
    """
    A 200 counts whatever its body: some issuers sign it.
    """
    assert userinfo(200, b"eyJ.eyJ.sig").ok


@pytest.mark.parametrize(
    ("credential", "status", "body", "ok", "said"),
    [
        (CLIENT, 200, b"{}", True, "take the token: a, b, c and 1 more"),
        (CLIENT, 404, b'{"code":5}', None, "not ZITADEL's APIs"),
        (CLIENT, 404, b"unable to set instance using origin", False, "does not know the host"),
        (CLIENT, 403, b"", False, "fail (answered 403)"),
        (CLIENT, 302, b"", False, "fail (answered 302)"),
        (SYSTEM, 404, b"", True, "take the token"),
        (SYSTEM, 403, b"", True, "take the token"),
        (SYSTEM, 401, b"", False, "do not take"),
        (SYSTEM, 404, b"unable to set instance", False, "does not know the host"),
        (FixedToken(PAT), 401, b"", False, "do not take"),
        (Exchange(CLIENT, Party("x", "y")), 403, b"", False, "name an actor"),
    ],
    ids=[
        "well",
        "elsewhere",
        "wrong instance",
        "forbidden",
        "redirect",
        "system user without a self",
        "system user without a role",
        "unknown system user",
        "system user at a wrong instance",
        "personal token",
        "actor",
    ],
)
def test_what_an_api_answers(credential, status, body, ok, said):
    """
    200 is well, 404 is another kind of issuer, and a system user need not be somebody.
    """
    step = api_said(status, body, user(credential), ("a", "b", "c", "d"))

    assert step.ok is ok
    assert said in step.said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (300, "5 min"),
        (43_199, "12 h"),
        (86_400, "24 h"),
        (86_400 * 69.9, "69 days"),
    ],
)
def test_a_length_of_time(seconds, text):
    """
    It is said in the largest unit that still tells something; days are never rounded up.
    """
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"), [(0.0, "1970-01-01"), (-5.0, "1970-01-01"), (1e15, "9999-12-31")]
)
def test_a_day_that_can_be_written(moment, text):
    """
    A date before or beyond the calendar is drawn into it.
    """
    assert day(moment) == text


def minted(claims=None, note=""):
    """
    Return a new token, a JWT if there are claims.
    """
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    text = "opaque" if claims is None else f"e30.{payload}.sig"
    return Minted(Token(Secret(text), 0.0, 300.0, "minted"), note)


@pytest.mark.parametrize(
    ("new", "elsewhere", "said", "todo", "warns"),
    [
        (minted(), (), "lives 5 min, opaque", "", False),
        (minted(), ("orders",), "lives 5 min, opaque", "introspects (orders)", False),
        (minted({"aud": ["7"]}), ("orders",), "lives 5 min, JWT for 7", "", False),
        (minted({}), (), "lives 5 min, JWT", "", False),
        (minted({"scope": "x"}), (), "has dropped read without a word", "spelling", True),
        (minted(note="expires_in is missing"), (), "since expires_in is missing", "renewed", True),
    ],
    ids=["opaque", "opaque elsewhere", "jwt", "bare jwt", "dropped", "odd"],
)
def test_what_a_new_token_is(new, elsewhere, said, todo, warns):
    """
    A token is well whatever its form; a scope without a trace and an odd answer are warned about.
    """
    asking = ServiceUser("someone", ISSUER, CLIENT, ("openid", "read"))

    step = token_said(new, asking, elsewhere)

    assert step.ok
    assert step.said.endswith(said)
    assert todo in step.instead
    assert bool(step.instead) == bool(todo)
    assert step.warns == warns

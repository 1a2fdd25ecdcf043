from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey

from proxy.checkup.diagnosis import Circumstances, no_token
from proxy.core.credential import ClientKey, Issuer, ServiceUser
from proxy.core.key import SigningKey
from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable

DAY = 86_400.0
API_SCOPE = "urn:zitadel:iam:org:project:id:zitadel:aud"


def oks(steps):
    """
    Return how the steps ended, in a word each.
    """
    words = {True: "ok", False: "failed", None: "-"}
    return " ".join(f"{name}:{words[step.ok]}" for name, step in steps.items())


def fault(name):
    """
    Return what switches a fault of the sandbox on.
    """
    return lambda desk: desk.sandbox.faults.set(name)


def aud_is_wrong(desk):
    """
    Name a token endpoint, and a url the issuer does not call itself.
    """
    desk.issuer["token_endpoint"] = f"{desk.sandbox.url}/oauth/v2/token"
    desk.issuer["url"] = desk.sandbox.url.replace("127.0.0.1", "localhost")


def key_expired(desk):
    """
    Use a key whose file says that it has ended.
    """
    user = desk.sandbox.users["provisioner"]
    text = desk.sandbox.add_key(user, expires=desk.sandbox.instance.now() - DAY)
    desk.user("provisioner")["key_file"] = desk.keep("old.json", text)


def key_unseen(desk):
    """
    Use a key the issuer cannot see yet.
    """
    user = desk.sandbox.users["provisioner"]
    text = desk.sandbox.add_key(user, visible_after=60.0)
    desk.user("provisioner")["key_file"] = desk.keep("new.json", text)


def key_of_another(desk):
    """
    Use a key with another user's id.
    """
    other = desk.sandbox.add_user("other")
    key = json.loads(desk.sandbox.add_key(other).reveal())
    key["userId"] = desk.sandbox.users["provisioner"].user_id
    desk.user("provisioner")["key_file"] = desk.keep("mixed.json", json.dumps(key))


def locked(desk):
    """
    Lock everybody.
    """
    for user in desk.sandbox.users:
        user.active = False


@pytest.mark.parametrize(
    ("spoil", "said", "instead"),
    [
        (fault("key-unknown"), "refuses the signed assertion (answered 400", "so it is the key"),
        (key_unseen, "refuses the signed assertion", "made seconds ago"),
        (key_of_another, "refuses the signed assertion", "of another user or instance"),
        (key_expired, "has expired", "create a new one for user"),
        (aud_is_wrong, "refuses the signed assertion", "is not byte for byte what the issuer"),
        (fault("token-500"), "though otherwise well", "so it is the key"),
        (locked, "locked or deactivated", "an administrator must reactivate it"),
        (fault("token-redirect"), "redirects, which is not followed", "as token_endpoint"),
        (fault("token-429"), "throttles", "wait a little"),
        (fault("token-503"), "in trouble (answered 503)", "the issuer's trouble"),
        (fault("token-html"), "is not JSON", "in front of it"),
        (fault("token-close"), "closed the connection", "discovery was answered a moment ago"),
        (fault("token-invalid-scope"), "does not grant a scope", "check scopes"),
        (fault("token-type"), "another token_type", "only Bearer"),
        (fault("token-400-text"), "not an issuer's", "is something else in front of it?"),
    ],
    ids=[
        "unknown key",
        "new key",
        "another's key",
        "expired key",
        "aud",
        "500",
        "locked",
        "redirect",
        "429",
        "503",
        "html",
        "closed",
        "scope",
        "token type",
        "text",
    ],
)
async def test_why_a_key_gets_no_token(desk, spoil, said, instead):
    """
    A refused mint names the likely cause by what the steps before have excluded.
    """
    desk.only("provisioner")
    spoil(desk)

    steps = (await desk.run())["provisioner"]

    assert steps["mint"].ok is False
    assert said in steps["mint"].said
    assert instead in steps["mint"].instead
    assert steps["userinfo"].said == "not tried"
    assert (steps["mint"].took is None) == ("has expired" in said)


async def test_an_internal_error_that_is_an_outage(desk):
    """
    If userinfo fails too, the 500 is not laid to the assertion.
    """
    desk.only("provisioner")
    desk.sandbox.faults.set("token-500")
    desk.sandbox.faults.set("userinfo-500")

    steps = (await desk.run())["provisioner"]

    assert "on userinfo too" in steps["mint"].said
    assert "outage" in steps["mint"].instead


async def test_a_clock_is_named_beside_a_refused_key(desk):
    """
    With a clock that is off nobody claims that the time is right.
    """
    desk.only("provisioner")
    desk.wall = -300.0
    desk.sandbox.faults.set("key-unknown")

    steps = (await desk.run())["provisioner"]

    assert steps["mint"].instead.startswith(
        "aud (url) is right, as seen above. Likely: this host's"
    )
    assert "300 s behind" in steps["mint"].instead


def suffixed(desk):
    """
    Let the login name have a suffix.
    """
    desk.sandbox.users["reporter"].login_name = "reporter@acme.localhost"


def by_id(desk):
    """
    Write the user's id for its login name.
    """
    desk.user("reporter")["client_id"] = desk.sandbox.users["reporter"].user_id


def rotated(desk):
    """
    Make a new secret and do not store it.
    """
    desk.sandbox.add_secret(desk.sandbox.users["reporter"])


def without_secret(desk):
    """
    Take the client secret away.
    """
    desk.sandbox.users["reporter"].secret = None


@pytest.mark.parametrize(
    ("spoil", "said", "instead"),
    [
        (suffixed, "client not found", 'client_id "reporter" must be the login name'),
        (suffixed, "client not found", "this one has none"),
        (by_id, "client not found", "looks like a user id"),
        (rotated, "the client secret is wrong", "was it rotated?"),
        (fault("secret-wrong"), "the client secret is wrong", "store the newest"),
        (without_secret, "a user without a client secret", 'service user "reporter"'),
        (fault("token-not-active"), "locked or deactivated", "reactivate"),
        (fault("token-unauthorized-client"), "may not use this grant", "it says it offers"),
        (fault("token-500"), "in trouble (answered 500", "the issuer's trouble"),
    ],
    ids=[
        "login name",
        "suffix",
        "user id",
        "rotated",
        "wrong",
        "no secret",
        "locked",
        "grant",
        "500",
    ],
)
async def test_why_a_client_gets_no_token(desk, spoil, said, instead):
    """
    A refused client is told which half is wrong; a 500 is an outage to it.
    """
    desk.only("reporter")
    spoil(desk)

    mint = (await desk.run())["reporter"]["mint"]

    assert mint.ok is False
    assert said in mint.said
    assert instead in mint.instead


async def test_a_token_that_is_not_meant_for_the_apis(desk):
    """
    A 401 of an API for a token that userinfo takes is laid to the missing scope, routes named.
    """
    desk.only("provisioner")
    desk.user("provisioner")["scopes"] = ["openid"]

    steps = (await desk.run())["provisioner"]

    assert oks(steps) == "discovery:ok clock:ok mint:ok userinfo:ok api:failed"
    assert "it is alive, but not meant for them" in steps["api"].said
    assert f"add the scope {API_SCOPE} to provisioner" in steps["api"].instead
    assert "routes zitadel-api, zitadel-auth" in steps["api"].instead
    assert desk.paused == []


@pytest.mark.parametrize(
    ("name", "said", "instead"),
    [
        ("api-401", "do not take the token", f"the scope {API_SCOPE} was asked for"),
        ("api-500", "fail (answered 500)", "the issuer's trouble"),
        ("api-429", "throttle (answered 429)", "wait a little"),
    ],
)
async def test_why_the_apis_refuse(desk, name, said, instead):
    """
    Other refusals of the APIs are not laid to the scope.
    """
    desk.only("provisioner")
    desk.sandbox.faults.set(name)

    api = (await desk.run())["provisioner"]["api"]

    assert api.ok is False
    assert said in api.said
    assert instead in api.instead


@pytest.mark.parametrize(
    ("expires", "said"),
    [(None, "does not know the token"), ("2026-01-31", "which ended on 2026-01-31")],
    ids=["unknown", "ended"],
)
async def test_a_dead_personal_access_token(desk, expires, said):
    """
    Userinfo's 401 says that it is dead, and since when if that is written.
    """
    desk.only("dev")
    desk.sandbox.revoke(desk.sandbox.users["dev"])
    if expires:
        desk.user("dev")["expires"] = expires

    steps = (await desk.run())["dev"]

    assert oks(steps) == "discovery:ok clock:ok mint:- userinfo:failed api:-"
    assert said in steps["userinfo"].said
    assert "make a new one in the console" in steps["userinfo"].instead
    assert desk.paused == []


async def test_userinfo_in_trouble(desk):
    """
    A 5xx of userinfo is the issuer's trouble.
    """
    desk.only("dev")
    desk.sandbox.faults.set("userinfo-500")

    assert "fails (answered 500)" in (await desk.run())["dev"]["userinfo"].said


KEY = SigningKey(ECKey.generate_key("P-256"), "ES256", "fingerprint")


@pytest.mark.parametrize(
    ("error", "seen", "said", "instead"),
    [
        (
            MintRejected("not accepted (answered 401 invalid_client)"),
            Circumstances(named=True),
            "refuses the signed assertion (answered 401 invalid_client)",
            "so it is the key",
        ),
        (
            MintRejected("not accepted (answered 400 server_error: crypto/rsa: verification)"),
            Circumstances(named=True),
            "refuses the signed assertion (answered 400",
            "so it is the key",
        ),
        (
            MintUnavailable("in trouble (answered 503 server_error)"),
            Circumstances(named=True),
            "in trouble (answered 503",
            "the issuer's trouble",
        ),
        (
            MintUnavailable("failed (answered 500 server_error)", doubtful=True),
            Circumstances(),
            "or is in trouble itself",
            "url https://acme.example is not byte for byte",
        ),
        (
            MintRejected("says no (answered 400 odd_code)"),
            Circumstances(),
            "(answered 400 odd_code)",
            "look at the issuer's log for the reason",
        ),
        (MintTimeout("slow"), Circumstances(), "slow", "firewall"),
        (MintUnavailable("x refuses connections; up?"), Circumstances(), "x refuses", "up?"),
        (CredentialInvalid("no good"), Circumstances(), "no good", "replace the credential"),
    ],
    ids=["plain", "2.42", "outage", "500 unseen", "odd", "timeout", "refused", "credential"],
)
def test_what_other_issuers_answer(error, seen, said, instead):
    """
    A refusal is laid to the assertion by its code and its status, not by either alone.
    """
    issuer = Issuer("acme", "https://acme.example")
    user = ServiceUser("someone", issuer, ClientKey("someone", KEY))

    words = no_token(error, user, seen)

    assert said in words.said
    assert instead in words.instead

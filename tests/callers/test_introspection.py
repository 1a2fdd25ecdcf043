from __future__ import annotations

import asyncio
import base64
import traceback
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from proxy.callers.introspection import (
    BELIEVED_FOR,
    LIMIT,
    MAX_AT_ONCE,
    MAX_WAITING,
    PAUSE,
    IntrospectionVerifier,
)
from proxy.callers.verdicts import BAD_FOR
from proxy.callers.verifier import PENDING
from proxy.core.credential import ClientKey, ClientSecret, Issuer
from proxy.core.key import signing_key
from proxy.core.keyfile import parse_application_key
from proxy.core.secret import Secret
from proxy.errors import CallerCheckUnavailable
from proxy.sandbox.keys import KeyPair
from proxy.sandbox.server import Sandbox
from tests.callers.publisher import AUDIENCE, issuers_at, publishing
from tests.tokens.bodies import NOT_JSON

TOKEN = b"canary-token"
CLIENT = ClientSecret("app", Secret("canary-secret"))
PEM = KeyPair(RSAKey.generate_key(2048), RSAKey.generate_key(2048)).pem()


@pytest.fixture
async def issuer(time):
    """
    An issuer that says any token is alive for ten minutes.
    """
    async with publishing(time) as publisher:
        publisher.said = {"active": True, "sub": "u1", "exp": int(time.wall) + 600}
        yield publisher


@pytest.fixture
async def make(issuer, issuers, time):
    """
    Makes what is under test.
    """
    made: list[IntrospectionVerifier] = []

    def make(client: ClientSecret | ClientKey = CLIENT, **more: Any) -> IntrospectionVerifier:
        jti = iter(map(str, range(10_000))).__next__
        verifier = IntrospectionVerifier(issuer.issuer, client, issuers, time.clock, jti, **more)
        made.append(verifier)
        return verifier

    yield make
    issuer.open.set()
    for each in made:
        await each.close()


@pytest.fixture
def verifier(make):
    """
    What is under test.
    """
    return make()


async def refusal(verifier: IntrospectionVerifier, token: bytes = TOKEN) -> CallerCheckUnavailable:
    """
    Return why a token could not be asked about.
    """
    with pytest.raises(CallerCheckUnavailable) as caught:
        await verifier.ask(token)
    return caught.value


async def test_a_live_token_is_asked_about_once_a_minute(verifier, issuer, time):
    """
    Its claims are remembered for a minute, counted from the question.
    """
    assert verifier.look(TOKEN) is PENDING
    claims: Any = await verifier.ask(TOKEN)
    time.move(BELIEVED_FOR - 1)

    assert claims["sub"] == "u1"
    assert claims["exp"] == pytest.approx(1_700_000_000 + BELIEVED_FOR, abs=0.01)
    assert verifier.look(TOKEN) == await verifier.ask(TOKEN) == claims
    assert issuer.asked["/introspect"] == 1
    time.move(1)
    assert verifier.look(TOKEN) is PENDING


async def test_a_live_token_is_never_believed_beyond_its_end(verifier, issuer, time):
    """
    What expires within the minute is asked about again then.
    """
    issuer.said = {"active": True, "exp": int(time.wall) + 20, "aud": [AUDIENCE], "scope": "a b"}
    assert await verifier.ask(TOKEN) == {**issuer.said}
    time.move(20)

    assert verifier.look(TOKEN) is PENDING


async def test_a_slow_answer_is_not_believed_for_longer(verifier, issuer, time):
    """
    The minute begins with the question.
    """
    issuer.open.clear()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(verifier.ask(TOKEN))
        await issuer.arrived("/.well-known/openid-configuration")
        issuer.open.set()
        await issuer.arrived("/introspect")
    assert asking.result() is not None
    issuer.open.clear()
    other = b"other-token"
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(verifier.ask(other))
        await issuer.arrived("/introspect", 2)
        time.move(BELIEVED_FOR - 5)
        issuer.open.set()
    time.move(5)

    assert asking.result() is not None
    assert verifier.look(other) is PENDING


async def test_a_dead_token_is_asked_about_again_after_seconds(verifier, issuer, time):
    """
    `active: false` is remembered for ten seconds.
    """
    issuer.said = {"active": False}
    assert await verifier.ask(TOKEN) is None
    time.move(BAD_FOR - 1)
    assert verifier.look(TOKEN) is None
    assert await verifier.ask(TOKEN) is None
    assert issuer.asked["/introspect"] == 1
    time.move(1)
    assert verifier.look(TOKEN) is PENDING


NOW = 1_700_000_000
NOT_ALIVE = {
    "expired": {"exp": NOW - 60},
    "exp as text": {"exp": "later"},
    "exp null": {"exp": None},
    "exp true": {"exp": True},
    "not yet": {"nbf": NOW + 120},
    "nbf as text": {"nbf": "now"},
    "another issuer's": {"iss": "https://evil.example"},
    "another audience": {"aud": ["https://other.example"]},
    "no audience": {"aud": None},
}


@pytest.mark.parametrize("change", NOT_ALIVE.values(), ids=NOT_ALIVE.keys())
async def test_an_active_token_must_keep_to_the_terms(make, issuer, change):
    """
    What the issuer says of times, itself and the audience is judged here, too.
    """
    issuer.said = {"active": True, "aud": AUDIENCE, "exp": NOW + 600} | change

    assert await make(audience=AUDIENCE).ask(TOKEN) is None


async def test_what_an_issuer_leaves_out_is_no_fault(verifier, issuer):
    """
    RFC 7662 §2.2: only `active` must be there; `token_type` says nothing here.
    """
    issuer.said = {"active": True, "token_type": "N_A"}

    claims: Any = await verifier.ask(TOKEN)
    assert claims["exp"] == pytest.approx(NOW + BELIEVED_FOR, abs=0.01)


@pytest.mark.parametrize(
    "said", [{}, {"active": "true"}, {"active": 1}, {"active": None}, {"active": [True]}, []]
)
async def test_only_true_is_true(verifier, issuer, said):
    """
    An answer that does not say true or false says nothing about the token.
    """
    issuer.said = said

    assert "introspection answer" in (await refusal(verifier)).reason
    assert verifier.look(TOKEN) is PENDING


@pytest.mark.parametrize("group", NOT_JSON)
async def test_garbage_is_trouble_and_is_not_repeated(verifier, issuer, time, group):
    """
    No answer that is not strict JSON lets anybody in, or gets into a message.
    """
    for body in NOT_JSON[group]:
        issuer.said = body
        time.move(PAUSE)
        error = await refusal(verifier)
        assert "canary" not in error.reason


CREDENTIALS = {
    "empty": b"",
    "a space": b"a b",
    "a new line": b"abc\r\nX: y",
    "not ASCII": "é".encode(),
    "a null": b"\x00",
    "too long": b"a" * 8193,
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS.keys())
async def test_what_can_be_no_token_is_not_asked_about(verifier, issuer, credential):
    """
    At most 8 KiB of visible ASCII.
    """
    assert verifier.look(credential) is None
    assert await verifier.ask(credential) is None
    assert not issuer.asked


async def test_all_who_show_one_token_share_one_question(verifier, issuer):
    """
    A hundred wait for one answer; one that leaves cancels nothing.
    """
    issuer.open.clear()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(verifier.ask(TOKEN)) for _ in range(100)]
        await issuer.arrived("/.well-known/openid-configuration")
        waiting[0].cancel()
        issuer.open.set()

    assert all(each.result() is not None for each in waiting[1:])
    assert issuer.asked["/introspect"] == 1


async def test_only_so_many_questions_are_asked_at_once(verifier, issuer):
    """
    A flood of tokens leaves connections for token requests; beyond the queue it is turned away.
    """
    await verifier.ask(TOKEN)
    issuer.open.clear()
    issuer.most_at_once = 0
    tokens = [f"t{n}".encode() for n in range(MAX_AT_ONCE + MAX_WAITING)]
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(verifier.ask(token)) for token in tokens]
        too_many = group.create_task(refusal(verifier, b"one-too-many"))
        await issuer.arrived("/introspect", 1 + MAX_AT_ONCE)
        error = await refusal(verifier, b"one-more")
        joined = group.create_task(verifier.ask(tokens[-1]))
        issuer.open.set()

    assert "too many tokens" in error.reason
    assert "too many tokens" in too_many.result().reason
    assert verifier._waiting == 0
    assert all(each.result() is not None for each in (*waiting, joined))
    assert issuer.most_at_once == MAX_AT_ONCE


async def test_an_issuer_that_is_down_is_asked_once_a_second(verifier, issuer, time):
    """
    After three failures in a row one question a second is let through; what is remembered holds.
    """
    await verifier.ask(TOKEN)
    issuer.said = web.Response(status=503)
    for number in range(20):
        await refusal(verifier, b"t%d" % number)
    assert issuer.asked["/introspect"] == 1 + LIMIT

    time.move(PAUSE)
    errors = await asyncio.gather(
        *(verifier.ask(b"u%d" % n) for n in range(20)), return_exceptions=True
    )
    assert all(isinstance(error, CallerCheckUnavailable) for error in errors)
    assert issuer.asked["/introspect"] == 2 + LIMIT
    assert verifier.look(TOKEN) is not None

    issuer.said = {"active": True}
    time.move(PAUSE)
    assert await verifier.ask(b"t1") is not None
    assert await verifier.ask(b"t2") is not None
    assert verifier.trouble is None


async def test_a_burst_at_an_issuer_that_is_down_is_cut_short(verifier, issuer):
    """
    Who still waits for a turn when the issuer has failed others asks no more.
    """
    issuer.said = web.Response(status=503)
    errors = await asyncio.gather(
        *(verifier.ask(b"u%d" % n) for n in range(100)), return_exceptions=True
    )

    assert all(isinstance(error, CallerCheckUnavailable) for error in errors)
    assert issuer.asked["/introspect"] <= MAX_AT_ONCE + LIMIT


async def test_one_failure_holds_nobody_back(verifier, issuer):
    """
    It may have been about that one token.
    """
    issuer.said = web.Response(status=500)
    await refusal(verifier)
    issuer.said = {"active": True}

    assert await verifier.ask(b"another") is not None


async def test_an_issuer_that_asks_for_patience_gets_it(verifier, issuer, time):
    """
    Retry-After holds everybody back, up to a minute.
    """
    issuer.said = web.Response(status=429, headers={"Retry-After": "30"})
    assert (await refusal(verifier)).retry_after == 30
    time.move(29)
    await refusal(verifier, b"another")

    assert issuer.asked["/introspect"] == 1


async def test_an_issuer_that_never_answers_is_given_up(issuer, time):
    """
    A question has one deadline, the wait for its turn included.
    """
    issuer.open.clear()
    async with issuers_at(time.clock, timeout=0.05) as way:
        slow = IntrospectionVerifier(issuer.issuer, CLIENT, way, time.clock, lambda: "j")
        assert "within 0.05 s" in (await refusal(slow)).reason
        await slow.close()


async def test_basic_credentials_are_encoded_first(make, issuer):
    """
    RFC 6749 §2.3.1: both halves; and nothing of them in the form.
    """
    await make(ClientSecret("a:b+c", Secret("p%s w"))).ask(TOKEN)

    pair = base64.b64decode(issuer.headers[0]["Authorization"].removeprefix("Basic "))
    assert pair == b"a%3Ab%2Bc:p%25s+w"
    assert issuer.forms == [{"token": TOKEN.decode(), "token_type_hint": "access_token"}]


async def test_credentials_may_go_into_the_form(make, issuer):
    """
    `post`: then there is no header.
    """
    await make(ClientSecret("app", Secret("canary-secret"), auth="post")).ask(TOKEN)

    assert (issuer.forms[0]["client_id"], issuer.forms[0]["client_secret"]) == (
        "app",
        "canary-secret",
    )
    assert "Authorization" not in issuer.headers[0]


@pytest.mark.parametrize("audience", ["issuer", "token_endpoint"])
async def test_a_key_signs_an_assertion_for_each_question(make, issuer, time, audience):
    """
    RFC 7523 §2.2: for the issuer or its token endpoint, by the issuer's clock, never the same twice.
    """
    issuer.behind = 3600.0
    key = signing_key(PEM, key_id="k1")
    verifier = make(ClientKey("app", key, audience=audience))
    await verifier.ask(TOKEN)
    await verifier.ask(b"another")
    first, second = (jwt.decode(form["client_assertion"], key.key).claims for form in issuer.forms)

    assert first["aud"] == (issuer.url if audience == "issuer" else f"{issuer.url}/token")
    assert first["iss"] == first["sub"] == "app"
    assert first["iat"] == pytest.approx(time.wall - 3600, abs=20)
    assert first["jti"] != second["jti"]


async def test_a_refused_client_is_the_operators_trouble_and_no_verdict(verifier, issuer):
    """
    A wrong client secret says nothing about the token; the reason says what to look at, without it.
    """
    words = f"unknown canary-secret for {TOKEN.decode()}"
    issuer.said = web.json_response(
        {"error": "invalid_client", "error_description": words}, status=401
    )
    error = await refusal(verifier)

    assert "answered 401 (invalid_client: unknown *** for ***)" in error.reason
    assert "check the client that asks" in error.reason


async def test_an_endpoint_elsewhere_is_not_asked_unless_it_is_configured(
    verifier, issuer, issuers, time
):
    """
    A discovery document cannot send tokens to another origin.
    """
    issuer.document = {
        "issuer": issuer.url,
        "token_endpoint": f"{issuer.url}/token",
        "introspection_endpoint": "https://evil.example/introspect",
    }
    assert "write introspection_endpoint" in (await refusal(verifier)).reason
    named = Issuer("acme", issuer.url, introspection_endpoint=f"{issuer.url}/introspect")
    other = IntrospectionVerifier(named, CLIENT, issuers, time.clock, lambda: "j")

    assert await other.ask(TOKEN) is not None


async def test_an_endpoint_that_has_moved_is_found_again(verifier, issuer, time):
    """
    A 404 has the discovery document read anew.
    """
    await verifier.ask(b"first")
    issuer.said = web.Response(status=404)
    await refusal(verifier)
    issuer.said = {"active": True}
    await verifier.ask(TOKEN)

    assert issuer.asked["/.well-known/openid-configuration"] == 2


async def test_nothing_shows_a_token_or_a_secret(verifier, issuer):
    """
    Neither a repr nor an error holds either of them.
    """
    await verifier.ask(TOKEN)
    issuer.said = web.json_response({"error": "canary-token2 canary-secret"}, status=400)
    error = await refusal(verifier, b"canary-token2")
    shown = [repr(verifier), repr(verifier._verdicts), repr(vars(verifier)), str(error)]
    shown.append("".join(traceback.format_exception(error)))

    assert not any("canary" in text for text in shown)


async def test_the_sandbox_says_who_shows_its_tokens():
    """
    With an application's secret or key: live tokens are taken, dead and foreign ones are not.
    """
    async with Sandbox() as sandbox, issuers_at(sandbox.instance.clock) as way:
        app, issuer = sandbox.application, Issuer("zitadel", sandbox.url)
        clients: list[ClientSecret | ClientKey] = [
            ClientSecret(app.client_id, app.secret or Secret("")),
            parse_application_key(sandbox.add_application_key()),
        ]
        user = sandbox.users["reporter"]
        for client in clients:
            jti = iter(map(str, range(100))).__next__
            verifier = IntrospectionVerifier(issuer, client, way, sandbox.instance.clock, jti)
            token = sandbox.issue(user, sandbox.backend_scopes).reveal().encode()
            found: Any = await verifier.ask(token)
            assert found["sub"] == user.user_id
            assert sandbox.project_id in found["aud"]
            assert await verifier.ask(b"unknown") is None
            sandbox.revoke(user)
            assert verifier.look(token) == found  # for a minute at most
            other = sandbox.issue(user, sandbox.backend_scopes).reveal().encode()
            sandbox.revoke(user)
            assert await verifier.ask(other) is None


async def test_the_sandbox_refuses_a_wrong_client():
    """
    ZITADEL answers 400 for it: nobody is let in, nobody is refused.
    """
    async with Sandbox() as sandbox, issuers_at(sandbox.instance.clock) as way:
        client = ClientSecret(sandbox.application.client_id, Secret("canary-wrong"))
        verifier = IntrospectionVerifier(
            Issuer("zitadel", sandbox.url), client, way, sandbox.instance.clock, lambda: "j"
        )
        error = await refusal(verifier, sandbox.pat.reveal().encode())

        assert "400 (unauthorized_client" in error.reason
        assert "canary" not in error.reason

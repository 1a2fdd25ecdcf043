"""
Who may call, byte by byte: the whole table of callers, listeners and routes; callers that an issuer
must be asked about; what becomes of what they show.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from proxy.callers.credential import Likeness, Vouched
from proxy.callers.registry import LOOK_AGAIN
from proxy.callers.verifier import PENDING
from proxy.core.clock import Clock
from proxy.errors import CallerCheckUnavailable
from tests.wire.states import soon

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NAMES = ("ci", "billing", "guest")
CALLERS = {name: {"api_key_sha256": sha256(name.encode()).hexdigest()} for name in NAMES}
SHOWN: dict[str | None, bytes] = {None: b"", "wrong": b"X-Api-Key: wrong\r\n"} | {
    name: b"X-Api-Key: %b\r\n" % name.encode() for name in NAMES
}

LISTS: dict[str, dict[str, Any]] = {
    "open": {},
    "anonymous": {"callers": ["anonymous"]},
    "both": {"callers": ["ci", "anonymous"]},
    "one": {"callers": ["ci"]},
    "two": {"callers": ["ci", "billing"]},
    "reported": {"callers": ["ci"], "mode": "report"},
}


def outcome(settings, caller):
    """
    Return what one list makes of a caller: 200, 401 or 403, and whether that is enforced.
    """
    allowed = settings.get("callers", ["anonymous"])
    enforced = settings.get("mode") != "report"
    if caller in allowed or "anonymous" in allowed:
        return 200, True
    return (401 if caller is None else 403), enforced


@pytest.mark.parametrize("listener", LISTS)
async def test_the_whole_table(listener, upstream, call, proxy):
    """
    For every caller, listener and route: both lists must let the caller pass, each by its own mode;
    whoever is denied reaches no upstream, and is logged and counted.
    """
    upstream.answer = OK
    await proxy.start(
        [{"name": name, "match": {"path": f"/{name}"}, **each} for name, each in LISTS.items()],
        callers=CALLERS,
        listen=[{"address": "127.0.0.1:8080", **LISTS[listener]}],
    )
    caller = await call()
    metrics = proxy.generation.metrics
    for route, settings in LISTS.items():
        for who, lines in SHOWN.items():
            name = who if who in NAMES else None
            verdicts = [outcome(each, name) for each in (LISTS[listener], settings)]
            expected = next((code for code, hard in verdicts if code != 200 and hard), 200)
            judged = [hard for code, hard in verdicts if code != 200]
            stops = judged.index(True) + 1 if True in judged else len(judged)
            before = (
                len(upstream.seen),
                sum(metrics.denied.values()),
                sum(metrics.reported.values()),
            )

            caller.send(b"GET /%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (route.encode(), lines))
            head, _ = await caller.message()
            record = await proxy.record()

            where = (listener, route, who)
            assert (where, int(head.split()[1])) == (where, expected)
            assert len(upstream.seen) - before[0] == (expected == 200)
            assert sum(metrics.denied.values()) - before[1] == (expected != 200)
            assert sum(metrics.reported.values()) - before[2] == judged[:stops].count(False)
            asked = "callers" in LISTS[listener] or "callers" in settings
            assert record["caller"] == (name if asked else None)
    assert len(proxy.gateway.tasks) == 0


class Vouching:
    """
    A verifier that must be asked, and answers when the test says so.

    Attributes:
        known: What `look` returns; PENDING to be asked.
    """

    def __init__(self):
        self.known = PENDING
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()
        self.answer = asyncio.get_running_loop().create_future()

    def look(self, _):
        """
        Return what is known.
        """
        return self.known

    async def ask(self, credential):
        """
        Wait for the test.
        """
        self.asked.put_nowait(credential)
        return await asyncio.shield(self.answer)


@pytest.fixture
async def vouching(upstream, proxy, clock):
    """
    Start a proxy that lets in whom a verifier vouches for, `mode` and all; return the verifier.
    """

    async def start(*, listen=None, **route):
        upstream.answer = OK
        listed = [{"address": "127.0.0.1:8080", "callers": ["ci"], **(listen or {})}]
        await proxy.start([{"name": "api", **route}], callers=CALLERS, listen=listed)
        verifier = Vouching()
        vouched = Vouched(verifier, (Likeness("ci"),))
        registry = replace(
            proxy.generation.callers, vouched=(vouched,), clock=Clock(lambda: 5000.0, clock)
        )
        proxy.gateway.generation = proxy.generation = replace(proxy.generation, callers=registry)
        return verifier

    return start


GET = b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: token\r\n\r\n"


async def test_a_request_waits_until_its_caller_is_known(vouching, upstream, call, proxy):
    """
    Nothing goes upstream before the issuer has answered; then the request goes on, once, and in its
    turn, body and all.
    """
    verifier = await vouching()
    caller = await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: token\r\nContent-Length: 3\r\n\r\nabc" + GET
    )

    assert await soon(verifier.asked.get()) == b"token"
    assert upstream.seen == []
    verifier.known = {}
    verifier.answer.set_result({})

    assert [(await caller.message())[0].split()[1] for _ in range(2)] == [b"200", b"200"]
    assert [(await proxy.record())["caller"] for _ in range(2)] == ["ci", "ci"]
    assert [seen.endswith(b"abc") for seen in upstream.seen] == [True, False]
    assert not any(b"token\r\n" in seen for seen in upstream.seen)
    assert proxy.gateway.metrics.active == 0


async def test_a_token_the_issuer_does_not_know_is_challenged(vouching, upstream, call, proxy):
    """
    401 with a challenge, and the next request is looked at anew.
    """
    verifier = await vouching()
    caller = await call(GET)
    await soon(verifier.asked.get())
    verifier.answer.set_result(None)
    head, _ = await caller.message()
    verifier.known = {}
    caller.send(GET)

    assert head.startswith(b"HTTP/1.1 401 ")
    assert b"WWW-Authenticate: Bearer" in head
    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")
    assert len(upstream.seen) == 1


async def test_a_token_that_cannot_be_checked_lets_nobody_in(vouching, upstream, call, proxy):
    """
    It is neither a no nor a yes: 503, when to come back, and nothing upstream.
    """
    verifier = await vouching()
    caller = await call(GET)
    await soon(verifier.asked.get())
    verifier.answer.set_exception(CallerCheckUnavailable("the issuer is down", retry_after=7))
    head, body = await caller.message()

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 7\r\n" in head
    assert b"WWW-Authenticate" not in head
    assert json.loads(body)["code"] == "caller_check_unavailable"
    assert upstream.seen == []
    assert proxy.generation.metrics.denied["caller_check_unavailable"] == 1
    caller.send(GET)
    assert (await caller.message())[0].startswith(b"HTTP/1.1 503 ")


async def test_report_mode_lets_in_whom_nobody_can_check(vouching, call, proxy):
    """
    What enforcing would have answered with 503 is let through, logged and counted as that.
    """
    verifier = await vouching(listen={"mode": "report"})
    caller = await call(GET)
    await soon(verifier.asked.get())
    verifier.answer.set_exception(CallerCheckUnavailable("the issuer is down"))

    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")
    assert proxy.generation.metrics.reported["caller_check_unavailable"] == 1
    event = json.loads(proxy.events[0])
    assert (event["event"], event["enforced"]) == ("caller.denied", False)
    assert event["reason"] == "caller_check_unavailable"


@pytest.mark.parametrize("answer", [{}, None], ids=["known", "unknown"])
async def test_a_caller_that_leaves_while_it_is_checked_is_forgotten(
    answer, vouching, upstream, call, proxy
):
    """
    The answer comes too late; nothing is sent or counted, nothing is left behind.
    """
    verifier = await vouching()
    caller = await call(GET)
    await soon(verifier.asked.get())
    caller.reset()
    await proxy.until(lambda: not proxy.connections)
    verifier.answer.set_result(answer)

    await proxy.quiet()
    assert upstream.seen == []
    assert proxy.events == []
    assert not any(proxy.generation.metrics.denied.values())
    assert proxy.gateway.metrics.active == 0


async def test_a_token_that_cannot_be_checked_is_let_in_where_anybody_is(vouching, call):
    """
    It could be any key of the caller's own: that goes on while the issuer is in trouble.
    """
    verifier = await vouching(listen={"callers": ["ci", "anonymous"]})
    caller = await call(GET)
    await soon(verifier.asked.get())
    verifier.answer.set_exception(CallerCheckUnavailable("the issuer is down"))

    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")


async def test_a_check_that_fails_unexpectedly_is_a_500(vouching, call, proxy):
    """
    An error without a name does not leave the caller waiting, and lets nobody in.
    """
    verifier = await vouching()
    caller = await call(GET)
    await soon(verifier.asked.get())
    verifier.answer.set_exception(ZeroDivisionError())

    assert (await caller.head()).startswith(b"HTTP/1.1 500 ")
    assert b"internal.error" in proxy.events[0]


async def test_an_identity_is_kept_no_longer_than_its_token(vouching, call, proxy, clock):
    """
    On a connection that stays, the same header section is judged anew once the token has ended.
    """
    verifier = await vouching()
    verifier.known = {"exp": 5002.0}
    caller = await call(GET)
    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")

    verifier.known = None
    clock.seconds += 1
    caller.send(GET)
    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")
    clock.seconds += 1
    caller.send(GET)
    assert (await caller.message())[0].startswith(b"HTTP/1.1 401 ")


async def test_a_verifiers_word_is_looked_up_again_by_and_by(vouching, call, clock):
    """
    A token without an end is taken back within seconds of its verifier doing so.
    """
    verifier = await vouching()
    verifier.known = {}
    caller = await call(GET)
    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")
    verifier.known = None
    clock.seconds += LOOK_AGAIN
    caller.send(GET)

    assert (await caller.message())[0].startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "line", [b"OPTIONS * HTTP/1.1", b"OPTIONS / HTTP/1.1\r\nMax-Forwards: 0", b"GET /no HTTP/1.1"]
)
@pytest.mark.parametrize("key", [b"", b"X-Api-Key: ci\r\n"])
async def test_strangers_learn_nothing_of_a_guarded_listener(line, key, call, proxy):
    """
    What it can do and which routes it has not got is told to its callers only.
    """
    listen = [{"address": "127.0.0.1:8080", "callers": ["ci"]}]
    await proxy.start([{"name": "api", "match": {"path": "/api"}}], callers=CALLERS, listen=listen)
    caller = await call(line + b"\r\nHost: a\r\n" + key + b"\r\n")
    status = int((await caller.head()).split()[1])

    assert status == (401 if not key else 404 if line.startswith(b"GET") else 204)


async def test_strangers_questions_wait_for_the_check_too(vouching, call):
    """
    OPTIONS * of a caller that must be asked about is answered when it is known.
    """
    verifier = await vouching()
    caller = await call(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Api-Key: token\r\n\r\n")
    await soon(verifier.asked.get())
    verifier.answer.set_result({})

    assert (await caller.head()).startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize("policy", ["replace", "reject", "keep"])
@pytest.mark.parametrize(
    "lines", [b"Authorization: Bearer ci\r\n", b"X-Api-Key: ci\r\nAuthorization: Bearer x\r\n"]
)
async def test_authorization_that_is_for_the_proxy_goes_no_further(
    policy, lines, upstream, call, proxy
):
    """
    On a listener that takes it, it is neither kept nor rejected by a route: the upstream sees the
    service user's token alone.
    """
    upstream.answer = OK
    await proxy.start(
        [{"name": "api", "authorization": policy}],
        callers=CALLERS,
        listen=[
            {"address": "127.0.0.1:8080", "callers": ["ci"], "caller_credential": "authorization"}
        ],
    )
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")

    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")
    head = upstream.seen[0]
    assert head.lower().count(b"authorization") == 1
    assert b"Authorization: Bearer tok-1\r\n" in head


async def test_a_wrong_authorization_is_nobodys(upstream, call, proxy):
    """
    Where Authorization is taken, Basic and unknown tokens there are challenged.
    """
    await proxy.start(
        callers=CALLERS,
        listen=[
            {"address": "127.0.0.1:8080", "callers": ["ci"], "caller_credential": "authorization"}
        ],
    )
    caller = await call()
    for value in (b"Basic Y2k6Y2k=", b"Bearer nobody", b"ci"):
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n\r\n" % value)
        assert (await caller.message())[0].startswith(b"HTTP/1.1 401 ")
    assert upstream.seen == []


async def test_denials_are_said_in_the_log(upstream, call, proxy):
    """
    The event names listener, route, caller, client and reason; a flood of the same is one line.
    """
    await proxy.start(
        [{"name": "api", "callers": ["ci"]}],
        callers=CALLERS,
        listen=[{"address": "127.0.0.1:8080", "callers": ["ci", "guest"]}],
    )
    caller = await call()
    for key in (b"", b"X-Api-Key: guest\r\n", b"X-Api-Key: guest\r\n"):
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % key)
        await caller.message()
    events = [json.loads(event) for event in proxy.events]

    assert [(e["event"], e["level"], e["caller"], e["reason"]) for e in events] == [
        ("caller.denied", "warning", None, "caller_unauthenticated"),
        ("caller.denied", "warning", "guest", "caller_forbidden"),
    ]
    assert {(e["listener"], e["route"], e["enforced"]) for e in events} == {
        ("127.0.0.1:8080", "api", True)
    }
    assert all(e["client"].startswith("127.0.0.1:") for e in events)

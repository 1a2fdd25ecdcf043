"""
Trace contexts through the gateway, and what is told of requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.core.clock import Clock
from proxy.errors import MintRejected
from proxy.observe.traces import Spot, Traces
from proxy.traced import request_class
from tests.wire.conftest import OK, split_message
from tests.wire.states import soon

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TOLD = f"00-{TRACE}-{SPAN}-01"
UNTOLD = f"00-{TRACE}-{SPAN}-00"
WALL = 1_700_000_000.0
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nstale"


def get(*lines, target="/a?token=canary"):
    """
    Return a request with these header lines.
    """
    more = "".join(f"{line}\r\n" for line in lines)
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


class Told(list[Any]):
    """
    Takes spans.
    """

    def put(self, spans):
        """
        Keep spans.
        """
        self.extend(spans)


@pytest.fixture
def told():
    """
    Nothing told so far.
    """
    return Told()


@pytest.fixture
def traced(proxy, clock, told):
    """
    Start the proxy with traces: ids count up from 1, and all is told of unless a test says otherwise.
    """

    async def start(routes=None, *, sample=1.0, audited=False):
        await proxy.start(routes)
        count = iter(range(1, 1000))
        proxy.gateway.traces = Traces(
            told, Clock(lambda: WALL + clock() - 1000.0, clock), sample, lambda _: next(count)
        )
        proxy.gateway.request_class = request_class(audited=audited, traced=True)
        return proxy.gateway.traces

    return start


async def exchange(upstream, call, request, answer=OK):
    """
    Send a request through; return the head the upstream got and the one the caller got.
    """
    caller = await call(request)
    peer = await upstream.accept()
    up = await peer.head()
    peer.send(answer)
    down, _ = await caller.message()
    return up, down


# Without traces


async def test_a_trace_context_goes_up_as_it_came(upstream, call, proxy):
    """
    Byte for byte, state and baggage too; the log names the trace.
    """
    lines = (
        f"TraceParent: {UNTOLD}",
        "tracestate: a=1,b=2",
        "Tracestate: c=3",
        "baggage: user=x;p=1",
    )
    up, _ = await exchange(upstream, call, get(*lines))

    for line in lines:
        assert f"\r\n{line}\r\n".encode() in up
    assert (await proxy.record())["trace_id"] == TRACE


async def test_a_version_to_come_is_understood(upstream, call, proxy):
    """
    What stands behind the flags belongs to it, and travels.
    """
    up, _ = await exchange(upstream, call, get(f"traceparent: 01-{TRACE}-{SPAN}-01-more"))

    assert f"traceparent: 01-{TRACE}-{SPAN}-01-more\r\n".encode() in up
    assert (await proxy.record())["trace_id"] == TRACE


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((f"traceparent: 00-{'0' * 32}-{SPAN}-01",), id="trace id of zeros"),
        pytest.param((f"traceparent: 00-{TRACE}-{'0' * 16}-01",), id="parent id of zeros"),
        pytest.param((f"traceparent: ff-{TRACE}-{SPAN}-01",), id="forbidden version"),
        pytest.param((f"traceparent: {TOLD}-more",), id="more than version 00 has"),
        pytest.param((f"traceparent: {TOLD.upper()}",), id="capitals"),
        pytest.param((f"traceparent: {TOLD[:-1]}",), id="too short"),
        pytest.param(("traceparent: ",), id="empty"),
        pytest.param((f"traceparent: {TOLD}", f"traceparent: {TOLD}"), id="two"),
        pytest.param((), id="state alone"),
    ],
)
async def test_a_trace_context_that_says_nothing_is_dropped(lines, upstream, call, proxy):
    """
    W3C Trace Context §4.3: who cannot read it passes neither it nor its state on; baggage stays.
    """
    up, _ = await exchange(upstream, call, get(*lines, "tracestate: a=1", "baggage: b=2"))

    fields = split_message(up)
    assert b"traceparent" not in fields
    assert b"tracestate" not in fields
    assert fields[b"baggage"] == b"b=2"
    assert (await proxy.record())["trace_id"] is None


# Server-Timing


async def test_a_response_says_how_long_it_took(upstream, call, proxy, clock):
    """
    Until its head, in milliseconds; the upstream's own line stays.
    """
    await proxy.start([{"name": "api", "server_timing": True}])
    caller = await call(get())
    peer = await upstream.accept()
    await peer.head()
    clock.seconds += 0.25
    peer.send(b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=3\r\nContent-Length: 0\r\n\r\n")
    head = await caller.head()

    ours = b"Server-Timing: authproxy;dur=250.0, token;dur=0.0;desc=cached, upstream;dur=250.0\r\n"
    assert ours in head
    assert b"\r\nServer-Timing: db;dur=3\r\n" in head


async def test_the_wait_for_a_token_is_timed_apart(upstream, call, proxy, clock):
    """
    The upstream's time begins when it is asked.
    """
    proxy.keeper.value = ""
    await proxy.start([{"name": "api", "server_timing": True}])
    caller = await call(get())
    await soon(proxy.keeper.asked.get())
    clock.seconds += 1.5
    proxy.keeper.land("tok-2")
    peer = await upstream.accept()
    await peer.head()
    clock.seconds += 0.5
    peer.send(OK)
    fields = split_message(await caller.head())

    assert fields[b"server-timing"] == (
        b"authproxy;dur=2000.0, token;dur=1500.0;desc=minted, upstream;dur=500.0"
    )


async def test_nobody_is_told_unasked_how_long_it_took(upstream, call):
    """
    It is an option.
    """
    _, down = await exchange(upstream, call, get())

    assert b"server-timing" not in down.lower()


# With traces


async def test_a_request_of_a_trace_is_its_child(traced, upstream, call, proxy, told):
    """
    The caller's span, ours, and that of the request upstream, whose id goes up in the place of the
    caller's; the state stays.
    """
    await traced(sample=0.0)
    up, _ = await exchange(
        upstream, call, get(f"traceparent: {TOLD}", "tracestate: a=1", "x-after: 1")
    )
    await proxy.record()
    server, client = told

    assert (server.kind, client.kind) == ("server", "client")
    assert server.spot.trace == client.spot.trace == int(TRACE, 16)
    assert (server.parent, server.remote) == (int(SPAN, 16), True)
    assert (client.parent, client.remote) == (server.spot.span, False)
    line = f"\r\ntraceparent: 00-{TRACE}-{client.spot.span:016x}-01\r\ntracestate: a=1\r\nx-after: 1\r\n"
    assert line.encode() in up
    assert up.lower().count(b"traceparent") == 1


async def test_a_request_says_what_it_was(traced, upstream, call, proxy, told, clock):
    """
    By OpenTelemetry's names; no query, no token.
    """
    await traced()
    caller = await call(get())
    peer = await upstream.accept()
    await peer.head()
    clock.seconds += 0.25
    peer.send(OK)
    await caller.message()
    record = await proxy.record()
    server, client = told

    assert (server.name, client.name) == ("GET api", "GET")
    assert (server.began, server.ended) == (WALL, WALL + 0.25)
    assert (client.began, client.ended) == (WALL, WALL + 0.25)
    address, _, port = record["client"].rpartition(":")
    assert server.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "api",
        "url.scheme": "http",
        "url.path": "/a",
        "client.address": address,
        "client.port": int(port),
        "authproxy.request_id": record["request_id"],
        "authproxy.service_user": "u",
        "authproxy.token": "cached",
        "authproxy.replayed": False,
    }
    assert client.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "url.full": f"{upstream.url}/a",
    }
    assert record["trace_id"] == f"{server.spot.trace:032x}"
    assert "canary" not in repr(told)
    assert "tok-1" not in repr(told)


@pytest.mark.parametrize("lines", [(), ("traceparent: nonsense", "tracestate: a=1")])
@pytest.mark.parametrize("sample", [0.0, 1.0])
async def test_a_trace_begins_here(lines, sample, traced, upstream, call, proxy, told):
    """
    Where there is none, or none that can be read: told of by chance, and the upstream learns which.
    """
    await traced(sample=sample)
    up, _ = await exchange(upstream, call, get(*lines))
    record = await proxy.record()
    fields = split_message(up)
    _, trace, span, flags = fields[b"traceparent"].decode().split("-")

    assert record["trace_id"] == trace
    assert flags == f"{sample:02.0f}"
    assert b"tracestate" not in fields
    assert [each.kind for each in told] == (["server", "client"] if sample else [])
    if sample:
        assert told[0].parent == 0
        assert told[1].spot == Spot(int(trace, 16), int(span, 16))


async def test_a_caller_that_does_not_record_is_not_told_of(traced, upstream, call, proxy, told):
    """
    Its flag decides, whatever the share here; its context goes up as it came.
    """
    await traced(sample=1.0)
    up, _ = await exchange(upstream, call, get(f"TraceParent: {UNTOLD}"))

    assert f"\r\nTraceParent: {UNTOLD}\r\n".encode() in up
    assert (await proxy.record())["trace_id"] == TRACE
    assert told == []


@pytest.mark.parametrize("lines", [(), (f"traceparent: {TOLD}",)], ids=["none", "caller's"])
async def test_a_route_may_keep_its_traces_to_itself(lines, traced, upstream, call, proxy, told):
    """
    `remove: [traceparent]` holds for ours too; the request is told of all the same.
    """
    await traced([{"name": "api", "request_headers": {"remove": ["traceparent"]}}])
    up, _ = await exchange(upstream, call, get(*lines))
    await proxy.record()

    assert b"traceparent" not in up.lower()
    assert len(told) == 2


async def test_a_context_for_this_hop_alone_is_replaced_too(traced, upstream, call, proxy, told):
    """
    `Connection` may name it, which takes its line away: ours is at the end.
    """
    await traced()
    up, _ = await exchange(
        upstream, call, get(f"traceparent: {TOLD}", "Connection: traceparent, keep-alive")
    )
    await proxy.record()

    assert split_message(up)[b"traceparent"].decode() == (f"00-{TRACE}-{told[1].spot.span:016x}-01")
    assert up.endswith(b"\r\n\r\n")
    assert b"\r\n\r\n" not in up[:-4]


async def test_a_replay_is_a_span_of_its_own(traced, upstream, call, proxy, told, clock):
    """
    Two requests upstream, one after the other; each has its own id, and the second is counted.
    """
    await traced()
    caller = await call(get())
    peer = await upstream.accept()
    first = split_message(await peer.head())
    peer.send(NO)
    await soon(proxy.keeper.asked.get())
    clock.seconds += 1.0
    proxy.keeper.land("tok-2")
    second = split_message(await peer.head())
    peer.send(OK)
    await caller.message()
    await proxy.record()
    server, one, two = told

    assert one.attributes["http.response.status_code"] == 401
    assert one.attributes["error.type"] == one.error == "401"
    assert two.attributes["http.response.status_code"] == 200
    assert two.attributes["http.request.resend_count"] == 1
    assert one.ended == two.began == WALL + 1.0
    assert server.error == ""
    assert server.attributes["authproxy.replayed"] is True
    for span, fields in ((one, first), (two, second)):
        assert fields[b"traceparent"].endswith(f"-{span.spot.span:016x}-01".encode())


async def test_a_request_that_waited_is_linked_to_the_mint(traced, upstream, call, proxy, told):
    """
    The mint is a trace of its own; one that other requests waited for before is not linked to.
    """
    proxy.keeper.value = ""
    traces = await traced(sample=0.0)
    caller = await call(get(f"traceparent: {TOLD}"))
    await soon(proxy.keeper.asked.get())
    facts = {"service_user": "u", "issuer": "z", "method": "client_credentials", "seconds": 0.5}
    fingerprint = proxy.keeper.token("tok-2").fingerprint
    traces.on_token_event("token.minted", **facts, fingerprint=fingerprint)
    proxy.keeper.land("tok-2")
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    mint, server, _ = told

    assert (mint.name, mint.kind, mint.parent, mint.error) == ("mint u", "internal", 0, "")
    assert mint.ended - mint.began == 0.5
    assert mint.attributes == {
        "authproxy.service_user": "u",
        "authproxy.issuer": "z",
        "authproxy.method": "client_credentials",
        "authproxy.outcome": "minted",
    }
    assert mint.spot.trace != server.spot.trace
    assert server.links == (mint.spot,)

    proxy.keeper.slots["u"].token = proxy.keeper.token("tok-2")
    caller.send(get(f"traceparent: {TOLD}"))
    await peer.head()
    peer.send(OK)
    await caller.message()
    assert told[-2].links == ()


async def test_a_request_that_waited_in_vain_is_linked_to_the_failure(
    traced, call, proxy, told, clock
):
    """
    Unless the failure was before it came.
    """
    proxy.keeper.value = ""
    traces = await traced()
    facts = {"service_user": "u", "issuer": "z", "method": "m", "seconds": 0.5}
    traces.on_token_event("token.mint_failed", **facts, code="mint_rejected")
    clock.seconds += 1.0
    for _ in range(2):
        caller = await call(get())
        await soon(proxy.keeper.asked.get())
        if len(told) > 1:
            traces.on_token_event("token.mint_failed", **facts, code="mint_rejected")
        proxy.keeper.land(MintRejected("no"))
        assert (await caller.head()).startswith(b"HTTP/1.1 502")
    _, before, mint, after = told

    assert before.links == ()
    assert after.links == (mint.spot,)
    assert mint.error == mint.attributes["error.type"] == "mint_rejected"
    assert after.error == after.attributes["error.type"] == "mint_rejected"


async def test_what_came_to_no_route_is_a_span_too(traced, call, proxy, told):
    """
    Without a route's name, and without an error: the caller asked for nothing there is.
    """
    await traced([{"name": "api", "match": {"path": "/b"}}])
    caller = await call(get())
    assert (await caller.head()).startswith(b"HTTP/1.1 404")
    await proxy.record()
    (server,) = told

    assert (server.name, server.error) == ("GET", "")
    assert "http.route" not in server.attributes
    assert server.attributes["url.path"] == "/a"
    assert server.attributes["error.type"] == "no_route"


async def test_an_upstream_that_breaks_off_is_an_error_of_both(traced, upstream, call, proxy, told):
    """
    The span upstream has no status, and both say what went wrong.
    """
    await traced()
    caller = await call(get())
    peer = await upstream.accept()
    await peer.head()
    peer.close()
    assert (await caller.head()).startswith(b"HTTP/1.1 502")
    await proxy.record()
    server, client = told

    assert server.error == client.error == "upstream_closed"
    assert "http.response.status_code" not in client.attributes
    assert client.attributes["error.type"] == "upstream_closed"


async def test_many_connections_share_nothing(traced, upstream, call, proxy, told):
    """
    Requests of one connection with equal heads are spans of their own.
    """
    upstream.answer = OK
    await traced()
    caller = await call(get(f"traceparent: {TOLD}") * 3)
    for _ in range(3):
        await caller.message()
        await proxy.record()

    assert len({span.spot for span in told}) == 6
    sent = [split_message(head)[b"traceparent"] for head in upstream.seen]
    assert len(set(sent)) == 3
    await asyncio.sleep(0)


@pytest.mark.parametrize("audited", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_a_request_is_no_more_than_it_has_to_be(audited, traced):
    """
    Each of both alone, together, or neither.
    """
    made = request_class(audited=audited, traced=traced)

    names = {each.__name__ for each in made.__mro__}
    assert ("AuditedRequest" in names) is audited
    assert ("TracedRequest" in names) is traced
    assert "__dict__" not in dir(made)


@pytest.mark.parametrize(("sample", "share"), [(0.0, 0), (0.25, 25), (1.0, 100)])
def test_the_share_is_taken_by_the_traces_id(sample, share, told, clock):
    """
    As OpenTelemetry's ratio sampler takes it, so that others that sample so take the same.
    """
    traces = Traces(told, Clock(clock, clock), sample, lambda _: 1)
    ids = [(7 << 64) | (step * 2**64 // 100) for step in range(100)]

    assert sum(map(traces.sampled, ids)) == share

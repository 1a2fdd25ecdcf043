"""
How often, and how many at once: who is let in, and who frees the place of a request that has ended.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from proxy.config.model import Settings
from proxy.generation import compile_generation
from tests.wire.test_aborts import HANDSHAKE, PHASES, SWITCH, Scene, tunnelling, within

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"


def listening(**limits):
    """
    Return settings with a listener of which nobody known may use up so much.
    """
    return {"listen": [{"address": "127.0.0.1:0", "limits": limits}]}


def places(proxy):
    """
    Return how many requests each limit counts at this moment.
    """
    return [usage.active for usage in proxy.generation.rates._usages.values()]


async def told(caller):
    """
    Return the status of the next answer, and when to try again.
    """
    head, body = await caller.message()
    later = [line for line in head.split(b"\r\n") if line.startswith(b"Retry-After: ")]
    status = int(head[9:12])
    assert (status == 429) == bool(later) == (b'"code": "rate_limited"' in body)
    return status, int(later[0][13:]) if later else None


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
async def test_who_leaves_frees_its_place_once(phase, how, upstream, call, proxy):
    """
    At whatever point of a request: no place stays taken, and none is freed twice.
    """
    limits = {"rate": "1000/s", "concurrent": 9}
    upstreams = {upstream.url: limits}
    proxy.start = partial(proxy.start, upstreams=upstreams, **listening(**limits))
    scene = Scene(proxy, upstream, call)
    caller = await phase(scene)
    assert 1 in places(proxy) or 2 in places(proxy)
    caller.writer.transport.abort() if how == "close" else caller.reset()

    assert await within(proxy, 1.0, proxy.records.qsize)
    assert (await proxy.record())["status"] == (101 if phase is tunnelling else 499)
    if scene.peer is not None:
        scene.peer.close()
    if proxy.keeper.outcome is not None:
        proxy.keeper.land("tok-2")
    await scene.undo.aclose()
    await proxy.quiet()
    assert places(proxy) == [0, 0]


async def test_one_too_many_is_answered_here_and_now(upstream, call, proxy, clock):
    """
    With 429 and the seconds to wait, on a connection that stays; the upstream sees nothing of it.
    """
    upstream.answer = OK
    await proxy.start(**listening(rate="6/m", burst=2))
    caller = await call(GET * 3)

    assert [await told(caller) for _ in range(3)] == [(200, None), (200, None), (429, 10)]
    clock.seconds += 9.5
    caller.send(GET)
    assert await told(caller) == (429, 1)
    clock.seconds += 0.5
    caller.send(GET)
    assert await told(caller) == (200, None)
    assert len(upstream.seen) == 3
    records = [await proxy.record() for _ in range(5)]
    assert [each["status"] for each in records] == [200, 200, 429, 429, 200]
    reason = "rate_limited: listener listen[0] is at its limit of one request every 10 seconds"
    assert (records[2]["error"], records[2]["route"]) == (reason, "api")
    assert proxy.generation.metrics.rate_limited == {("listener", "listen[0]"): 2}


async def test_no_token_is_minted_for_what_is_refused(call, proxy):
    """
    The keeper is not even asked.
    """
    proxy.keeper.value = ""
    await proxy.start(**listening(concurrent=1))
    first = await call(GET)
    await proxy.keeper.asked.get()

    assert await told(await call(GET)) == (429, 1)
    assert proxy.keeper.asked.empty()
    assert (await proxy.record())["token"] is None
    first.reset()
    assert await within(proxy, 1.0, proxy.records.qsize)
    assert places(proxy) == [0]


async def test_the_body_of_a_refused_request_is_no_request(upstream, call, proxy):
    """
    It is read and thrown away, and the next request on the connection has its turn.
    """
    await proxy.start(**listening(concurrent=1))
    first = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n" + GET * 2)
    assert await told(caller) == (429, 1)
    peer.send(OK)
    assert await told(first) == (200, None)

    caller.send(b"x" * (300 - 2 * len(GET)) + GET)
    await peer.head()
    peer.send(OK)
    assert await told(caller) == (200, None)


async def test_requests_on_one_connection_are_one_at_a_time(upstream, call, proxy):
    """
    A pipelined request takes its place when its turn comes.
    """
    upstream.answer = OK
    await proxy.start(**listening(concurrent=1))
    caller = await call(GET * 5)

    assert [await told(caller) for _ in range(5)] == [(200, None)] * 5


async def test_a_websocket_holds_its_place_until_it_ends(upstream, call, proxy):
    """
    It is one request, however long it lasts.
    """
    await proxy.start(**listening(rate="1000/s", concurrent=1))
    caller = await call(HANDSHAKE)
    peer = await upstream.accept()
    await peer.head()
    peer.send(SWITCH)
    assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
    assert await told(await call(GET)) == (429, 1)

    peer.close()
    await caller.rest()
    await proxy.until(lambda: places(proxy) == [0])
    other = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    assert await told(other) == (200, None)


async def test_a_replay_counts_for_the_upstream_and_is_not_refused(upstream, call, proxy, clock):
    """
    The upstream has seen two requests: the next has to wait for both permits.
    """
    await proxy.start(upstreams={upstream.url: {"rate": "1/s"}})
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await proxy.keeper.asked.get()
    proxy.keeper.land("tok-2")
    assert b"tok-2" in await peer.head()
    peer.send(OK)
    assert await told(caller) == (200, None)

    caller.send(GET)
    assert await told(caller) == (429, 2)
    clock.seconds += 2.0
    caller.send(GET)
    await peer.head()
    peer.send(OK)
    assert await told(caller) == (200, None)
    assert proxy.generation.metrics.rate_limited == {("upstream", upstream.url): 1}


async def test_routes_share_their_upstream_s_allowance(upstream, call, proxy):
    """
    What one route has used up is not there for the other; another upstream is none of theirs.
    """
    upstream.answer = OK
    routes = [
        {"name": "a"},
        {"name": "b", "match": {"path": "/b"}, "upstream": upstream.url + "/base"},
        {"name": "c", "match": {"path": "/c"}, "upstream": f"http://localhost:{upstream.port}"},
    ]
    await proxy.start(routes, upstreams={upstream.url: {"rate": "1/s"}})
    caller = await call(GET + GET.replace(b"/ ", b"/b ") + GET.replace(b"/ ", b"/c "))

    assert [await told(caller) for _ in range(3)] == [(200, None), (429, 1), (200, None)]


async def test_what_matches_no_route_costs_nothing(upstream, call, proxy):
    """
    Nor does any other request that is refused before anything is done for it.
    """
    upstream.answer = OK
    await proxy.start([{"name": "a", "match": {"path": "/a"}}], **listening(rate="1/s"))
    caller = await call(GET * 2 + GET.replace(b"/ ", b"/a "))

    assert [(await caller.message())[0][9:12] for _ in range(3)] == [b"404", b"404", b"200"]


async def test_a_reload_keeps_what_was_used_and_who_is_there(upstream, call, proxy):
    """
    A request of the generation before holds its place under the next one, and frees it there.
    """
    await proxy.start(**listening(rate="2/h", burst=2, concurrent=1))
    before = proxy.generation
    first = await call(GET)
    peer = await upstream.accept()
    await peer.head()

    settings = Settings.model_validate(
        {
            "version": 1,
            "issuers": {"z": {"url": "http://127.0.0.1:9"}},
            "service_users": {
                "u": {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
            },
            "routes": [{"name": "new", "upstream": upstream.url, "service_user": "u"}],
            **listening(rate="2/h", burst=100, concurrent=1),
        }
    )
    proxy.generation = proxy.gateway.generation = compile_generation(
        settings,
        Path(),
        proxy.keeper,
        via=before.via,
        metrics=before.metrics,
        rates=before.rates,
        now=proxy.clock,
    )
    before.retire()
    caller = await call(GET)
    assert await told(caller) == (429, 1)
    peer.send(OK)
    assert await told(first) == (200, None)

    upstream.answer = OK
    caller.send(GET * 2)
    assert await told(caller) == (200, None)
    assert await told(caller) == (429, 1800)

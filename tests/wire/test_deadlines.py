from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.wire.kernel import READABLE

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_slow_head_is_a_408(call, proxy):
    """
    A head that does not end in time is refused, whoever drips bytes into it.
    """
    caller = await call(b"GET / HTTP/1.1\r\n")
    await proxy.until(lambda: any(one._fed for one in proxy.connections))
    proxy.sweep(proxy.limits.head_time - 1)
    caller.send(b"Ho")
    await proxy.until(lambda: any(one._fed > 18 for one in proxy.connections))
    proxy.sweep(2)

    assert (await caller.rest()).startswith(b"HTTP/1.1 408 ")
    assert (await proxy.record())["status"] == 408


async def test_slow_body_is_a_408(upstream, call, proxy):
    """
    A body without a byte for too long is given up, here and upstream.
    """
    proxy.limits = replace(proxy.limits, body_rate=0.0)
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    peer = await upstream.accept()
    await peer.head()
    await peer.read(3)
    proxy.sweep(proxy.limits.body_time - 1)
    caller.send(b"d")
    await peer.read(1)
    proxy.sweep(proxy.limits.body_time - 1)
    proxy.sweep(2)

    assert (await caller.rest()).startswith(b"HTTP/1.1 408 ")
    assert await peer.gone()


async def test_idle_connection_closes_silently(upstream, call, proxy):
    """
    A connection at rest ends without a word.
    """
    upstream.answer = OK
    caller = await call(GET)
    await caller.message()
    proxy.sweep(proxy.limits.idle_time - 1)
    proxy.sweep(2)

    assert await caller.gone()


async def test_silent_upstream_is_a_504(upstream, call, proxy):
    """
    No response within the route's time: 504, and the upstream connection is dropped.
    """
    await proxy.start([{"name": "api", "timeouts": {"response": "3s"}}])
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    proxy.sweep(2)
    proxy.sweep(2)

    assert b'"upstream_timeout"' in (await caller.message())[1]
    assert await peer.gone()


async def test_response_that_stalls_is_cut(upstream, call, proxy):
    """
    A body without a byte for the route's idle time ends short.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await caller.head()
    await caller.read(3)
    proxy.sweep(70)
    peer.send(b"d")
    await caller.read(1)
    proxy.sweep(70)
    proxy.sweep(10)

    assert await caller.gone()
    assert await peer.gone()
    assert (await proxy.record())["error"].startswith("upstream_timeout")


async def test_caller_that_takes_nothing_is_given_up(upstream, call, proxy):
    """
    A caller that does not read for the idle time is reset; it is not the upstream's fault.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n")
    peer.send(b"x" * 20_000_000)
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    for _ in range(3):
        proxy.sweep(80)
        await asyncio.sleep(0)
    record = await proxy.record()
    await proxy.quiet()

    assert record["status"] == 499
    caller.close()


async def test_lingering_ends(call, proxy):
    """
    A refused caller that keeps its connection open is closed after a while.
    """
    caller = await call(b"BREW / HTTP/1.1\r\n\r\n")
    await proxy.record()
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.transport.get_write_buffer_size() == 0)
    proxy.sweep(0)
    proxy.sweep(proxy.limits.linger_time + 1)
    await proxy.quiet()

    assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")


async def test_lingering_reads_only_so_much(call, proxy):
    """
    A refused caller that goes on sending is read no further, and reset a moment later.
    """
    caller = await call(b"BREW / HTTP/1.1\r\n\r\n")
    await proxy.record()
    pouring = asyncio.gather(caller.pour(b"x" * 65536, 400))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    proxy.sweep(proxy.limits.linger_time + 1)
    with pytest.raises(ConnectionError):
        await pouring


async def test_idle_upstream_connection_is_closed(upstream, call, proxy):
    """
    A pooled connection ends on our side first.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    proxy.sweep(29)
    proxy.sweep(2)

    assert await peer.gone()


async def test_draining_ends_each_connection_at_its_time(upstream, call, proxy):
    """
    Idle ones close soon; one with a request in progress, or half a head, is answered with `close`.
    """
    resting, busy, half = await call(GET), await call(), await call()
    first = await upstream.accept()
    await first.head()
    first.send(OK)
    await resting.message()
    busy.send(GET)
    await first.head()
    half.send(GET[:9])
    await proxy.until(lambda: any(one._fed for one in proxy.connections))
    for connection in tuple(proxy.connections):
        connection.drain()
    await proxy.pass_time(1.8)
    assert await resting.gone()
    first.send(OK)
    assert b"Connection: close\r\n" in (await busy.message())[0]
    half.send(GET[9:])
    second = await upstream.accept() if len(upstream.connections) > 1 else first
    await second.head()
    second.send(OK)

    assert b"Connection: close\r\n" in (await half.message())[0]
    assert await half.gone()
    await proxy.quiet()


async def test_a_draining_connection_that_rests_may_bring_one_more_request(upstream, call, proxy):
    """
    A request that was on its way when the drain began is answered, with `close`.
    """
    upstream.answer = OK
    caller = await call(GET)
    await caller.message()
    for connection in tuple(proxy.connections):
        connection.drain()
    await proxy.pass_time(0.8)
    caller.send(GET)

    assert b"Connection: close\r\n" in (await caller.message())[0]
    assert await caller.gone()


async def test_who_was_told_the_connection_stays_may_use_it_once_more(upstream, call, proxy):
    """
    A response whose head had gone down before the drain began does not end the connection.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    assert b"Connection: close" not in await caller.head()
    assert await caller.read(2) == b"ab"
    for connection in tuple(proxy.connections):
        connection.drain()
    peer.send(b"cd")
    assert await caller.read(2) == b"cd"
    caller.send(GET)
    await peer.head()
    peer.send(OK)

    assert b"Connection: close\r\n" in (await caller.message())[0]
    assert await caller.gone()


async def test_a_request_that_came_in_time_is_not_met_by_a_closing_door(upstream, call, proxy):
    """
    When a connection has rested long enough, a request that waits to be read is read first.
    """
    upstream.answer = OK
    caller = await call(GET)
    await caller.message()
    (connection,) = proxy.connections
    caller.send(GET)
    assert connection._ask(READABLE)  # it is there, and the loop has not turned since
    proxy.clock.seconds += 2.0
    proxy.gateway.wheel.turn()
    proxy.clock.seconds += 80.0
    proxy.gateway.wheel.turn()

    assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")


async def test_retired_pool_closes_as_it_comes_to_rest(upstream, call, proxy):
    """
    After a reload the old generation's connections serve what is in flight and no more.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    proxy.generation.retire()
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"
    assert await peer.gone()


async def test_a_caller_too_many_is_told_so(upstream, call, proxy):
    """
    Beyond the cap a caller gets 503 with Retry-After; those who are connected notice nothing.
    """
    proxy.limits = replace(proxy.limits, connections=1)
    await proxy.start()
    upstream.answer = OK
    first = await call(GET)
    await first.message()
    second = await call(GET)
    refusal = await second.rest()
    first.send(GET)

    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert b'details="overloaded"' in refusal
    assert b"Retry-After: 1\r\n" in refusal
    assert (await first.message())[1] == b"ok"

from __future__ import annotations

import asyncio

import pytest

from proxy.core.route import Match, Route, Table
from proxy.core.target import LONGEST_HOST, parse_host
from proxy.errors import BadRequest


def test_a_host_is_no_longer_than_a_name_can_be():
    """
    What is looked up label by label, and remembered, is bounded (RFC 1035 §2.3.4).
    """
    assert parse_host(b"a" * 255 + b":65535")
    with pytest.raises(BadRequest):
        parse_host(b"a." * LONGEST_HOST)


def test_a_long_path_costs_no_more_than_the_longest_prefix():
    """
    Segments beyond it cannot match, and the route is the same.
    """
    table = Table([Route("a", Match(path=b"/a/b"), None), Route("all", Match(path=b""), None)])

    for path, name in (
        (b"/a/b" + b"/c" * 4000, "a"),
        (b"/a/bc" + b"/" * 4000, "all"),
        (b"/a/b", "a"),
        (b"/a/b/", "a"),
        (b"/" * 8000, "all"),
    ):
        found = table.find(b"GET", b"h", path, lambda _: None)
        assert found is not None
        assert found.name == name


async def test_answers_wait_for_a_caller_that_takes_none(upstream, call, proxy):
    """
    Pipelined requests are served one after the other, and not before the answers are taken.
    """
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
    await proxy.until(lambda: any(one.held & 8 for one in proxy.connections))
    (connection,) = proxy.connections
    for _ in range(2000):
        await asyncio.sleep(0)  # whatever would still be asked for is asked for now

    assert connection.transport.get_write_buffer_size() < 2_000_000
    assert len(connection.queue) > 0
    for _ in range(100):
        assert len((await caller.message())[1]) == 200_000


async def test_a_body_that_waited_is_read_to_its_end_after_an_answer_of_ours(call, proxy):
    """
    Nobody is left standing with half a body: the rest is read, thrown away, and the next one served.
    """
    proxy.keeper.value = ""
    await proxy.start()
    caller = await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 200_000
    )
    await proxy.keeper.asked.get()
    await proxy.until(lambda: any(one.held & 2 for one in proxy.connections))
    proxy.keeper.land(BadRequest("no token"))
    head, _ = await caller.message()
    caller.send(b"x" * 100_000 + b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert (await caller.head()).startswith(b"HTTP/1.1 204 ")


async def test_what_comes_behind_a_held_401_is_nobodys_answer(upstream, call, proxy):
    """
    A second answer sent while nothing is read drops the connection: the replay takes another.
    """
    await proxy.start(issuer=upstream.url)
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    first = await upstream.accept()
    await first.head()
    first.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    await proxy.keeper.asked.get()
    first.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await first.drain()
    proxy.keeper.land("tok-2")
    second = await upstream.accept()
    assert b"Bearer tok-2" in await second.head()
    second.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")

    assert (await caller.message())[1] == b"good"


async def test_a_caller_that_takes_nothing_is_given_up(upstream, call, proxy):
    """
    Even where no upstream is left to wait for, silence before full buffers has an end.
    """
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    await call(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
    await proxy.until(lambda: any(one._stalled for one in proxy.connections))
    (connection,) = proxy.connections
    assert connection.exchange.upstream is None
    proxy.sweep(1)
    proxy.sweep(200)

    await proxy.until(lambda: not proxy.connections)


async def test_a_body_of_tiny_chunks_is_kept_in_few_pieces(call, proxy):
    """
    What waits for a token takes about as much memory as it has bytes.
    """
    proxy.keeper.value = ""
    await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000
    )
    await proxy.keeper.asked.get()
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.exchange.bytes_in == 5000)

    assert len(connection.exchange.pending) < 1000
    assert len(connection.exchange.kept) < 1000

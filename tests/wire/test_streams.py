"""
Answers that take their time: events and long polls.
"""

from __future__ import annotations

import asyncio
import socket

import pytest

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
EVENT = b"data: x\n\n"
CHUNK = b"9\r\ndata: x\n\n\r\n"
STREAMS = {
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
    "until close": (b"HTTP/1.0 200 OK\r\n\r\n", EVENT),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", EVENT),
}


def kernel_has(sock):
    """
    Return what has arrived at a socket, if anything has.
    """
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("kind", list(STREAMS))
async def test_an_event_is_passed_on_in_the_turn_that_read_it(kind, upstream, proxy):
    """
    Head and events leave in the very turn of the loop they came in; nothing waits for more.
    """
    await proxy.start()
    with socket.create_connection(("127.0.0.1", proxy.port)) as caller:
        caller.setblocking(False)
        caller.sendall(GET)
        peer = await upstream.accept()
        await peer.head()
        begin, event = STREAMS[kind]
        there = peer.writer.get_extra_info("socket")
        with socket.fromfd(there.fileno(), there.family, there.type) as raw:
            for data in (begin, event, event):
                raw.sendall(data)
                await asyncio.sleep(0)  # the turn in which the loop is told,
                await asyncio.sleep(0)  # at its end the test goes on
                arrived = kernel_has(caller)
                assert arrived
                assert (EVENT in arrived) is (data is event)


@pytest.mark.parametrize("kind", list(STREAMS))
async def test_a_stream_may_rest_longer_than_a_head_may_take(kind, upstream, call, proxy):
    """
    Once the answer has begun `response` is over and `idle` counts, from each byte anew; no time is
    too long for the whole.
    """
    await proxy.start([{"name": "api", "timeouts": {"response": "3s", "idle": "60s"}}])
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    begin, event = STREAMS[kind]
    peer.send(begin)
    await caller.head()
    for _ in range(5):
        proxy.sweep(50)
        peer.send(event)
        await caller.reader.readuntil(EVENT)
    proxy.sweep(50)
    assert not proxy.records.qsize()
    proxy.sweep(15)

    await caller.rest()
    assert (await proxy.record())["error"].startswith("upstream_timeout")
    assert await peer.gone()


async def test_a_long_poll_has_the_time_its_route_gives(upstream, call, proxy):
    """
    Just within `response` the answer is passed on.
    """
    await proxy.start([{"name": "api", "timeouts": {"response": "300s"}}])
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    proxy.sweep(299)
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews")

    assert (await caller.message())[1] == b"news"


async def test_an_interim_answer_does_not_end_the_wait(upstream, call, proxy):
    """
    103 goes down when it comes, and the answer later.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert (await caller.head()).startswith(b"HTTP/1.1 103 ")
    proxy.sweep(50)
    peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert (await caller.head()).startswith(b"HTTP/1.1 204 ")

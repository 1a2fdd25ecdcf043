"""
Callers who only stop sending, and wait; and callers over TLS, who cannot.
"""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from proxy.wire.downstream import Downstream
from proxy.wire.parting import PROBE

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

REQUESTS = {
    "get": GET,
    "close": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "http/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "kept http/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}


@pytest.fixture
def half(call):
    """
    Send this and close the sending side at once, as `nc -N` does.
    """

    async def half(data):
        caller = await call(data)
        caller.writer.write_eof()
        return caller

    return half


def without_probes(data):
    """
    Return what a caller makes of it: interim answers mean nothing to it.
    """
    return data.replace(PROBE, b"")


async def ended(proxy):
    """
    Wait until the proxy has read that the caller sends nothing more.
    """
    await proxy.until(lambda: any(one.held & 32 for one in proxy.connections))


@pytest.mark.parametrize("late", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("data", REQUESTS.values(), ids=list(REQUESTS))
async def test_the_whole_answer_comes(data, late, half, upstream, proxy):
    """
    Who stops sending after its request gets the answer, however late it is.
    """
    caller = await half(data)
    peer = await upstream.accept()
    await peer.message()
    await ended(proxy)
    await proxy.pass_time(late)
    peer.send(OK)
    answer = await caller.rest()

    assert without_probes(answer).startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
    assert answer.endswith(b"\r\n\r\nok")
    assert answer.count(PROBE) == (0 if b"1.0" in data or not late else 1 if late < 5 else 4)
    assert (await proxy.record())["status"] == 200
    await proxy.quiet()
    assert len(proxy.generation.pools[0]._idle) == 1


@pytest.mark.parametrize("late", [0.0, 3.0])
@pytest.mark.parametrize("count", [2, 5])
async def test_all_that_was_pipelined_is_answered(count, late, half, upstream, proxy):
    """
    Pipelined requests and then the end: each is answered, in order.
    """
    caller = await half(GET * count)
    peer = await upstream.accept()
    for _ in range(count):
        await peer.head()
        await proxy.pass_time(late)
        peer.send(OK)
    answer = without_probes(await caller.rest())

    assert answer.count(b"HTTP/1.1 200 OK") == count
    assert answer.count(b"\r\n\r\nok") == count
    await proxy.quiet()


async def test_a_token_that_comes_late_is_waited_for(half, upstream, proxy):
    """
    The end of the sending side is no reason to drop what waits for a mint.
    """
    proxy.keeper.value = ""
    caller = await half(GET)
    await proxy.keeper.asked.get()
    await proxy.pass_time(4.0)
    proxy.keeper.land("tok-2")
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)

    assert (await caller.rest()).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_answer_read_slowly_comes_whole(framing, half, upstream, proxy):
    """
    20 MB to a caller that takes nothing for a long while, and then takes it all.
    """
    size = 20 << 20
    caller = await half(GET)
    peer = await upstream.accept()
    await peer.head()
    await ended(proxy)
    if framing == "length":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        pouring = asyncio.gather(peer.pour(b"x" * 65536, size >> 16))
    else:
        peer.send(CHUNKED)
        pouring = asyncio.gather(peer.pour(b"10000\r\n" + b"x" * 65536 + b"\r\n", size >> 16))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held & 8)
    await proxy.pass_time(30.0)
    got = 0
    if framing == "length":
        await caller.head()
    else:
        peer.send(b"")
    while got < size:
        got += len(await caller.reader.read(65536))
        if got % 1_000_000 < 65536:
            await proxy.pass_time(0.4)
    await pouring
    if framing == "chunked":
        peer.send(b"0\r\n\r\n")
    await caller.rest()

    assert (await proxy.record())["error"] is None
    await proxy.quiet()


async def test_a_stream_with_pauses_goes_on(half, upstream, proxy):
    """
    Events that come seconds apart all reach a caller that had stopped sending before the first.
    """
    caller = await half(GET)
    peer = await upstream.accept()
    await peer.head()
    await ended(proxy)
    peer.send(CHUNKED)
    for _ in range(4):
        peer.send(b"5\r\ndata:\r\n")
        await caller.reader.readuntil(b"data:\r\n")
        await proxy.pass_time(15.0)
    peer.send(b"0\r\n\r\n")

    assert (await caller.rest()) == b"0\r\n\r\n"
    assert (await proxy.record())["error"] is None


async def test_who_leaves_within_such_a_stream_is_noticed(half, upstream, proxy):
    """
    The next event meets a reset: the upstream is let go then.
    """
    caller = await half(GET)
    peer = await upstream.accept()
    await peer.head()
    await ended(proxy)
    peer.send(CHUNKED + b"5\r\ndata:\r\n")
    await caller.reader.readuntil(b"data:\r\n")
    await proxy.pass_time(5.0)
    caller.close()
    await proxy.pass_time(1.0)
    peer.send(b"5\r\ndata:\r\n")
    await proxy.until(lambda: any(each.exchange.bytes_out > 5 for each in proxy.connections))
    await proxy.pass_time(0.6)

    assert (await proxy.record())["status"] == 499
    assert await peer.gone()


async def test_an_upload_is_answered_early(half, upstream, proxy):
    """
    A body sent whole, the sending side closed, and an answer that does not wait for the body.
    """
    body = b"x" * 500_000
    caller = await half(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + body)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    await proxy.pass_time(1.0)

    assert (await caller.rest()).endswith(b"\r\n\r\nno")
    await proxy.quiet()


async def test_draining_waits_for_the_half_closed(half, upstream, proxy):
    """
    A stopping proxy answers them like all others.
    """
    caller = await half(GET)
    peer = await upstream.accept()
    await peer.head()
    await ended(proxy)
    for connection in proxy.connections:
        connection.drain()
    await proxy.pass_time(1.0)
    peer.send(OK)

    assert without_probes(await caller.rest()).endswith(b"Connection: close\r\n\r\nok")
    await proxy.quiet()


async def test_the_route_s_deadlines_hold_for_the_half_closed(half, upstream, proxy):
    """
    Probing does not put off the time an upstream has to answer.
    """
    await proxy.start([{"name": "api", "timeouts": {"response": "8s"}}])
    caller = await half(GET)
    await (await upstream.accept()).head()
    await ended(proxy)
    await proxy.pass_time(10.0)

    assert b"HTTP/1.1 504 " in await caller.rest()


@pytest.mark.parametrize("end", ["head", "body", "chunk"])
async def test_half_a_request_and_the_end_is_nothing(end, half, upstream, proxy):
    """
    What was not sent whole will never be: the connection ends, and with it what went up.
    """
    data = {
        "head": GET[:-2],
        "body": REQUESTS["length"][:-1],
        "chunk": REQUESTS["chunked"][:-2],
    }
    caller = await half(data[end])

    assert await caller.gone()
    await proxy.quiet()
    (pool,) = proxy.generation.pools
    await proxy.until(lambda: len(pool._open) == len(pool._idle))


@pytest.fixture
async def call_tls(proxy):
    """
    Open a TLS connection to the proxy.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    writers = []
    servers = []

    async def connect(data):
        if not proxy.port:
            await proxy.start()
        server = await asyncio.get_running_loop().create_server(
            lambda: Downstream(proxy.gateway, 0, proxy.connections), "127.0.0.1", 0, ssl=context
        )
        servers.append(server)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=trusting, server_hostname="localhost"
        )
        writers.append(writer)
        writer.write(data)
        return reader, writer

    yield connect
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("phase", ["token", "head", "download", "upload", "queued", "held"])
async def test_who_leaves_over_tls_takes_the_request_along(phase, how, call_tls, upstream, proxy):
    """
    With a farewell or without: TLS knows no half-closed state, so the upstream is let go at once.
    """
    if phase in {"token", "held"}:
        proxy.keeper.value = ""
    body = b"x" * 150_000
    sent = {
        "upload": REQUESTS["length"][:-1],
        "queued": GET * 2,
        "held": b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + body,
    }
    reader, writer = await call_tls(sent.get(phase, GET))
    peer = None
    if phase in {"token", "held"}:
        await proxy.keeper.asked.get()
    else:
        peer = await upstream.accept()
        await peer.head()
    if peer is not None and phase == "download":
        peer.send(CHUNKED + b"3\r\nabc\r\n")
        await reader.readuntil(b"abc\r\n")
    if phase in {"queued", "held"}:
        await proxy.until(lambda: any(one.held for one in proxy.connections))
    getattr(writer.transport, how)()
    for _ in range(9):
        await asyncio.sleep(0)
    writer.transport.abort()  # few wait for the proxy's farewell in return
    await proxy.pass_time(1.0)
    record = await proxy.record()
    if peer is None:
        proxy.keeper.land("tok-2")
    else:
        await peer.rest()
        peer.close()
    await proxy.quiet()

    assert record["status"] == 499
    await proxy.until(lambda: not any(pool._open for pool in proxy.generation.pools))


async def test_a_large_answer_over_tls_comes_whole(call_tls, upstream, proxy):
    """
    The connection's close waits for what is unsent, over TLS too.
    """
    size = 20 << 20
    reader, _ = await call_tls(REQUESTS["close"])
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    pouring = asyncio.gather(peer.pour(b"x" * 65536, size >> 16))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held & 8)
    await proxy.pass_time(2.0)
    await reader.readuntil(b"\r\n\r\n")
    got = 0
    while piece := await reader.read(1 << 20):
        got += len(piece)
    await pouring

    assert got == size

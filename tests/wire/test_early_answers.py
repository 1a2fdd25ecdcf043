"""
Answers that do not wait for the body: relayed at once, with a large upload in flight.
"""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZE = 10 << 20
PIECE = 1 << 16
LENGTH = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
UPLOADS = {
    "length": (LENGTH, b"x" * PIECE),
    "chunked": (CHUNKED, b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE)),
}
ANSWERS = {
    "413": b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
    "closing": b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("end", ["stay", "close", "reset"])
@pytest.mark.parametrize("answer", list(ANSWERS))
@pytest.mark.parametrize("framing", list(UPLOADS))
async def test_the_caller_sees_the_answer(framing, answer, end, upstream, call, proxy):
    """
    Whatever the upstream does after its early answer, the caller reads it whole before its upload
    ends, and the upstream's connection serves nobody else.
    """
    await proxy.start([{"name": "api", "replay": "never"}])
    head, piece = UPLOADS[framing]
    caller = await call(head)
    peer = await upstream.accept()
    await peer.head()
    pouring = asyncio.gather(caller.pour(piece, SIZE // PIECE), return_exceptions=True)
    await peer.read(200_000)
    peer.send(ANSWERS[answer])
    if end == "close":
        peer.close()
    elif end == "reset":
        await asyncio.sleep(0)
        peer.reset()
    got, body = await caller.message()
    if framing == "length":
        assert b"Connection: close\r\n" in got  # there is too much left to be thrown away
    (connection,) = proxy.connections
    await proxy.until(lambda: pouring.done() or connection.held)
    proxy.sweep(proxy.limits.linger_time + 1)
    await pouring
    record = await proxy.record()

    assert got.startswith(ANSWERS[answer][:12])
    assert b"no" in body
    assert record["status"] == record["upstream_status"] == int(ANSWERS[answer][9:12])
    caller.close()
    await proxy.quiet()
    assert not proxy.generation.pools[0]._open


@pytest.mark.parametrize("framing", list(UPLOADS))
async def test_what_is_left_of_a_body_is_thrown_away(framing, upstream, call, proxy):
    """
    Up to `waste` bytes are: then the connection serves the next request, over another upstream's.
    """
    head, piece = UPLOADS[framing]
    count = 12
    caller = await call(head.replace(b"%d" % SIZE, b"%d" % (count * PIECE)))
    peer = await upstream.accept()
    await peer.head()
    peer.send(ANSWERS["413"])
    got, _ = await caller.message()
    await caller.pour(piece, count)
    caller.send((b"0\r\n\r\n" if framing == "chunked" else b"") + GET)
    other = await upstream.accept()

    assert b"Connection" not in got
    assert (await other.head()).startswith(b"GET ")


async def test_a_reader_that_is_slow_to_look_is_not_reset(upstream, call, proxy):
    """
    Beyond that the bytes stay unread for a while, so that no reset overtakes the answer.
    """
    caller = await call(LENGTH)
    caller.writer.transport.pause_reading()
    peer = await upstream.accept()
    await peer.head()
    peer.send(ANSWERS["413"])
    pouring = asyncio.gather(caller.pour(b"x" * PIECE, SIZE // PIECE))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    proxy.sweep(proxy.limits.linger_time - 1)
    caller.writer.transport.resume_reading()

    assert (await caller.rest()).endswith(b"\r\n\r\nno")
    pouring.cancel()

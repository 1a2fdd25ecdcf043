"""
Callers who leave, at every point of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from dataclasses import replace

import pytest

from proxy.gateway import Request

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def within(proxy, seconds, condition):
    """
    Say whether it comes true while so much time passes.
    """
    for _ in range(round(seconds / 0.1)):
        if condition():
            return True
        await proxy.pass_time(0.1)
    return condition()


def requests():
    """
    Return every request that still lives.
    """
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Request)]


class Scene:
    """
    What a phase needs.
    """

    def __init__(self, proxy, upstream, call):
        self.proxy = proxy
        self.upstream = upstream
        self.call = call
        self.peer = None  # the upstream's end, once there is one
        self.undo = contextlib.AsyncExitStack()

    @property
    def pool(self):
        """
        The pool of the one route.
        """
        return self.proxy.generation.pools[0]

    async def asked(self, data=GET):
        """
        Send a request and see its head arrive.
        """
        caller = await self.call(data)
        self.peer = await self.upstream.accept()
        await self.peer.head()
        return caller


async def waiting_for_a_token(scene):
    """
    A mint is on its way.
    """
    scene.proxy.keeper.value = ""
    caller = await scene.call(GET)
    await scene.proxy.keeper.asked.get()
    return caller


async def waiting_with_a_body(scene):
    """
    Likewise, and more of a body has come than is kept meanwhile.
    """
    scene.proxy.keeper.value = ""
    caller = await scene.call(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n")
    await scene.proxy.keeper.asked.get()
    caller.send(b"x" * 150_000)
    await scene.proxy.until(lambda: any(one.held for one in scene.proxy.connections))
    return caller


async def queued_for_a_connection(scene):
    """
    All connections to the upstream are in use.
    """
    await scene.proxy.start()
    scene.pool.limits = replace(scene.pool.limits, connections=1)
    other = await scene.asked()
    first, scene.peer = scene.peer, None
    caller = await scene.call(GET)
    await scene.proxy.until(lambda: scene.pool.state().waiting)

    async def undo():
        first.send(OK)
        assert (await other.message())[1] == b"ok"
        other.close()
        await scene.proxy.record()

    scene.undo.push_async_callback(undo)
    return caller


async def connecting(scene):
    """
    The upstream does not take the connection.
    """
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    scene.undo.callback(full.close)
    for _ in range(2):  # a listener whose queue is full does not answer
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())
        scene.undo.callback(waiting.close)
    url = f"http://127.0.0.1:{full.getsockname()[1]}"
    await scene.proxy.start([{"name": "api", "upstream": url}])
    caller = await scene.call(GET)
    await scene.proxy.until(lambda: scene.pool._connecting)
    for _ in range(9):
        await asyncio.sleep(0)
    assert scene.pool._connecting
    scene.undo.callback(scene.pool.close)
    return caller


async def greeting(scene):
    """
    The upstream does not answer the TLS handshake.
    """
    url = f"https://127.0.0.1:{scene.upstream.port}"
    await scene.proxy.start([{"name": "api", "upstream": url}])
    caller = await scene.call(GET)
    peer = await scene.upstream.accept()
    assert await peer.read(1) == b"\x16"
    scene.undo.callback(peer.close)
    return caller


async def waiting_for_the_head(scene):
    """
    The upstream has the request.
    """
    return await scene.asked()


async def waiting_behind_an_interim_answer(scene):
    """
    The upstream has asked for the body, and has it.
    """
    caller = await scene.asked(
        b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    )
    scene.peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await caller.head()
    caller.send(b"x")
    await scene.peer.read(1)
    return caller


async def uploading(scene):
    """
    Half a body of known length has gone up.
    """
    caller = await scene.asked(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    await scene.peer.read(3)
    return caller


async def uploading_chunks(scene):
    """
    Half a chunked body has gone up.
    """
    caller = await scene.asked(
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    )
    await scene.peer.read(8)
    return caller


async def uploading_faster_than_it_is_taken(scene):
    """
    The upstream does not take what the caller sends.
    """
    caller = await scene.asked(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n")
    (connection,) = scene.proxy.connections
    while not connection.held:
        await caller.pour(b"x" * 65536, 1)
        await asyncio.sleep(0)
    assert connection.held & 4
    return caller


async def downloading(scene):
    """
    Part of an answer of known length has come down.
    """
    caller = await scene.asked()
    scene.peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await caller.head()
    await caller.read(3)
    return caller


async def downloading_chunks(scene):
    """
    Part of a chunked answer has come down.
    """
    caller = await scene.asked()
    scene.peer.send(CHUNKED + b"3\r\nabc\r\n")
    await caller.head()
    await caller.read(8)
    return caller


async def downloading_faster_than_it_is_taken(scene):
    """
    The caller does not take what the upstream sends.
    """
    caller = await scene.asked()
    scene.peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n")
    scene.peer.send(b"x" * 20_000_000)
    await scene.proxy.until(lambda: any(one.held & 8 for one in scene.proxy.connections))
    return caller


async def renewing(scene):
    """
    A 401 is held until there is another token.
    """
    caller = await scene.asked()
    scene.peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    await scene.proxy.keeper.asked.get()
    return caller


async def renewing_with_more_to_come(scene):
    """
    Likewise, and only part of it has come.
    """
    caller = await scene.asked()
    scene.peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 900\r\n\r\nno")
    await scene.proxy.keeper.asked.get()
    return caller


async def pipelining(scene):
    """
    Another request waits behind the one that is served.
    """
    caller = await scene.asked(GET * 2)
    await scene.proxy.until(lambda: any(one.held & 1 for one in scene.proxy.connections))
    return caller


async def upgrading(scene):
    """
    The upstream has not said what it thinks of a WebSocket.
    """
    return await scene.asked(HANDSHAKE)


async def tunnelling(scene):
    """
    It has accepted it.
    """
    caller = await scene.asked(HANDSHAKE)
    scene.peer.send(SWITCH)
    await caller.head()
    return caller


PHASES = (
    waiting_for_a_token,
    waiting_with_a_body,
    queued_for_a_connection,
    connecting,
    greeting,
    waiting_for_the_head,
    waiting_behind_an_interim_answer,
    uploading,
    uploading_chunks,
    uploading_faster_than_it_is_taken,
    downloading,
    downloading_chunks,
    downloading_faster_than_it_is_taken,
    renewing,
    renewing_with_more_to_come,
    pipelining,
    upgrading,
    tunnelling,
)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
async def test_who_leaves_takes_the_request_along(phase, how, upstream, call, proxy):
    """
    Within a second the upstream is let go, the log says 499, and nothing of the request is left; a
    mint it caused goes on.
    """
    scene = Scene(proxy, upstream, call)
    caller = await phase(scene)
    if how == "close":
        caller.writer.transport.abort()  # in order, as far as nothing is unread
    else:
        caller.reset()

    assert await within(proxy, 1.0, proxy.records.qsize)
    record = await proxy.record()
    assert record["status"] == (101 if phase is tunnelling else 499)
    assert record["error"] == (None if phase is tunnelling else "caller_left")
    if scene.peer is not None:
        if phase is not renewing:  # its answer is in: that connection serves others
            await scene.peer.rest()
            scene.peer.close()
        await proxy.until(lambda: len(scene.pool._open) == len(scene.pool._idle))
    if proxy.keeper.outcome is not None:
        assert not proxy.keeper.outcome.cancelled()
        proxy.keeper.land("tok-2")
    await scene.undo.aclose()
    await proxy.quiet()
    assert proxy.gateway.metrics.active == 0
    assert scene.pool.state().waiting == 0
    assert requests() == []

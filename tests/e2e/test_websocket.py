"""
WebSockets and event streams between a real client and a real server, through the proxy in this loop
and as a process of its own, which runs on uvloop.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web

SIZE = 10 << 20
GROWTH = 32 << 10
"""KiB the process's peak memory may grow by."""


def peak(pid):
    """
    Return the most memory a process has had, in KiB.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


class Chat:
    """
    A server of WebSockets and events.

    Attributes:
        heads: The header lines of each handshake.
        ended: For each WebSocket that is over: the code it was closed with.
        go: Set it to let an event stream send its next event.
    """

    def __init__(self):
        self.heads = []
        self.ended: asyncio.Queue[int | None] = asyncio.Queue()
        self.go = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""

    async def echo(self, request):
        """
        Send back whatever comes.
        """
        self.heads.append(request.headers)
        socket = web.WebSocketResponse(
            protocols=("superchat",), max_msg_size=0, autoping=False, compress=False
        )
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and message.data.startswith("close "):
                    await socket.close(code=int(message.data[6:]), message=b"as you wish")
                elif message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
        finally:
            self.ended.put_nowait(socket.close_code)
        return socket

    async def both(self, request):
        """
        Send a large message while one comes.
        """
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        _, message = await asyncio.gather(socket.send_bytes(b"d" * SIZE), socket.receive())
        await socket.send_str(str(len(message.data)))
        await socket.close()
        return socket

    async def refuse(self, request):
        """
        Take no WebSocket.
        """
        return web.Response(status=403, text="not for you")

    async def events(self, request):
        """
        Send an event whenever the test says so.
        """
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for number in range(5):
                await self.go.wait()
                self.go.clear()
                await response.write(b"data: %d\n\n" % number)
        finally:
            self.left.set()
        return response

    async def poll(self, request):
        """
        Answer when the test says so.
        """
        await self.go.wait()
        return web.Response(text="news")


@pytest.fixture
async def chat():
    """
    A running Chat.
    """
    chat = Chat()
    app = web.Application()
    app.router.add_get("/ws/echo", chat.echo)
    app.router.add_get("/ws/both", chat.both)
    app.router.add_get("/ws/refuse", chat.refuse)
    app.router.add_get("/ws/events", chat.events)
    app.router.add_get("/ws/poll", chat.poll)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    chat.url = "http://{}:{}".format(*runner.addresses[0])
    yield chat
    await runner.cleanup()


@pytest.fixture
def routed(chat):
    """
    An edit that adds a route to the chat.
    """

    def edit(document):
        document["routes"].append(
            {
                "name": "chat",
                "match": {"path": "/ws/"},
                "upstream": chat.url,
                "service_user": "reporter",
            }
        )

    return edit


@pytest.fixture(params=["asyncio", "process"])
async def through(request, routed, serve, running, edit):
    """
    A proxy with a route to the chat.
    """
    if request.param == "asyncio":
        return await serve(routed)
    return await running("--config", str(edit(routed)))


async def test_messages_pings_and_subprotocol(through, chat, sandbox, session):
    """
    Text, binary, ping and pong pass both ways; the handshake bears the token and the subprotocol.
    """
    async with session.ws_connect(
        f"{through.url}/ws/echo", protocols=("chat", "superchat"), autoping=False
    ) as socket:
        assert socket.protocol == "superchat"
        await socket.send_str("grüße")
        assert await socket.receive_str() == "grüße"
        await socket.send_bytes(bytes(range(256)) * 300)
        assert await socket.receive_bytes() == bytes(range(256)) * 300
        await socket.ping(b"still there?")
        pong = await socket.receive()
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"still there?")
        await socket.close(code=4001)
    async with asyncio.timeout(20):
        assert await chat.ended.get() == 4001
    record = await through.log.wait("request.done", status=101)

    assert chat.heads[0]["Authorization"].startswith("Bearer ")
    assert chat.heads[0]["Sec-WebSocket-Protocol"] == "chat,superchat"
    assert record["route"] == "chat"
    assert record["bytes_in"] > 76_800
    assert record["bytes_out"] > 76_800
    assert record["error"] is None


async def test_the_servers_close_code_reaches_the_caller(through, chat, session):
    """
    The code and reason an upstream closes with are the caller's to read.
    """
    async with session.ws_connect(f"{through.url}/ws/echo") as socket:
        await socket.send_str("close 4242")
        message = await socket.receive()
    assert message.type is WSMsgType.CLOSE
    assert (message.data, message.extra) == (4242, "as you wish")
    async with asyncio.timeout(20):
        assert await chat.ended.get() == WSCloseCode.OK  # what the caller said to it


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_large_messages_both_ways_at_once(through, chat, session):
    """
    10 MB each way at the same time arrive whole, and the process does not grow.
    """
    process = getattr(through, "process", None)
    before = peak(process.pid) if process else 0
    async with (
        asyncio.timeout(20),
        session.ws_connect(f"{through.url}/ws/both", max_msg_size=0, compress=0) as socket,
    ):
        _, message = await asyncio.gather(socket.send_bytes(b"u" * SIZE), socket.receive())
        assert message.data == b"d" * SIZE
        assert await socket.receive_str() == str(SIZE)
    record = await through.log.wait("request.done", status=101)

    assert record["bytes_in"] > SIZE
    assert record["bytes_out"] > SIZE
    if process:
        assert peak(process.pid) - before <= GROWTH


async def test_a_refused_handshake_is_relayed(through, chat, session):
    """
    The caller learns what the upstream answered instead of switching.
    """
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await session.ws_connect(f"{through.url}/ws/refuse")
    reply = await through("GET", "/ws/refuse")

    assert refusal.value.status == 403
    assert (reply.status, reply.body) == (403, b"not for you")


async def test_a_caller_that_vanishes_ends_the_upstreams_side(through, chat, session):
    """
    Without a goodbye from the caller the server sees its connection end.
    """
    socket = await session.ws_connect(f"{through.url}/ws/echo")
    await socket.send_str("hello")
    await socket.receive_str()
    socket._response.connection.transport.abort()
    async with asyncio.timeout(20):
        assert await chat.ended.get() in {None, WSCloseCode.ABNORMAL_CLOSURE}
    await socket.close()


async def test_a_stopping_proxy_tells_both_ends(serve, routed, chat, session):
    """
    A WebSocket works on until the grace ends; then both ends read 1001, going away.
    """
    through = await serve(routed)
    async with session.ws_connect(f"{through.url}/ws/echo") as socket:
        stopping = asyncio.gather(through.runtime._drain())
        await socket.send_str("still")
        assert await socket.receive_str() == "still"
        message = await socket.receive()
        assert message.type is WSMsgType.CLOSE
        assert message.data == WSCloseCode.GOING_AWAY
        async with asyncio.timeout(20):
            assert await chat.ended.get() == WSCloseCode.GOING_AWAY
    await stopping


async def test_events_come_one_by_one(through, chat, session):
    """
    Each event reaches the caller before the next is made, however long that takes.
    """
    async with session.get(f"{through.url}/ws/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Transfer-Encoding"] == "chunked"
        async with asyncio.timeout(20):
            for number in range(5):
                chat.go.set()
                assert await response.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
            assert await response.content.read() == b""


async def test_a_caller_that_leaves_a_stream_ends_it(through, chat, session):
    """
    Within a second the server's handler is told, although it had nothing to send.
    """
    async with session.get(f"{through.url}/ws/events") as response:
        chat.go.set()
        await response.content.readuntil(b"\n\n")
        response.close()
    async with asyncio.timeout(1.5):
        await chat.left.wait()
    record = await through.log.wait("request.done", path="/ws/events")

    assert record["status"] == 499


async def test_a_long_poll_is_answered_late(through, chat):
    """
    Other requests are served while one waits for news.
    """
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(through("GET", "/ws/poll"))
        assert (await through("GET", "/ws/refuse")).status == 403
        assert not asked.done()
        chat.go.set()

    assert asked.result().body == b"news"

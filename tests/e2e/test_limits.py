"""
Callers that use up what they can, and the good one among them who should not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest

from proxy.cli.serve import RESERVE

linux = pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")

SERVED_WITHIN = 1.0
"""Seconds in which a good caller is served, whatever the others do."""

PATIENCE = 20.0
"""Seconds after which what a test waits for does not come any more."""

EACH = 125
"""Slow callers of each kind."""

HALF_A_HEAD = b"GET /orders/1 HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"


class Upstream(asyncio.Protocol):
    """
    Answers each GET at once: with a body without end under /bytes/, with two bytes elsewhere.
    """

    def connection_made(self, transport):
        """
        Note where answers go.
        """
        self.transport = transport
        self.full = False
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # the kernel takes megabytes

    def data_received(self, data):
        """
        Answer.
        """
        if data.startswith(b"GET /bytes/"):
            self.transport.write(ENDLESS)
            self.resume_writing()
        elif data.startswith(b"GET "):
            self.transport.write(OK)

    def pause_writing(self):
        """
        Nobody takes any more.
        """
        self.full = True

    def resume_writing(self):
        """
        Go on, but not within the callback of a write that may fail again.
        """
        self.full = False
        asyncio.get_running_loop().call_soon(self.pour)

    def pour(self):
        """
        Write as much as is taken.
        """
        while not self.full and not self.transport.is_closing():
            self.transport.write(bytes(65536))


class Crowd:
    """
    Connections to a proxy, all of which are there until the proxy or the test ends them.

    Attributes:
        ended: How many the proxy has ended, by the first line it said.
    """

    def __init__(self, port):
        self.port = port
        self.ended: Counter[str] = Counter()
        self.writers = []
        self._reading = asyncio.TaskGroup()
        self._news = asyncio.Event()

    async def __aenter__(self):
        await self._reading.__aenter__()
        return self

    async def __aexit__(self, *error):
        for writer in self.writers:
            writer.transport.abort()
        await self._reading.__aexit__(*error)

    async def add(self, data, *, read=True):
        """
        Open a connection, send what is given, and read it to its end unless told not to; return
        where more can be sent.
        """
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        except OSError:
            sock.close()
            self.ended["not connected"] += 1
            self._news.set()
            return None
        self.writers.append(writer)
        writer.write(data)
        if read:
            self._reading.create_task(self._read(reader))
        return writer

    async def fill(self, count, data):
        """
        Open so many connections that all send the same.
        """
        for _ in range(count):
            await self.add(data)

    async def until(self, count):
        """
        Return once the proxy has ended so many.
        """
        while sum(self.ended.values()) < count:
            self._news.clear()
            await self._news.wait()

    async def _read(self, reader):
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await reader.readline()
            while await reader.read(65536):
                pass
        self.ended[said[9:12].decode() or "silence"] += 1
        self._news.set()

    def leave(self):
        """
        Close all of them.
        """
        for writer in self.writers:
            writer.transport.abort()


async def good(through):
    """
    Send a request on a connection of its own and have it answered in time.
    """
    async with asyncio.timeout(SERVED_WITHIN):
        reply = await through("GET", "/orders/1", headers={"Connection": "close"})
    assert reply.status == 200


async def served_again(through):
    """
    Ask until a request is served.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError, asyncio.TimeoutError, ConnectionError):
                if (await through("GET", "/orders/1")).status == 200:
                    return


def port_of(through):
    """
    Return the port of a proxy.
    """
    return int(through.url.rpartition(":")[2])


def open_files(through):
    """
    Return how many files the process has open.
    """
    return len(list(Path(f"/proc/{through.process.pid}/fd").iterdir()))


@pytest.fixture
async def upstream():
    """
    Return the origin of a light upstream.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def short(edit, upstream):
    """
    A proxy.yaml with short limits and one light upstream behind all routes of the sandbox's backend.
    """

    def change(document):
        document["limits"] = {"head_time": "5s", "body_time": "5s", "idle_time": "5s"}
        for route in document["routes"]:
            if route["name"] in {"orders", "bytes", "upload"}:
                route |= {"upstream": upstream, "timeouts": {"idle": "8s"}}

    return edit(change)


@pytest.fixture(params=["uvloop", "asyncio"])
def on_loop(request, tmp_path):
    """
    The environment in which the command finds this event loop.
    """
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    if request.param == "asyncio":
        (hidden / "uvloop.py").write_text("raise ImportError")
    root = Path(__file__).parents[2]
    return {"PYTHONPATH": f"{hidden}:{root}"}


SETTINGS = {
    "target": ({"target": "1KiB"}, b"GET /orders/" + b"a" * 1024 + b" HTTP/1.1\r\n", 414),
    "headers": ({"headers": 8}, HALF_A_HEAD + b"X: y\r\n" * 8, 431),
    "head": ({"head": "9KiB"}, HALF_A_HEAD + b"X: " + b"y" * 9216 + b"\r\n", 431),
    "body": ({"body": "10B"}, b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n", 413),
}


@pytest.mark.parametrize(("limits", "head", "status"), SETTINGS.values(), ids=SETTINGS)
async def test_a_limit_set_in_the_file_is_the_one_that_counts(limits, head, status, sandbox, serve):
    """
    What it refuses is answered by the proxy alone; other requests are served as ever.
    """
    through = await serve(lambda document: document.update(limits=limits))
    reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
    writer.write(head + b"\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert sandbox.hits.total == 0
    assert (await through("GET", "/orders/1")).status == 200


async def test_a_tls_handshake_that_does_not_come_is_not_waited_for(serve, key_file):
    """
    A caller that connects and says nothing is cut off when the time for a head is over.
    """

    def change(document):
        document["listen"] = [{"address": "127.0.0.1:0", "tls": key_file}]
        document["limits"] = {"head_time": "200ms"}

    through = await serve(change, scheme="https")
    reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


@linux
async def test_five_hundred_slow_callers_do_not_slow_a_good_one(short, running):
    """
    All of them are gone within the configured times, and meanwhile each good request takes less than
    a second.
    """
    through = await running("--config", str(short))
    await good(through)
    before = open_files(through)
    heads = []
    async with asyncio.timeout(2 * PATIENCE), Crowd(port_of(through)) as crowd:
        for number in range(EACH):
            await crowd.add(b"GET /bytes/ HTTP/1.1\r\nHost: a\r\n\r\n", read=False)
            if not number % 10:
                await good(through)
        for _ in range(EACH):
            heads.append(await crowd.add(HALF_A_HEAD))
            await crowd.add(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            await crowd.add(b"")
        assert not crowd.ended  # all are there at the same time
        assert open_files(through) >= before + 4 * EACH
        turns = 0
        while sum(crowd.ended.values()) < 3 * EACH or _given_up(through) < EACH:
            await good(through)
            turns += 1
            for writer in heads:
                writer.write(b"x" if turns % 8 else b": y\r\nx")
        while open_files(through) > before + 8:  # the good caller's own, and those still lingering
            await good(through)

    assert crowd.ended == {"408": 2 * EACH, "silence": EACH}
    assert not through.log.events("internal.error")


def _given_up(through):
    """
    Return how many requests the log says were given up because their caller took nothing.
    """
    return sum(record["status"] == 499 for record in through.log.events("request.done"))


@linux
async def test_a_flood_takes_nothing_from_those_who_are_connected(config, running, edit, on_loop):
    """
    Beyond the cap callers are told 503 or cut off, no more files are open than that takes, whoever is
    connected is served as ever, and all are once the flood is over.
    """
    most = 20
    edit(lambda document: document.update(limits={"connections": most}))
    through = await running("--config", str(config), **on_loop)
    await served_again(through)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(through))
    async with asyncio.timeout(PATIENCE), Crowd(port_of(through)) as crowd:
        for _ in range(10):
            await crowd.fill(40, HALF_A_HEAD)
            async with asyncio.timeout(SERVED_WITHIN):
                writer.write(HALF_A_HEAD + b"\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
                await reader.readuntil(b'"reporter"}')
            assert open_files(through) <= 2 * most + RESERVE
        full = await through.log.wait("connections.full")
        await crowd.until(400 - most)
        crowd.leave()
    await served_again(through)
    writer.close()

    assert crowd.ended["503"] >= 1
    assert full["most"] == most
    assert "limits.connections" in full["reason"]
    assert len(through.log.events("connections.full")) <= 3
    assert not through.log.events("internal.error")


@linux
async def test_few_open_files_mean_fewer_callers(config, running, on_loop):
    """
    The cap is lowered to what the system allows and the log says so; a flood then leaves the process
    alive, its log readable, and is over when it is over.
    """
    through = await running("--config", str(config), descriptors=96, **on_loop)
    lowered = await through.log.wait("limits.lowered")
    await served_again(through)
    async with asyncio.timeout(PATIENCE), Crowd(port_of(through)) as crowd:
        await crowd.fill(400, HALF_A_HEAD)
        full = await through.log.wait("connections.full")
        crowd.leave()
    await served_again(through)

    assert (lowered["asked"], lowered["used"]) == (16384, (96 - RESERVE) // 2)
    assert full["most"] == lowered["used"]
    assert through.process.running
    assert not through.log.events("internal.error")
    assert len(through.log.events("connections.full")) <= 3


@linux
async def test_no_file_left_to_open_is_survived(config, running, on_loop):
    """
    Where files run out below the cap, connecting fails for a while, and nothing else happens.
    """
    through = await running("--config", str(config), **on_loop)
    await served_again(through)
    most = open_files(through) + 10
    resource.prlimit(through.process.pid, resource.RLIMIT_NOFILE, (most, most))
    async with asyncio.timeout(PATIENCE), Crowd(port_of(through)) as crowd:
        await crowd.fill(100, HALF_A_HEAD)
        if not crowd.ended:  # this loop leaves them in the kernel's queue; the other closes them
            full = await through.log.wait("connections.full")
            assert "open files" in full["reason"]
        crowd.leave()
    await served_again(through)

    assert through.process.running
    assert not through.log.events("internal.error")
    assert len(through.log.records) < 200

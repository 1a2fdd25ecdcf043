"""
A gateway between a scripted upstream and a raw caller, all on loopback sockets, byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from proxy.config.model import Settings
from proxy.core.secret import Secret
from proxy.core.token import Token, static_token
from proxy.gateway import Gateway
from proxy.generation import compile_generation
from proxy.observe.log import make_logger
from proxy.wire.downstream import Downstream
from proxy.wire.limits import Limits
from proxy.wire.wheel import LOOK, Round
from tests.wire.states import soon, until

VIA = b"Via: 1.1 authproxy-test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pytest_asyncio_loop_factories(config, item):
    """
    Run what is marked `both_loops` on uvloop too.
    """
    factories = {"asyncio": asyncio.new_event_loop}
    if "both_loops" in getattr(item, "fixturenames", ()):
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
def both_loops():
    """
    Ask for this to run a test on uvloop as well.
    """


def split_message(head: bytes) -> dict[bytes, bytes]:
    """
    Return header lines by lower-case name; the last of several wins.
    """
    lines = head.split(b"\r\n")[1:]
    return {
        name.lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines if line)
    }


class Peer:
    """
    One end of a connection: sends bytes, reads messages, says when the other end is gone.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """
        Write to the other end.
        """
        self.writer.write(data)

    async def pour(self, piece, times):
        """
        Write one piece many times, as fast as the other end takes it.
        """
        for _ in range(times):
            self.writer.write(piece)
            await soon(self.writer.drain())

    async def drain(self) -> None:
        """
        Wait until the other end has taken enough.
        """
        await self.writer.drain()

    async def head(self):
        """
        Return the next head, empty line included.
        """
        return await soon(self.reader.readuntil(b"\r\n\r\n"))

    async def body(self, head):
        """
        Return the body that this head promises, chunks as they came.
        """
        fields = split_message(head)
        if b"transfer-encoding" in fields:
            raw = b""
            while True:
                line = await soon(self.reader.readuntil(b"\r\n"))
                size = int(line.partition(b";")[0], 16)
                if not size:
                    return raw + line + await soon(self.reader.readuntil(b"\r\n"))
                raw += line + await soon(self.reader.readexactly(size + 2))
        return await self.read(int(fields.get(b"content-length", b"0")))

    async def message(self, *, bodyless: bool = False) -> tuple[bytes, bytes]:
        """
        Return the next head and its body as framed.
        """
        head = await self.head()
        return head, b"" if bodyless else await self.body(head)

    async def read(self, size):
        """
        Return exactly so many bytes.
        """
        return await soon(self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """
        Return all that still comes until the other end closes.
        """
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await soon(self.reader.read(65536)):
                data += piece
        return data

    async def gone(self) -> bool:
        """
        Wait until the other end is gone; say whether nothing came before that.
        """
        return await self.rest() == b""

    def reset(self) -> None:
        """
        Close with a reset instead of an orderly end.
        """
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """
        Close in order.
        """
        self.writer.close()


class ScriptedUpstream:
    """
    Accepts connections and does with them what the test says.

    With `answer` set, each request is answered with it at once and kept in `seen`.
    """

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Peer] = asyncio.Queue()
        self.connections: list[Peer] = []
        self.answer: bytes | None = None
        self.seen: list[bytes] = []
        self.tasks: set[Any] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """
        Return where it listens.
        """
        return f"http://127.0.0.1:{self.port}"

    async def accept(self):
        """
        Return the next connection.
        """
        return await soon(self.waiting.get())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Take a connection.
        """
        peer = Peer(reader, writer)
        self.connections.append(peer)
        self.tasks.add(asyncio.current_task())
        if self.answer is None:
            self.waiting.put_nowait(peer)
            return
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await peer.message()
                self.seen.append(head + body)
                peer.send(self.answer)
        writer.close()


class HandClock:
    """
    Time that stands still until it is moved.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """
        Return the seconds.
        """
        return self.seconds


class StubKeeper:
    """
    Tokens without an issuer: `slots` to be filled, `get` and `renew` that wait for the test.
    """

    def __init__(self) -> None:
        self.slots: dict[str, SimpleNamespace] = {}
        self.kind = "minted"
        self.value = "tok-1"
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.outcome: asyncio.Future[Token | None] | None = None
        self.renewed: list[Token] = []

    def token(self, value: str) -> Token:
        """
        Return a token that does not end.
        """
        if self.kind == "static":
            return static_token(Secret(value), born=0.0)
        return Token(Secret(value), 0.0, math.inf, "minted")

    def slot(self, name: str) -> SimpleNamespace:
        """
        Return the slot the data path holds on to.
        """
        token = self.token(self.value) if self.value else None
        return self.slots.setdefault(name, SimpleNamespace(token=token, used=False, stale=False))

    async def get(self, name: str) -> Token | None:
        """
        Wait for the test to land a token.
        """
        self.outcome = self.outcome or asyncio.get_running_loop().create_future()
        self.asked.put_nowait(name)
        return await asyncio.shield(self.outcome)

    async def renew(self, name: str, refused: Token) -> Token | None:
        """
        Remember what was refused, and wait.
        """
        self.renewed.append(refused)
        return await self.get(name)

    def land(self, outcome: str | Exception | None) -> None:
        """
        Let everybody who waits go on: with a token, an error, or nothing worth another try.
        """
        assert self.outcome is not None
        future, self.outcome = self.outcome, None
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
            future.exception()
        else:
            future.set_result(None if outcome is None else self.token(outcome))


class Proxy:
    """
    A gateway that listens, with what a test wants to look at.
    """

    def __init__(
        self, upstream: ScriptedUpstream, clock: HandClock, records: asyncio.Queue[Any]
    ) -> None:
        self.upstream = upstream
        self.clock = clock
        self.keeper: Any = StubKeeper()
        self.records = records
        self.connections: set[Downstream] = set()
        self.events: list[bytes] = []
        self.limits = Limits()
        self.port = 0

    async def start(self, routes=None, **settings):
        """
        Listen, with these routes; one for all paths by default.
        """
        url = self.upstream.url
        routes = routes or [{"name": "api", "match": {"path": "/"}}]
        model = Settings.model_validate(
            {
                "version": 1,
                "issuers": {"z": {"url": settings.pop("issuer", "http://127.0.0.1:9")}},
                "service_users": {
                    "u": {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
                },
                "routes": [{"upstream": url, "service_user": "u", **route} for route in routes],
                **settings,
            }
        )
        self.generation = compile_generation(model, Path(), self.keeper, via=VIA, now=self.clock)
        sink: Any = SimpleNamespace(put=self.events.append)
        numbers = itertools.count(1)
        access: Any = SimpleNamespace(write=self.records.put_nowait)
        self.gateway = Gateway(
            self.generation,
            access,
            make_logger(sink, lambda: 0.0),
            self.limits,
            self.clock,
            lambda: f"id-{next(numbers)}",
        )
        self.gateway.wheel.enter(Round(lambda: self.generation.pools), 0.0)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Downstream(self.gateway, 0, self.connections), "127.0.0.1", 0
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    until = staticmethod(until)

    def sweep(self, seconds):
        """
        Let so much time pass, in three steps: one in which whatever moved is seen to have moved,
        one until just before the end, and the end.
        """
        for step in (2 * LOOK, max(seconds - LOOK, 0.0), min(seconds, LOOK)):
            self.clock.seconds += step
            self.gateway.wheel.turn()

    async def left(self):
        """
        Let the time pass in which it is noticed that a caller who half-closed is gone altogether.
        """
        await self.until(
            lambda: all(each.transport is None or each.held & 32 for each in self.connections)
        )
        for _ in range(12):
            self.clock.seconds += 0.1
            self.gateway.wheel.turn()
            await asyncio.sleep(0)

    async def pass_time(self, seconds):
        """
        Let time pass in small steps, and the loop run in each.
        """
        for _ in range(round(seconds / 0.1)):
            self.clock.seconds += 0.1
            self.gateway.wheel.turn()
            for _ in range(4):
                await asyncio.sleep(0)

    async def record(self):
        """
        Return the next line of the access log.
        """
        return await soon(self.records.get())

    async def quiet(self) -> None:
        """
        Wait until nothing is open, waiting or running any more.
        """
        pools = self.generation.pools
        await self.until(
            lambda: (
                not self.connections
                and not self.gateway.tasks
                and not any(pool._connecting for pool in pools)
            )
        )

    async def stop(self) -> None:
        """
        Close everything.
        """
        self.server.close()
        await self.gateway.close()
        for connection in tuple(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for pool in self.generation.pools:
            pool.close()
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> HandClock:
    """
    Return the clock the proxy's deadlines go by.
    """
    return HandClock()


@pytest.fixture
async def upstream():
    """
    A listening ScriptedUpstream.
    """
    script = ScriptedUpstream()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    yield script
    server.close()
    for peer in script.connections:
        peer.writer.transport.abort()
    await asyncio.gather(*script.tasks, return_exceptions=True)


@pytest.fixture
async def proxy(upstream, clock):
    """
    A Proxy to be started with `await proxy.start(…)`.
    """
    one = Proxy(upstream, clock, asyncio.Queue())
    yield one
    if one.port:
        await one.stop()


@pytest.fixture
async def call(proxy):
    """
    Open a raw caller's connection to the proxy, started plainly if it is not.
    """
    callers: list[Peer] = []

    async def connect(data: bytes = b"") -> Peer:
        if not proxy.port:
            await proxy.start()
        peer = Peer(*await asyncio.open_connection("127.0.0.1", proxy.port))
        callers.append(peer)
        peer.send(data)
        return peer

    yield connect
    for peer in callers:
        peer.writer.transport.abort()

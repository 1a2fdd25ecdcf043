"""
Callers that send one request after the other over raw sockets, and say which of them failed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proxy.tasks import spawn

PATIENCE = 20.0


@dataclass
class Load:
    """
    So many callers at once.

    A failed request is one that went out on a connection that stood, and had no whole answer, or
    another one than 200. A connection that is refused is a failure only while `refusable` is false:
    then the caller is done.

    Attributes:
        host: Where they connect; a path for a Unix socket.
        port: 0 for a Unix socket.
        tls: How they do, if by TLS.
        done: Requests answered.
        failures: What went wrong, in words.
        refusable: The proxy is on its way down.
        closes: Answers that said `Connection: close`.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    done: int = 0
    closes: int = 0
    failures: list[str] = field(default_factory=list)
    refusable: bool = False
    _over: bool = False
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, count: int, *, lasting: bool = True, version: str = "1.1") -> None:
        """
        Let more callers begin.

        Args:
            count: How many.
            lasting: They use their connection again; else each request has a new one.
            version: The HTTP version they speak.
        """
        line = "" if lasting or version == "1.0" else "Connection: close\r\n"
        request = f"GET /orders/1 HTTP/{version}\r\nHost: a.test\r\n{line}\r\n".encode()
        for _ in range(count):
            _ = spawn(self._tasks, self._call(request), name="caller")

    async def until(self, reached: Callable[[], bool]) -> None:
        """
        Go on until this is so.
        """
        async with asyncio.timeout(PATIENCE):
            while not reached():
                self._news.clear()
                await self._news.wait()

    async def more(self, count: int) -> None:
        """
        Go on until so many more are answered.
        """
        target = self.done + count
        await self.until(lambda: self.done >= target or bool(self.failures))

    async def all_done(self) -> None:
        """
        Wait until every caller has been refused.
        """
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """
        Let every caller end after its request.
        """
        self._over = True
        await self.all_done()

    async def _call(self, request: bytes) -> None:
        while not self._over:
            try:
                reader, writer = await self._connect()
            except OSError as error:
                if not self.refusable:
                    self._fail(f"connect: {error!r}")
                return
            try:
                await self._use(request, reader, writer)
            except (OSError, EOFError) as error:
                self._fail(f"request: {error!r}")
            finally:
                writer.close()
            self._news.set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.port:
            return await asyncio.open_unix_connection(self.host)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls)

    async def _use(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not self._over:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            if b" 200 " not in lines[0]:
                self._fail(f"answer: {lines[0]!r}")
            self.done += 1
            self._news.set()
            if b"connection: close" in lines or b"http/1.0" in lines[0]:
                self.closes += 1
                return

    def _fail(self, what: str) -> None:
        self.failures.append(what)
        self._news.set()

"""
Does anything grow while all sorts of callers come and go for minutes?

Theory of operation
-------------------
Callers of every kind run at once, each in a loop of its own: small requests on kept connections,
bodies up with and without a length, large answers, pipelines, slow readers, callers that leave in
the middle, and some that speak nonsense; the token expires every few seconds. Once a second what the
proxy holds is noted. What grows with time and not with load is seen by comparing the second quarter
of the run, when pools and caches are filled, with the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

from bench.stand.caller import SLOW_PAUSE, SLOW_PIECE, connect, request_head
from bench.stand.process import Failed
from bench.stand.question import Measure, Plan, Question, Sample, Values
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from bench.peers import Peer
    from bench.stand.ground import Ground

RATE = Measure("requests/s")
RESIDENT = Measure("MiB", 1, more=False)
DESCRIPTORS = Measure("descriptors", more=False)
THREADS = Measure("threads", more=False)

ROUND = 36.0
"""Seconds of a round; the usual five make three minutes."""

ALLOWED = {RESIDENT.name: (1.05, 2.0), DESCRIPTORS.name: (1.0, 12.0), THREADS.name: (1.0, 2.0)}
"""By what factor, and by how much beside that, the last quarter may exceed the second."""

LIFE = 4
"""Seconds a token lives."""

KEPT = 200
"""Requests on a connection before a new one is opened."""

BODY = bytes(16 * 1024)
NONSENSE = b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd:
    """
    Callers of all kinds.

    Attributes:
        done: Kind → requests that ended as they should.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.done: Counter[str] = Counter()
        self._stop = False

    async def run(self, seconds: float) -> None:
        """
        Keep all of them busy for so long.

        Raises:
            Failed: An answer was not what it should be.
        """
        kinds: tuple[tuple[Callable[[], Awaitable[None]], int], ...] = (
            (self._small, 12),
            (self._upload, 4),
            (self._chunked_upload, 2),
            (self._download, 2),
            (self._pipeline, 2),
            (self._read_slowly, 4),
            (self._leave_download, 3),
            (self._leave_upload, 2),
            (self._leave_at_once, 2),
            (self._nonsense, 1),
        )
        async with asyncio.TaskGroup() as group:
            for kind, count in kinds:
                for _ in range(count):
                    group.create_task(self._repeat(kind))
            await asyncio.sleep(seconds)
            self._stop = True

    async def _repeat(self, kind: Callable[[], Awaitable[None]]) -> None:
        while not self._stop:
            async with asyncio.timeout(60):
                await kind()

    @contextlib.asynccontextmanager
    async def _connection(self, *, buffer: int = 0) -> AsyncIterator[Streams]:
        sock = await asyncio.to_thread(connect, self._peer, buffer=buffer)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock, limit=SLOW_PIECE)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def _head(self, name: str, length: int | None = None) -> bytes:
        method = "GET" if length is None else "POST"
        return request_head(self._peer, name, method=method, length=length or 0)

    async def _answer(self, streams: Streams, kind: str) -> None:
        """
        Read one answer, which must be a 200 and whole.
        """
        reader, _ = streams
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:16]:
                raise Failed(f"{kind}: {head[:200]!r}")
            left = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            while left:
                piece = await reader.read(min(left, SLOW_PIECE))
                if not piece:
                    raise Failed(f"{kind}: {left} bytes are missing")
                left -= len(piece)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Failed(f"{kind}: the connection closed before the answer") from error
        self.done[kind] += 1

    async def _small(self) -> None:
        async with self._connection() as streams:
            for _ in range(KEPT):
                if self._stop:
                    return
                streams[1].write(self._head("small"))
                await self._answer(streams, "small")

    async def _upload(self) -> None:
        async with self._connection() as streams:
            for _ in range(KEPT // 4):
                if self._stop:
                    return
                streams[1].write(self._head("small", len(BODY)) + BODY)
                await self._answer(streams, "upload")

    async def _chunked_upload(self) -> None:
        head = self._head("small", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        async with self._connection() as streams:
            for _ in range(KEPT // 8):
                if self._stop:
                    return
                streams[1].write(head)
                for _ in range(4):
                    streams[1].write(b"%x\r\n%b\r\n" % (len(BODY), BODY))
                    await streams[1].drain()
                streams[1].write(b"0\r\n\r\n")
                await self._answer(streams, "chunked upload")

    async def _download(self) -> None:
        async with self._connection() as streams:
            for _ in range(4):
                streams[1].write(self._head("1m"))
                await self._answer(streams, "download")

    async def _pipeline(self) -> None:
        async with self._connection() as streams:
            for _ in range(KEPT // 8):
                if self._stop:
                    return
                streams[1].write(self._head("small") * 8)
                for _ in range(8):
                    await self._answer(streams, "pipelined")

    async def _read_slowly(self) -> None:
        async with self._connection(buffer=SLOW_PIECE) as (reader, writer):
            writer.write(self._head("1m"))
            got = 0
            while got < 1 << 20:
                piece = await reader.read(SLOW_PIECE)
                if not piece:
                    raise Failed("slow reader: the connection closed")
                got += len(piece)
                await asyncio.sleep(SLOW_PAUSE)
        self.done["slow reader"] += 1

    async def _leave_download(self) -> None:
        async with self._connection() as (reader, writer):
            writer.write(self._head("1m"))
            await reader.read(1)
        self.done["left a download"] += 1

    async def _leave_upload(self) -> None:
        async with self._connection() as (_, writer):
            writer.write(self._head("small", 1 << 20) + BODY)
            await asyncio.sleep(0.01)
        self.done["left an upload"] += 1

    async def _leave_at_once(self) -> None:
        async with self._connection() as (_, writer):
            writer.write(self._head("small"))
            await asyncio.sleep(0.001)
        self.done["left at once"] += 1

    async def _nonsense(self) -> None:
        async with self._connection() as (reader, writer):
            writer.write(NONSENSE)
            said = await reader.read()
            if not said.startswith(b"HTTP/1.1 400 "):
                raise Failed(f"nonsense: {said[:200]!r}")
            await asyncio.sleep(0.05)
        self.done["nonsense"] += 1


async def watch(peer: Peer, seconds: float) -> list[Values]:
    """
    Let a crowd loose on a peer, and note once a second what it holds.
    """
    process = peer.process
    assert process is not None
    crowd = Crowd(peer)
    notes: list[Values] = []
    began = time.monotonic()

    async def note() -> None:
        before = 0
        for number in itertools.count(1):
            await asyncio.sleep(began + number - time.monotonic())
            done = crowd.done.total()
            notes.append(
                {
                    RATE.name: done - before,
                    RESIDENT.name: process.resident(),
                    DESCRIPTORS.name: process.descriptors(),
                    THREADS.name: process.threads(),
                }
            )
            before = done

    noting = asyncio.Task(note())
    try:
        await crowd.run(seconds)
    except* Failed as errors:
        raise Failed(str(errors.exceptions[0])) from errors
    finally:
        noting.cancel()
    print(", ".join(f"{count:,} {kind}" for kind, count in crowd.done.most_common()))
    return notes


def grown(notes: Sequence[Values]) -> list[str]:
    """
    Return what the last quarter has more of than the second one, beyond what is allowed.
    """
    quarter = len(notes) // 4
    second, last = notes[quarter : 2 * quarter], notes[-quarter:]
    found = []
    for name, (factor, more) in ALLOWED.items():
        before, after = (statistics.median(note[name] for note in part) for part in (second, last))
        growing = after > before * factor + more
        print(f"  {name}: {before:,.1f} → {after:,.1f}  {'GROWING' if growing else 'flat'}")
        if growing:
            found.append(f"{name} grew from {before:,.1f} to {after:,.1f}")
    return found


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure.

    Raises:
        Failed: Something grew, or an answer was wrong.
    """
    with ground.peers(plan.entries(QUESTION.kinds, Scene(token_life=LIFE))) as peers:
        for peer in peers:
            notes = asyncio.run(watch(peer, ROUND * plan.cycles))
            print(f"{peer.name}: median of the second quarter → of the last")
            found = grown(notes)
            mints = len(ground.mints(peer.name))
            print(f"  {mints} mints in {len(notes)} s")
            if found:
                raise Failed(f"{peer.name}: {'; '.join(found)}")
            for cycle, at in enumerate(range(0, len(notes), int(ROUND))):
                part = notes[at : at + int(ROUND)]
                values = {
                    each.name: statistics.median(n[each.name] for n in part)
                    for each in QUESTION.measures
                }
                yield Sample(peer.name, cycle, values)


QUESTION = Question(
    "soak",
    "Does anything grow while all sorts of callers come and go?",
    (RATE, RESIDENT, DESCRIPTORS, THREADS),
    ("authproxy",),
    run,
    notes=f"A round is {ROUND:.0f} s. Allowed from the second quarter to the last: 5 % and 2 MiB, 12 descriptors, 2 threads.",
)

"""
Large bodies through the real process: every byte, and flat memory.
"""

from __future__ import annotations

import asyncio
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.sandbox.backend import block_bytes

SIZE = 100 << 20
PIECE = bytes(range(256)) * 256  # what the sandbox's /bytes/ repeats, too
GROWTH = 32 << 10
"""KiB the process's peak memory may grow by."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def peak(pid: int) -> int:
    """
    Return the most memory a process has had, in KiB.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


async def pieces():
    """
    Yield `SIZE` bytes.
    """
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


@pytest.fixture(scope="module")
def digest():
    """
    The digest of `SIZE` bytes of the pattern.
    """
    whole = sha256()
    for _ in range(SIZE // len(PIECE)):
        whole.update(PIECE)
    return whole.hexdigest()


@pytest.fixture
async def warm(running, config):
    """
    The real process after one small request of each kind, and its memory by then.
    """
    through = await running("--config", str(config))
    assert (await through("PUT", "/upload", data=b"x" * 65_536)).status == 200
    assert (await through("GET", "/bytes/65536")).body == block_bytes(65_536)
    return through, peak(through.process.pid)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_upload_arrives_whole_in_flat_memory(sandbox, warm, digest, framing):
    """
    100 MiB go up unharmed, of known length or chunked, and the process does not grow.
    """
    through, before = warm
    headers = {"Content-Length": str(SIZE)} if framing == "length" else {}

    reply = await through("POST", "/upload", data=pieces(), headers=headers)

    assert reply.status == 200
    hit = sandbox.hits[-1]
    assert (hit.body_length, hit.body_sha256, hit.complete) == (SIZE, digest, True)
    framed = "content-length" if framing == "length" else "transfer-encoding"
    assert len(hit.values(framed)) == 1
    assert peak(through.process.pid) - before <= GROWTH


@pytest.mark.parametrize("query", ["", "?chunked"], ids=["length", "chunked"])
async def test_a_large_download_comes_whole_in_flat_memory(warm, digest, query):
    """
    100 MiB come down unharmed, of known length or chunked, and the process does not grow.
    """
    through, before = warm
    whole, length = sha256(), 0
    async with (
        asyncio.timeout(20),
        through.session.get(f"{through.url}/bytes/{SIZE}{query}") as response,
    ):
        assert response.status == 200
        assert response.headers.get("Content-Length") == (None if query else str(SIZE))
        async for piece in response.content.iter_any():
            whole.update(piece)
            length += len(piece)

    assert (length, whole.hexdigest()) == (SIZE, digest)
    assert peak(through.process.pid) - before <= GROWTH


@pytest.mark.parametrize("query", ["", "?chunked"], ids=["length", "chunked"])
async def test_a_caller_that_does_not_read_costs_no_memory(warm, query):
    """
    While one caller leaves its answer lying, others are served and nothing piles up; then it gets all.
    """
    through, before = warm
    host, _, port = through.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=65_536)
    writer.write(
        f"GET /bytes/{SIZE}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(150):  # time for the whole body to come, if it were let
            assert (await through("GET", "/orders/1")).status == 200
        assert peak(through.process.pid) - before <= GROWTH
        length = 0
        while piece := await reader.read(1 << 20):
            length += len(piece)
    writer.close()

    assert length >= SIZE
    assert peak(through.process.pid) - before <= GROWTH


async def test_an_upstream_that_does_not_read_holds_the_caller_back(sandbox, warm):
    """
    While the upstream leaves a body lying, the caller's bytes are not taken; then all of it arrives.
    """
    through, before = warm
    sandbox.faults.set("backend-slow")
    hits, taken = sandbox.hits.total, 0

    async def counted():
        nonlocal taken
        async for piece in pieces():
            taken += len(piece)
            yield piece

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asked = group.create_task(through("POST", "/upload", data=counted()))
        await sandbox.hits.until(hits + 1)
        for _ in range(100):
            assert (await through("GET", "/management/v1/orgs/me")).status == 200
        assert taken < SIZE // 2
        sandbox.faults.clear()

    assert asked.result().status == 200
    assert next(hit for hit in sandbox.hits if hit.body_length == SIZE).complete
    assert peak(through.process.pid) - before <= GROWTH

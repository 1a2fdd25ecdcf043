"""
Requests made by sockets of our own, where wrk cannot be slow, idle or exact about time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.stand.process import Failed, pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

PIECE = 256 * 1024
"""Bytes moved at once."""

SLOW_PIECE = 64 * 1024
SLOW_PAUSE = 0.02
"""A slow reader takes SLOW_PIECE bytes, then waits so many seconds: about 3 MiB/s."""


def connect(peer: Peer, *, buffer: int = 0) -> socket.socket:
    """
    Return a connection to a peer; *buffer* limits the kernel's receive buffer, in bytes.
    """
    connection = socket.socket()
    connection.settimeout(30)
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", peer.port))
    return connection


def request_head(peer: Peer, name: str, *, method: str = "GET", length: int = 0) -> bytes:
    """
    Return a request's head.
    """
    lines = [f"{method} {peer.scene.path(name)} HTTP/1.1", f"Host: 127.0.0.1:{peer.port}"]
    lines += ["User-Agent: bench/1.0", "Accept: */*"]
    if method == "POST":
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def read_head(connection: socket.socket) -> tuple[int, int]:
    """
    Read a response's head; return its Content-Length and how many bytes of body came with it.

    Raises:
        Failed: It is not 200, or the connection closed.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(SLOW_PIECE)
        if not piece:
            raise Failed("the connection closed before the response")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head[:16]:
        raise Failed(head.decode("latin-1"))
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value), len(body)
    raise Failed("the response has no Content-Length")


def download(peer: Peer, name: str) -> int:
    """
    Fetch a file as fast as it comes; return its bytes.
    """
    buffer = bytearray(PIECE)
    with connect(peer) as connection:
        connection.sendall(request_head(peer, name))
        length, got = read_head(connection)
        while got < length:
            count = connection.recv_into(buffer)
            if not count:
                raise Failed(f"{peer.name}: {got} of {length} bytes came")
            got += count
    return length


def upload(peer: Peer, length: int) -> int:
    """
    Send that many bytes as fast as they are taken; return them.
    """
    piece = memoryview(bytes(PIECE))
    with connect(peer) as connection:
        connection.sendall(request_head(peer, "sink", method="POST", length=length))
        left = length
        while left:
            count = min(left, PIECE)
            connection.sendall(piece[:count])
            left -= count
        read_head(connection)
    return length


def read_slowly(peer: Peer, name: str, seconds: float) -> None:
    """
    Fetch a file at a few MiB/s for a while, then leave.
    """
    until = time.monotonic() + seconds
    with connect(peer, buffer=SLOW_PIECE) as connection:
        connection.sendall(request_head(peer, name))
        read_head(connection)
        while time.monotonic() < until:
            if not connection.recv(SLOW_PIECE):
                raise Failed(f"{peer.name}: the connection closed")
            pause(SLOW_PAUSE)


@contextlib.contextmanager
def idle_connections(peer: Peer, count: int) -> Iterator[None]:
    """
    Open connections, make one request on each, and keep them open until the block ends.
    """
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(connect(peer))
            connection.sendall(request_head(peer, "small"))
            length, got = read_head(connection)
            while got < length:
                got += len(connection.recv(SLOW_PIECE))
        yield


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One request's time.

    Attributes:
        begin: When it was sent, in seconds of CLOCK_MONOTONIC.
        took: Seconds until its answer was whole.
    """

    begin: float
    took: float


async def call_steadily(
    peer: Peer, *, connections: int, think: float, seconds: float
) -> list[Answer]:
    """
    Ask on several connections, each with a pause after its answer; return every request's time.

    Args:
        peer: Whom.
        connections: How many.
        think: Seconds between an answer and the next request.
        seconds: How long.
    """
    answers: list[Answer] = []
    until = time.monotonic() + seconds
    head = request_head(peer, "small")

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
        while time.monotonic() < until:
            begin = time.monotonic()
            writer.write(head)
            got = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in got[:16]:
                raise Failed(f"{peer.name}: {got[:40]!r}")
            length = int(got.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            answers.append(Answer(begin, time.monotonic() - begin))
            await asyncio.sleep(think)
        writer.close()

    await asyncio.gather(*(call() for _ in range(connections)))
    return sorted(answers, key=lambda answer: answer.begin)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """
    Keep our own garbage collector from making requests look slow.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

"""
What can go wrong below HTTP's meaning: answers that are cut, dripped, flooded or no HTTP at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import socket
import struct
import traceback
import tracemalloc
from typing import Any

import pytest

from proxy.core.credential import ClientSecret, Issuer, ServiceUser
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.errors import MintRejected, MintTimeout, MintUnavailable, TokenError
from proxy.tokens.discovery import Discovery
from proxy.tokens.line import Line, session
from proxy.tokens.mint import Mint

GOOD = b'{"access_token":"canary-token","token_type":"Bearer","expires_in":60}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
ZIPPED = gzip.compress(b'{"access_token":"canary-token"}', mtime=0)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = "not answer in well-formed HTTP|broke off|closed the connection"


def sized(body: bytes, size: int, head: bytes = HEAD) -> bytes:
    """
    Return an answer that says it has *size* bytes.
    """
    return head + b"Content-Length: %d\r\n\r\n" % size + body


BROKEN = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "status line alone": b"HTTP/1.1 200 OK\r\n",
    "half a head": HEAD,
    "half a header": HEAD + b"X-Can",
    "too short by one": sized(GOOD, len(GOOD) + 1),
    "too short by far": sized(GOOD, 10**9),
    "no body at all": sized(b"", 100),
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "length in words": HEAD + b"Content-Length: canary\r\n\r\n" + GOOD,
    "length of 5000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + GOOD,
    "length with a sign": HEAD + b"Content-Length: +69\r\n\r\n" + GOOD,
    "chunk of no size": CHUNKED + b"\r\n" + GOOD,
    "chunk of words": CHUNKED + b"canary\r\n" + GOOD,
    "chunk that is cut": CHUNKED + b"ff\r\n" + GOOD,
    "chunk without an end": CHUNKED + b"%x\r\n" % len(GOOD) + GOOD + b"\r\n",
    "chunk too long": CHUNKED + b"%x\r\n" % (len(GOOD) - 3) + GOOD + b"\r\n0\r\n\r\n",
    "chunk of 100 digits": CHUNKED + b"f" * 100 + b"\r\n" + GOOD,
    "negative chunk": CHUNKED + b"-1\r\n" + GOOD,
    "chunk extension flood": CHUNKED + b"1;" + b"c" * 100_000 + b"\r\n{\r\n",
    "ssh": b"SSH-2.0-canary\r\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "http/0.9": GOOD,
    "smtp": b"220 canary ESMTP\r\n",
    "no version": b"HTTP 200 OK\r\n\r\n",
    "http/9": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "status in words": b"HTTP/1.1 canary OK\r\nContent-Length: 2\r\n\r\n{}",
    "status 0": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "status 999": b"HTTP/1.1 999 canary\r\nContent-Length: 2\r\n\r\n{}",
    "nul in the head": b"HTTP/1.1 200 OK\r\nX: can\x00ary\r\nContent-Length: 2\r\n\r\n{}",
    "header without a name": b"HTTP/1.1 200 OK\r\n: canary\r\nContent-Length: 2\r\n\r\n{}",
    "header without a colon": b"HTTP/1.1 200 OK\r\ncanary\r\nContent-Length: 2\r\n\r\n{}",
    "long status line": b"HTTP/1.1 200 " + b"canary" * 20_000 + b"\r\n\r\n",
    "long header": HEAD + b"X: " + b"canary" * 20_000 + b"\r\n\r\n",
    "header flood": HEAD + b"X: canary\r\n" * 50_000 + b"\r\n",
    "garbage": bytes(range(256)) * 40,
    "line ends alone": b"\r\n" * 10_000,
    "bytes above ascii": b"HTTP/1.1 200 \xff\xfe\r\nX: \xff\r\nContent-Length: 2\r\n\r\n{}",
    "gzip that is cut": sized(ZIPPED[:20], 20, HEAD + b"Content-Encoding: gzip\r\n"),
    "gzip not asked for": sized(ZIPPED, len(ZIPPED), HEAD + b"Content-Encoding: gzip\r\n"),
    "an unknown coding": sized(b"canary", 6, HEAD + b"Content-Encoding: canary\r\n"),
    "switched protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: canary\r\nConnection: upgrade\r\n\r\nx",
    "empty 200": sized(b"", 0),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "100 alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "cookies that are none": sized(b"{}", 2, HEAD + b"Set-Cookie: \x01=;;;=\r\n" * 50),
}


@pytest.fixture
def asked():
    """
    The heads of the requests that have arrived.
    """
    return []


@pytest.fixture
async def serve(asked):
    """
    Start a server that plays a coroutine for each connection, once the request is in; return its
    url.
    """
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[Any] | None] = set()
    writers: list[asyncio.StreamWriter] = []

    async def start(play) -> str:
        async def connected(reader, writer):
            tasks.add(asyncio.current_task())
            writers.append(writer)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                asked.append(head)
                await play(reader, writer)
            with contextlib.suppress(OSError):
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*filter(None, tasks), return_exceptions=True)


def plays(answer: bytes):
    """
    Return what writes *answer* and closes.
    """

    async def play(_reader, writer):
        writer.write(answer)
        await writer.drain()

    return play


@pytest.fixture
async def ask(clocks, time):
    """
    Mint once at a url, with a deadline in seconds; return the outcome.
    """

    async def once(url: str, timeout: float = 5.0) -> Token | TokenError:  # noqa: ASYNC109 - the Line's
        numbers = itertools.count(1)
        at = Issuer("acme", url, token_endpoint=url + "/token")
        user = ServiceUser("reporter", at, ClientSecret("reporter", Secret("canary-secret")))
        async with session() as http:
            line = Line(http, clocks, timeout=timeout)
            mint = Mint(
                line,
                Discovery(line, time.clock.boot),
                clocks,
                time.clock,
                lambda: f"jti-{next(numbers)}",
            )
            try:
                return (await mint(user)).token
            except TokenError as error:
                return error

    return once


def clean(error: object) -> None:
    """
    Check that an error is one of ours and repeats nothing.
    """
    assert isinstance(error, TokenError), error
    assert error.__cause__ is None or "canary" not in repr(error.__cause__)
    text = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert "canary" not in text.replace("canary:", "")
    assert error.reason.isprintable()


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_is_broken_is_unavailable_or_refused(serve, ask, answer):
    """
    Nothing but a TokenError comes of it, within the deadline, with nothing of the answer in it;
    what is broken below HTTP is never taken for the issuer's no.
    """
    url = await serve(plays(answer))
    error = await ask(url)

    clean(error)
    assert not isinstance(error, MintRejected)


async def test_a_good_answer_is_taken_byte_by_byte(serve, ask):
    """
    However small the pieces.
    """

    async def play(_reader, writer):
        for byte in WHOLE:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)

    assert (await ask(await serve(play))).value == Secret("canary-token")


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        WHOLE + b"HTTP/1.1 200 OK\r\n\r\ncanary",
        HEAD + b"\r\n" + GOOD,
        CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20 + WHOLE,
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["plain", "with a tail", "to the end", "tiny chunks", "after 100", "after 103s", "1.0"],
)
async def test_a_good_answer_in_an_odd_frame_is_taken(serve, ask, answer):
    """
    Whatever HTTP/1.1 allows.
    """
    assert (await ask(await serve(plays(answer)))).value == Secret("canary-token")


async def test_a_connection_reset_in_the_middle_is_unavailable(serve, ask):
    """
    A body that broke off is not read as if it were whole.
    """

    async def play(_reader, writer):
        writer.write(sized(GOOD, len(GOOD) + 10))
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    error = await ask(await serve(play))
    clean(error)
    assert isinstance(error, MintUnavailable)


async def _forever(writer, piece: bytes, pause: float = 0.0):
    with contextlib.suppress(OSError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)


@pytest.mark.parametrize(
    ("start", "piece", "pause"),
    [
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" ", 0.01),
        (CHUNKED, b"1\r\n \r\n", 0.01),
        (HEAD, b"X: y\r\n", 0.01),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
        (b"", b"", 0.05),
        (b"HTTP/1.1 200 OK\r\n", b"", 0.05),
    ],
    ids=["body", "chunks", "headers", "1xx", "silence", "half a head"],
)
async def test_an_answer_that_never_ends_ends_at_the_deadline(serve, ask, start, piece, pause):
    """
    However busily it drips: the deadline is that of the whole exchange.
    """

    async def play(_reader, writer):
        writer.write(start)
        await _forever(writer, piece, pause)

    loop = asyncio.get_running_loop()
    began = loop.time()
    error = await ask(await serve(play), 0.3)

    clean(error)
    assert isinstance(error, (MintTimeout, MintUnavailable))
    assert loop.time() - began < 2.0


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD + b"Content-Length: 104857600\r\n\r\n", b" " * 65_536),
        (CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n"),
        (HEAD + b"\r\n", b" " * 65_536),
        (HEAD, b"X-Flood: " + b"y" * 4000 + b"\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 4000 + b"\r\n\r\n"),
    ],
    ids=["100 MB", "chunks", "to the end", "headers", "1xx"],
)
async def test_a_flood_is_not_kept(serve, ask, start, piece):
    """
    Memory stays flat, whatever is poured, and the outcome is a TokenError.
    """

    async def play(_reader, writer):
        writer.write(start)
        await _forever(writer, piece)

    url = await serve(play)
    tracemalloc.start()
    try:
        error = await ask(url, 1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    clean(error)
    assert peak < 8_000_000


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_never_followed(serve, ask, asked, status):
    """
    Wherever it points, also to the same place: the request, and its secret, go nowhere else.
    """
    elsewhere = await serve(plays(WHOLE))
    location = b"Location: " + elsewhere.encode() + b"/token\r\n"
    url = await serve(
        plays(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n" % status + location + b"\r\n")
    )
    error = await ask(url)

    clean(error)
    assert isinstance(error, MintRejected)
    assert len(asked) == 1


async def test_an_issuer_that_does_not_read_the_request_is_no_trouble(ask):
    """
    A server that accepts and is silent ends at the deadline, one that is full as well.
    """
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        error = await ask(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)

    clean(error)
    assert isinstance(error, MintTimeout)

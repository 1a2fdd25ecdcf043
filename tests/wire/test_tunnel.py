"""
An upgrade to a WebSocket, byte by byte: what opens a tunnel, what goes through it, what ends it.
"""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.wire import upstream as upstream_module

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WEBSOCKET = (
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)
ASKED = b"GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
HANDSHAKE = ASKED + WEBSOCKET + b"\r\n"
ACCEPTED = (
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Protocol: chat\r\n"
    b"Set-Cookie: a=b\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    + ACCEPTED
    + b"\r\n"
)
HELLO = b"\x81\x85key!\x03\x00\x15\x4d\x04"  # a masked frame of five bytes
WORLD = b"\x81\x05world"


@pytest.fixture
def opened(call, upstream):
    """
    Open a tunnel; returns the caller's end and the upstream's.
    """

    async def opened(before=b""):
        caller = await call(before + HANDSHAKE)
        peer = await upstream.accept()
        await peer.head()
        peer.send(SWITCH)
        await caller.head()
        return caller, peer

    return opened


async def test_handshake_travels_with_the_token(upstream, call):
    """
    Every Sec-WebSocket line goes up and comes down as it is; the token is ours, so are the two
    lines that ask for the upgrade.
    """
    caller = await call(HANDSHAKE)
    peer = await upstream.accept()
    head = await peer.head()
    peer.send(SWITCH)
    answer = await caller.head()

    assert head == (
        b"GET /chat?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % upstream.port
        + WEBSOCKET
        + b"Authorization: Bearer tok-1\r\nX-Request-Id: id-1\r\nVia: 1.1 authproxy-test\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        + ACCEPTED
        + b"X-Request-Id: id-1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


@pytest.mark.parametrize("split", [0, 40, len(SWITCH) - 1, len(SWITCH), len(SWITCH) + 3])
async def test_bytes_pass_both_ways(split, upstream, call, proxy):
    """
    What comes behind the 101, in its packet or later, is the tunnel's; so is what looks like HTTP.
    """
    caller = await call(HANDSHAKE)
    peer = await upstream.accept()
    await peer.head()
    stream = SWITCH + WORLD + OK
    peer.send(stream[:split])
    await asyncio.sleep(0.01)
    peer.send(stream[split:])
    head = await caller.head()
    down = await caller.read(len(WORLD + OK))
    caller.send(HELLO + GET)

    assert head.startswith(b"HTTP/1.1 101 ")
    assert down == WORLD + OK
    assert await peer.read(len(HELLO + GET)) == HELLO + GET
    assert not proxy.records.qsize()


async def test_early_frames_wait_for_the_101(upstream, call):
    """
    What is sent right behind the handshake reaches the upstream once it has accepted, not before.
    """
    caller = await call(HANDSHAKE + HELLO)
    peer = await upstream.accept()
    await peer.head()
    caller.send(HELLO)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await peer.reader.read(1)
    peer.send(SWITCH)

    assert await peer.read(2 * len(HELLO)) == 2 * HELLO


DECLINED = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "200": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Content-Length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("behind", ["later", "pipelined", "split", "half-closed"])
@pytest.mark.parametrize("answer", list(DECLINED))
async def test_declined_upgrade_is_an_ordinary_request(answer, behind, upstream, call, proxy):
    """
    Its answer goes down, and what comes behind it is a request: served once, never smuggled.
    """
    sent = {"later": b"", "split": GET[:7]}.get(behind, GET + GET)
    caller = await call(HANDSHAKE + sent)
    if behind == "half-closed":
        caller.writer.write_eof()
    peer = await upstream.accept()
    await peer.head()
    peer.send(DECLINED[answer])
    head, body = await caller.message()
    if behind in {"later", "split"}:
        caller.send((GET + GET)[len(sent) :])
    for _ in range(2):
        assert (await peer.head()).startswith(b"GET /next HTTP/1.1\r\n")
        peer.send(OK)
        assert (await caller.message())[1] == b"ok"

    assert head.startswith(b"HTTP/1.1 %b " % answer.encode())
    assert b"pgrade:" not in head
    assert body.strip() in {b"no", b"2\r\nno\r\n0"}
    assert len(upstream.connections) == 1
    if behind == "half-closed":
        assert await caller.gone()
        await proxy.quiet()


async def test_half_a_request_behind_a_declined_upgrade_ends_with_the_caller(upstream, call, proxy):
    """
    A caller that ends within the request behind its upgrade is not waited for.
    """
    caller = await call(HANDSHAKE + GET[:9])
    caller.writer.write_eof()
    peer = await upstream.accept()
    await peer.head()
    peer.send(DECLINED["403"])
    await caller.message()

    assert await caller.gone()
    await proxy.quiet()


async def test_refused_token_is_renewed_and_the_handshake_replayed(upstream, call, proxy):
    """
    A 401 to a handshake is cured like any other; early frames come after the second 101 answer.
    """
    caller = await call(HANDSHAKE + HELLO)
    peer = await upstream.accept()
    first = await peer.head()
    peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    await proxy.keeper.asked.get()
    proxy.keeper.land("tok-2")
    second = await peer.head()
    peer.send(SWITCH)
    answer = await caller.head()
    frames = await peer.read(len(HELLO))
    peer.close()
    caller.close()
    record = await proxy.record()

    assert second == first.replace(b"tok-1", b"tok-2")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert frames == HELLO
    assert record["status"] == 101
    assert record["replayed"] is True


async def test_401_that_nothing_cures_passes(upstream, call, proxy):
    """
    With no other token to be had the 401 goes down, and the connection is usable.
    """
    proxy.keeper.kind = "static"
    caller = await call(HANDSHAKE)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    await proxy.keeper.asked.get()
    proxy.keeper.land(None)
    head, body = await caller.message()
    caller.send(GET)
    await peer.head()
    peer.send(OK)

    assert (head[:13], body) == (b"HTTP/1.1 401 ", b"no")
    assert (await caller.message())[1] == b"ok"


async def test_handshake_on_a_stale_connection_is_sent_once_more(upstream, call):
    """
    A kept connection that ends unanswered costs a handshake no more than any other GET.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    caller.send(HANDSHAKE + HELLO)
    await peer.head()
    peer.reset()
    peer = await upstream.accept()
    await peer.head()
    peer.send(SWITCH)

    assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
    assert await peer.read(len(HELLO)) == HELLO


async def test_handshake_waits_for_its_turn(upstream, call):
    """
    A handshake pipelined behind a request is forwarded after that is answered.
    """
    caller = await call(GET + HANDSHAKE + HELLO)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    assert b"\r\nUpgrade: websocket\r\n" in await peer.head()
    peer.send(SWITCH)

    assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
    assert await peer.read(len(HELLO)) == HELLO


PLAIN = {
    "length": ASKED + b"Content-Length: 4\r\n\r\nbody",
    "chunked": ASKED + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "post": HANDSHAKE.replace(b"GET", b"POST"),
    "http/1.0": HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "not nominated": HANDSHAKE.replace(b"keep-alive, Upgrade", b"keep-alive"),
    "h2c": HANDSHAKE.replace(b"websocket\r\n", b"h2c\r\nHTTP2-Settings: AAMAAABk\r\n", 1),
    "list": HANDSHAKE.replace(b"websocket\r\n", b"websocket, h2c\r\n", 1),
    "empty": HANDSHAKE.replace(b"websocket\r\n", b"\r\n", 1),
    "get": GET,
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=list(PLAIN))
async def test_other_upgrades_are_ignored(data, upstream, call):
    """
    Not the handshake of a WebSocket: an ordinary request without an Upgrade line (RFC 9110 §7.8).
    """
    caller = await call(data)
    peer = await upstream.accept()
    head, body = await peer.message()
    peer.send(OK)
    answer, down = await caller.message()

    assert b"pgrade" not in head.partition(b"\r\n\r\n")[0].replace(b"Upgrade-Insecure", b"")
    assert b"HTTP2" not in head
    assert body.strip() in {b"", b"body", b"4\r\nbody\r\n0"}
    assert (answer[:13], down) == (b"HTTP/1.1 200 ", b"ok")


@pytest.mark.parametrize("data", PLAIN.values(), ids=list(PLAIN))
async def test_101_unasked_is_a_502(data, upstream, call, proxy):
    """
    An upstream that switches protocols unasked is not followed; nothing it says comes through.
    """
    caller = await call(data)
    peer = await upstream.accept()
    await peer.message()
    peer.send(SWITCH + OK)
    head, body = await caller.message()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"upstream_protocol"' in body
    assert await peer.gone()
    assert (await proxy.record())["upstream_status"] is None


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Upgrade: websocket\r\nConnection: keep-alive\r\n",
        b"Connection: Upgrade\r\n",
        b"",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 7\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_malformed_101_is_a_502(lines, upstream, call):
    """
    A 101 that does not say what was asked for opens nothing (RFC 6455 §4.1).
    """
    caller = await call(HANDSHAKE + HELLO)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n" + WORLD)
    head, body = await caller.message()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"upstream_protocol"' in body
    assert await peer.gone()


async def test_account_of_a_tunnel(upstream, call, proxy, opened):
    """
    One line, when it is over: status 101, the tunnel's bytes both ways, how long it stood.
    """
    caller, peer = await opened()
    caller.send(HELLO)
    await peer.read(len(HELLO))
    peer.send(WORLD * 2)
    await caller.read(2 * len(WORLD))
    proxy.clock.seconds += 7
    caller.close()
    record = await proxy.record()

    assert (record["status"], record["upstream_status"]) == (101, 101)
    assert (record["bytes_in"], record["bytes_out"]) == (len(HELLO), 2 * len(WORLD))
    assert record["duration_ms"] == 7000.0
    assert record["error"] is None
    assert await peer.gone()
    peer.close()
    await proxy.quiet()
    await proxy.until(lambda: not proxy.generation.pools[0]._open)
    assert proxy.gateway.metrics.active == 0


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("who", ["caller", "upstream"])
async def test_either_end_closes_the_other(who, how, upstream, call, proxy, opened):
    """
    What was said before the end still arrives, and then the other connection ends.
    """
    ends = await opened()
    leaver, stayer = ends if who == "caller" else ends[::-1]
    goodbye = b"\x88\x02\x03\xe8" if who == "upstream" else b"\x88\x82key!\x68\x8d"
    leaver.send(goodbye)
    if how == "reset":
        assert await stayer.read(len(goodbye)) == goodbye
    getattr(leaver, how)()

    assert await stayer.rest() == (goodbye if how == "close" else b"")
    stayer.close()
    assert (await proxy.record())["status"] == 101
    await proxy.quiet()
    await proxy.until(lambda: not proxy.generation.pools[0]._open)


async def test_goodbye_reaches_an_upstream_that_is_still_talking(upstream, call, proxy, opened):
    """
    The caller says goodbye and is gone while bytes wait for it: the upstream reads the goodbye and
    an orderly end, no reset.
    """
    caller, peer = await opened()
    pouring = asyncio.gather(peer.pour(b"x" * 65536, 400), return_exceptions=True)
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.exchange.upstream._stopped)
    caller.send(HELLO)
    assert await peer.read(len(HELLO)) == HELLO
    caller.send(b"bye")
    caller.writer.close()

    assert await peer.read(3) == b"bye"
    assert await peer.reader.read() == b""
    assert (await pouring)[0] is None
    peer.reset()
    await proxy.until(lambda: not proxy.generation.pools[0]._open)


async def test_upstream_that_does_not_close_is_closed(upstream, call, proxy, opened, monkeypatch):
    """
    Once the caller is gone, the upstream's connection ends soon whatever it does.
    """
    monkeypatch.setattr(upstream_module, "FAREWELL", 0.01)
    caller, peer = await opened()
    caller.close()
    assert await peer.gone()

    await proxy.until(lambda: not proxy.generation.pools[0]._open)


async def test_idle_tunnel_is_closed(upstream, call, proxy, opened):
    """
    Without a byte in either direction for the route's idle time both ends close; one byte in one
    direction keeps it.
    """
    await proxy.start([{"name": "api", "timeouts": {"response": "3s", "idle": "60s"}}])
    caller, peer = await opened()
    for each, other in ((caller, peer), (peer, caller)):
        proxy.sweep(50)
        each.send(b"x")
        assert await other.read(1) == b"x"
    proxy.sweep(50)
    assert not proxy.records.qsize()
    proxy.sweep(20)

    assert await caller.gone()
    assert await peer.gone()
    record = await proxy.record()
    assert record["status"] == 101
    assert record["error"].startswith("upstream_timeout")


async def test_tunnel_knows_no_deadline_of_requests(upstream, call, proxy, opened):
    """
    Neither a body's pace nor the deadline of a whole request is asked of a tunnel.
    """
    await proxy.start([{"name": "api", "timeouts": {"request": "10s"}}])
    caller, peer = await opened()
    for _ in range(4):
        proxy.sweep(40)
        caller.send(b"x")
        assert await peer.read(1) == b"x"

    assert not proxy.records.qsize()


def small(peer):
    """
    Make what the kernel keeps for this end small, so that it is felt at once that it is slow.
    """
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    return peer


async def test_both_ways_at_once_in_little_memory(upstream, call, proxy, opened):
    """
    10 MB each way, both ends slow: each is held back by the other, and little is kept here.
    """
    size = 10 << 20
    caller, peer = map(small, await opened())
    (connection,) = proxy.connections
    pipe = connection.exchange.upstream
    pouring = asyncio.gather(
        caller.pour(b"c" * 65536, size >> 16), peer.pour(b"u" * 65536, size >> 16)
    )
    await proxy.until(lambda: connection.held & 4 and pipe._stopped)
    got, most = [0, 0], 0
    while min(got) < size:
        for index, end in enumerate((caller, peer)):
            if got[index] < size:
                got[index] += len(await end.reader.read(1 << 16))
        kept = (
            connection.transport.get_write_buffer_size(),
            pipe.transport.get_write_buffer_size(),
        )
        most = max(most, *kept)
    await pouring

    assert got == [size, size]
    assert most < 1 << 20
    assert connection.held == 0
    assert not pipe._stopped


async def test_an_end_that_reads_nothing_is_given_up(upstream, call, proxy, opened):
    """
    Bytes that nobody takes for the idle time end the tunnel, and it leaves nothing behind.
    """
    caller, peer = await opened()
    pouring = asyncio.gather(caller.pour(b"c" * 65536, 400), return_exceptions=True)
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held & 4)
    for _ in range(3):
        proxy.sweep(80)
        await asyncio.sleep(0)
    record = await proxy.record()
    peer.close()
    caller.close()
    await pouring
    await proxy.quiet()

    assert record["error"].startswith("upstream_timeout")
    await proxy.until(lambda: not proxy.generation.pools[0]._open)


@pytest.mark.parametrize("who", ["caller", "upstream"])
async def test_a_held_end_that_resets_is_noticed(who, upstream, call, proxy, opened):
    """
    An end that is not read, because the other is slow, and then is gone ends the tunnel.
    """
    caller, peer = await opened()
    talker = caller if who == "caller" else peer
    pouring = asyncio.gather(talker.pour(b"x" * 65536, 400), return_exceptions=True)
    (connection,) = proxy.connections
    pipe = connection.exchange.upstream
    await proxy.until(lambda: connection.held & 4 or pipe._stopped)
    talker.reset()
    await pouring
    if who == "upstream":
        await caller.rest()  # it is read again once its bytes were taken
        caller.close()
    proxy.sweep(1)

    assert (await proxy.record())["status"] == 101
    await proxy.quiet()


async def test_half_closed_before_the_101_ends_with_it(upstream, call, proxy):
    """
    Who asks for a tunnel and closes its sending side gets the answer; its end goes on to the upstream.
    """
    caller = await call(HANDSHAKE + HELLO)
    caller.writer.write_eof()
    peer = await upstream.accept()
    await peer.head()
    proxy.sweep(1)
    peer.send(SWITCH)
    assert await peer.read(len(HELLO)) == HELLO
    assert await peer.gone()
    peer.close()
    answer = await caller.rest()

    assert answer.endswith(b"Upgrade: websocket\r\n\r\n")
    await proxy.quiet()


CLOSING = b"\x88\x02\x03\xe9"


@pytest.mark.parametrize(
    ("down", "heard"),
    [
        (b"", CLOSING),
        (WORLD, WORLD + CLOSING),
        (WORLD[:-1], WORLD[:-1]),
        (WORLD + b"\x81", WORLD + b"\x81"),
        (WORLD + b"\x88\x00", WORLD + b"\x88\x00"),
    ],
    ids=["nothing", "frame", "part", "header", "closed"],
)
async def test_a_stopping_proxy_says_goodbye_between_frames(
    down, heard, upstream, call, proxy, opened
):
    """
    A tunnel goes on while draining; given up, it ends with 1001 unless within a frame.
    """
    caller, peer = await opened()
    (connection,) = proxy.connections
    connection.drain()
    caller.send(HELLO)
    assert await peer.read(len(HELLO)) == HELLO
    peer.send(down)
    if down:
        await proxy.until(lambda: connection.exchange.bytes_out == len(down))
    connection.give_up()

    assert await caller.rest() == heard
    up = await peer.rest()
    assert up[:2] == b"\x88\x82"
    assert bytes(a ^ b for a, b in zip(up[6:], up[2:], strict=False)) == b"\x03\xe9"
    peer.close()
    caller.close()
    assert (await proxy.record())["status"] == 101
    await proxy.quiet()

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

BAD = {
    "garbage": b"garbage\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "TE gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "bare 101": b"HTTP/1.1 101 X\r\n\r\n",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000,
    "lines": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    "interims": b"HTTP/1.1 102 X\r\n\r\n" * 17,
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
async def test_malformed_response_is_a_502(answer, upstream, call, proxy):
    """
    What is no HTTP/1.1 response is never passed on, and its connection is dropped.
    """
    caller = await call(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(answer)
    head, body = await caller.message()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_protocol"' in body
    assert b"error=http_protocol_error" in head
    assert await peer.gone()
    assert (await proxy.record())["error"].startswith("upstream_protocol: ")


async def test_refused_connection_is_a_502_without_an_address(proxy, call):
    """
    Nobody listens: 502, and neither answer nor log names the address.
    """
    port = 1
    await proxy.start([{"name": "api", "upstream": f"http://127.0.0.1:{port}"}])
    caller = await call(GET)
    head, body = await caller.message()
    record = await proxy.record()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_connect"' in body
    assert b"127.0.0.1" not in head + body
    assert "127.0.0.1" not in record["error"]
    assert "refused" in record["error"]


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_connection_lost_before_the_head_is_a_502(how, upstream, call):
    """
    A fresh connection that ends unanswered is not tried again.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    getattr(peer, how)()
    head, body = await caller.message()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_closed"' in body
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    ("request_line", "begin"),
    [
        (b"GET / HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nabc"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    ],
)
async def test_body_cut_short_never_ends_cleanly(how, request_line, begin, upstream, call, proxy):
    """
    The caller sees its connection close before the promised end.
    """
    caller = await call(request_line + b"\r\nHost: a\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(begin)
    assert b"200 OK" in await caller.head()
    if b"chunked" not in begin:
        await caller.read(3)
    getattr(peer, how)()
    rest = await caller.rest()

    assert not rest.endswith(b"0\r\n\r\n")
    assert (await proxy.record())["error"].startswith("upstream_closed: ")


async def test_body_cut_short_resets_a_caller_that_reads_until_close(upstream, call):
    """
    Where the connection's end is the body's end, a cut body ends in a reset.
    """
    caller = await call(b"GET / HTTP/1.0\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await caller.head()
    await caller.read(3)
    peer.close()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(caller.reader.read(1), 5)


@pytest.mark.parametrize(
    "extra",
    [OK, b"x", b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n"],
    ids=["response", "byte", "head", "chunk"],
)
@pytest.mark.parametrize(
    "first",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["length", "204", "chunked"],
)
async def test_extra_bytes_reach_nobody(first, extra, upstream, call):
    """
    What comes after a response goes nowhere, and its connection serves nobody else.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(first + extra)
    await caller.message()
    caller.send(GET)
    second = await upstream.accept()
    await second.head()
    second.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew")

    assert (await caller.message())[1] == b"new"


async def test_bytes_on_an_idle_connection_drop_it(upstream, call, proxy):
    """
    A connection that speaks unasked is closed, not used.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    peer.send(OK)
    assert await peer.gone()
    caller.send(GET)

    assert await (await upstream.accept()).head()


async def stale(upstream, call, proxy):
    """
    Return a caller for which a pooled connection is there that the upstream is about to close.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await caller.message()
    return caller, peer


async def test_stale_connection_get_is_retried_once(upstream, call, proxy):
    """
    A reused connection that ends unanswered costs an idempotent request one more try, not two.
    """
    caller, peer = await stale(upstream, call, proxy)
    caller.send(GET)
    await peer.head()
    peer.close()
    second = await upstream.accept()
    await second.head()
    second.close()

    assert (await caller.head()).startswith(b"HTTP/1.1 502 ")
    assert len(upstream.connections) == 2


async def test_stale_connection_put_is_retried_with_its_body(upstream, call, proxy):
    """
    The body goes along.
    """
    caller, peer = await stale(upstream, call, proxy)
    caller.send(POST.replace(b"POST", b"PUT"))
    await peer.message()
    peer.close()
    second = await upstream.accept()

    assert (await second.message())[1] == b"hi"


async def test_stale_connection_post_is_not_retried(upstream, call, proxy):
    """
    A POST may have taken effect: 502.
    """
    caller, peer = await stale(upstream, call, proxy)
    caller.send(POST)
    await peer.message()
    peer.close()

    assert (await caller.head()).startswith(b"HTTP/1.1 502 ")
    assert len(upstream.connections) == 1


async def test_expectation_is_forwarded_and_the_100_relayed(upstream, call):
    """
    The upstream decides over Expect: 100-continue; its 100 goes down, then the body up.
    """
    caller = await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    peer = await upstream.accept()
    assert b"Expect: 100-continue\r\n" in await peer.head()
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.send(b"hi")
    assert await peer.read(2) == b"hi"
    peer.send(OK)
    head, body = await caller.message()

    assert b"Connection: close" not in head
    assert body == b"ok"


async def test_final_answer_instead_of_100_closes(upstream, call):
    """
    Nobody knows whether the body still comes: the answer goes down and the connection closes.
    """
    caller = await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    peer.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")

    assert b"103 Early Hints\r\nLink: x\r\n" in await caller.head()
    assert b"Connection: close\r\n" in await caller.head()
    assert await caller.gone()
    assert await peer.gone()


async def test_unasked_100_is_swallowed(upstream, call):
    """
    A caller that did not expect it does not see a 100.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    assert (await caller.head()).startswith(b"HTTP/1.1 200 ")


async def test_early_answer_stops_the_upload(upstream, call):
    """
    An answer before the body's end goes down at once; that upstream connection is not used again.
    """
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\nabc")
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert (await caller.message())[1] == b"no"
    assert await peer.rest() == b"abc"
    caller.send(b"x" * 299997 + GET)

    assert await (await upstream.accept()).head()


async def test_early_answer_to_an_endless_upload_closes(upstream, call, proxy):
    """
    Only so much of what nobody wants is read; then the connection ends.
    """
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await caller.head()
    pouring = asyncio.gather(caller.pour(b"10000\r\n" + b"x" * 65536 + b"\r\n", 400))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.closing and connection.held)
    proxy.sweep(proxy.limits.linger_time + 1)
    with pytest.raises(ConnectionError):
        await pouring
    await proxy.quiet()


async def test_malformed_body_after_an_early_answer_closes(upstream, call, proxy):
    """
    A body nobody wants any more, and that is malformed as well, ends the connection.
    """
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    await caller.head()
    caller.send(b"zz\r\n")

    assert await caller.gone()


async def test_upgrade_offered_in_a_200_is_an_ordinary_answer(upstream, call):
    """
    Servers that advertise h2c in each answer are understood.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(
        b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok"
    )
    head, body = await caller.message()

    assert b"pgrade" not in head
    assert body == b"ok"


async def test_slow_caller_gets_all_in_little_memory(upstream, call, proxy):
    """
    100 MiB to a caller that does not read: what is held of them stays below a MiB.
    """
    size = 100 << 20
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    most = 0

    pouring = asyncio.gather(peer.pour(b"x" * (1 << 20), size >> 20))
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    await caller.head()
    got = 0
    while got < size:
        got += len(await caller.reader.read(1 << 20))
        most = max(most, connection.transport.get_write_buffer_size())
    await pouring

    assert most < 1 << 20


async def test_slow_upstream_gets_all_in_little_memory(upstream, call, proxy):
    """
    100 MiB to an upstream that reads slowly: the caller is held, and little is kept.
    """
    size = 100 << 20
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    peer = await upstream.accept()
    await peer.head()
    (connection,) = proxy.connections
    most = 0

    pouring = asyncio.gather(caller.pour(b"x" * (1 << 20), size >> 20))
    await proxy.until(lambda: connection.held)
    got = 0
    while got < size:
        got += len(await peer.reader.read(1 << 20))
        pipe = connection.exchange.upstream.transport
        most = max(most, pipe.get_write_buffer_size())
    await pouring
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"
    assert most < 1 << 20


async def test_pipelining_caller_that_does_not_read_is_not_read(upstream, call, proxy):
    """
    Large answers to queued requests wait upstream, not here, while the caller takes nothing.
    """
    caller = await call(GET * 3)
    (connection,) = proxy.connections
    peer = await upstream.accept()
    most = 0
    for _ in range(3):
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 24000000\r\n\r\n")
        peer.send(b"x" * 24_000_000)
        await proxy.until(lambda: connection.held & 8)
        most = max(most, connection.transport.get_write_buffer_size())
        assert len((await caller.message())[1]) == 24_000_000

    assert most < 1 << 20


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", ["token", "head", "upload", "download", "queued"])
async def test_caller_who_leaves_takes_its_request_along(phase, how, upstream, call, proxy):
    """
    Upstream's connection is dropped, no task stays, and the log says 499.
    """
    if phase == "token":
        proxy.keeper.value = ""
    sent = POST[:-1] if phase == "upload" else GET * 2 if phase == "queued" else GET
    caller = await call(sent)
    peer = None
    if phase == "token":
        await proxy.keeper.asked.get()
    else:
        peer = await upstream.accept()
        await peer.head()
    if peer is not None and phase == "download":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await caller.head()
    if phase == "queued":
        await proxy.until(lambda: any(connection.held for connection in proxy.connections))
        (connection,) = proxy.connections
        connection.eof_received()  # a held connection is not read: the kernel would tell later
        connection.transport.abort()
    else:
        getattr(caller, how)()
        if how == "close" and phase != "upload":
            await proxy.left()
    record = await proxy.record()
    if phase == "token":
        proxy.keeper.land("tok-2")
    await proxy.quiet()

    assert record["status"] == 499
    assert record["error"] == "caller_left"
    if peer is not None:
        assert await peer.rest() in {b"", b"h"}
        assert not proxy.generation.pools[0]._open


async def test_caller_who_leaves_while_connecting(upstream, call, proxy):
    """
    The connection that then stands serves the next one.
    """
    await proxy.start()
    caller = await call(GET)
    await proxy.until(lambda: proxy.generation.pools[0]._connecting)
    (connection,) = proxy.connections
    connection.transport.abort()
    record = await proxy.record()
    await proxy.quiet()
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"
    assert record["status"] == 499
    assert len(upstream.connections) == 1


async def test_connection_closed_at_once_is_a_502(upstream, call, proxy):
    """
    A connection that is lost before it could be used fails the request at once.
    """
    await proxy.start()
    pool = proxy.generation.pools[0]
    opened = pool.opened

    def lose(one):
        opened(one)
        one.transport.abort()

    pool.opened = lose
    caller = await call(GET)

    assert b'"upstream_closed"' in (await caller.message())[1]

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
H = b"Host: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "empty host": b"GET http://a/ HTTP/1.1\r\nHost: u@b\r\n\r\n",
    "host with userinfo": b"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n",
    "host with space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "host with path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with query": b"GET / HTTP/1.1\r\nHost: a?c\r\n\r\n",
    "CL and TE": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    **{
        f"CL {value!r}": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\nabc" % value
        for value in (
            b"3, 3",
            b"+3",
            b"-1",
            b"0x3",
            b"1_0",
            b"",
            b"9" * 30,
            b"3 3",
            b"\xc2\xb3",
            b"3;",
            b"\x0b3",
        )
    },
    "CL twice": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "CL twice, unlike": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    **{
        f"TE {value!r}": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n"
        % value
        for value in (
            b"xchunked",
            b"chunked, identity",
            b",chunked",
            b"\x0bchunked",
            b"identity",
            b"chunked;q=1",
            b'"chunked"',
            b"chunked, chunked",
            b"",
        )
    },
    "TE twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in 1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
    "space before first": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
    "odd name": b"GET / HTTP/1.1\r\nHost: a\r\nX[: a\r\n\r\n",
    "obs-text name": b"GET / HTTP/1.1\r\nHost: a\r\nX\x85: a\r\n\r\n",
    "obs-text value": b"GET / HTTP/1.1\r\nHost: a\r\nX: ad\xffmin\r\n\r\n",
    "obs-text target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "obs-text host": b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF in head": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR, bare LF": b"GET / HTTP/1.1\rAfoo: x\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "NUL in value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "NUL in name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0: ab\r\n\r\n",
    "NUL in target": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CTL in value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    "DEL in value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "broken escape": b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority": b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "userinfo": b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "other scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00",
    "chunk 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk -0": CHUNKED + b"-0\r\n\r\n",
    "chunk _": CHUNKED + b"0_2e\r\nabc\r\n0\r\n\r\n",
    "chunk space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk huge": CHUNKED + b"10000000000000000\r\nabc",
    "chunk LF": CHUNKED + b"3\nabc\n0\n\n",
    "chunk ext LF": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "chunk no CRLF": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "trailer CL": CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_malformed_is_refused(data, upstream, call, proxy, both_loops):
    """
    400 with a constant text, the connection closes, the next request is not read, nothing goes up.
    """
    caller = await call(data + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")
    record = await proxy.record()

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert head.endswith(b"\r\nConnection: close")
    assert b'"detail": "The request is not well-formed HTTP/1.1; nothing was forwarded."' in body
    assert b"smuggled" not in body
    assert b"HTTP/1.1" not in body.replace(b"well-formed HTTP/1.1", b"")
    assert proxy.records.empty()
    assert record["status"] == 400
    caller.close()
    await proxy.quiet()
    proxy.generation.retire()
    assert all([await peer.gone() for peer in upstream.connections])


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        (b"GET /\r\n\r\n", 505, "version_not_supported"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417, "expectation_failed"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "coding_not_supported",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_not_served_has_its_own_code(data, status, code, upstream, call, proxy):
    """
    A well-formed request for what this proxy does not do is told so; nothing goes up.
    """
    caller = await call(data + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert f'"code": "{code}"'.encode() in body
    assert (await proxy.record())["status"] == status
    assert proxy.records.empty()
    assert not upstream.connections


async def test_what_was_no_request_is_among_the_failures_of_late(call, proxy):
    """
    With its reason and request id, for whoever looks at the status page.
    """
    caller = await call(b"GET / HTTP/1.1\r\nHost: a b\r\nHost: c\r\n\r\n")
    _ = await caller.rest()
    record = await proxy.record()

    (failure,) = proxy.gateway.metrics.recent.failures()
    assert (failure.status, failure.code, failure.path) == (400, "bad_request", None)
    assert f"{failure.code}: {failure.reason}" == record["error"]
    assert list(failure.request_ids) == [record["request_id"]]


async def test_malformed_text_never_repeats_the_bytes(call, proxy):
    """
    What the parser choked on stands neither in the answer nor in the log.
    """
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\x01\r\n\r\n")

    assert b"canary" not in await caller.rest()
    assert "canary" not in str(await proxy.record())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 300000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 65536 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 600000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 128 + b"\r\n", 431),
        (CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"a" * 600000, 431),
        (CHUNKED + b"1;" + b"a" * 600000, 431),
        ((b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n") * 129, 503),
    ],
    ids=["connect", "trace", "target", "endless target", "head", "endless head", "lines",
         "endless trailer", "endless extension", "burst"],
)  # fmt: skip
async def test_limits_and_methods(data, status, upstream, call, proxy):
    """
    Too long, too many and not ours: the right status, and the connection closes.
    """
    await proxy.start([{"name": "api", "match": {"path": "/x"}}, {"name": "r", "match": {"path": "/"}}]
                      if status != 503 else [{"name": "api", "match": {"path": "/x"}}])  # fmt: skip
    caller = await call(data)
    everything = await caller.rest()

    assert everything.rpartition(b"HTTP/1.1 ")[2].startswith(b"%d " % status)
    caller.close()
    await proxy.quiet()
    proxy.generation.retire()
    assert all([await peer.gone() for peer in upstream.connections])


async def test_largest_head_passes(upstream, call):
    """
    A target and a header section just within the limits are served.
    """
    target = b"/" + b"a" * 8191
    await call(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 65000 + b"\r\n\r\n")
    peer = await upstream.accept()
    peer.reader._limit = 1 << 20

    assert (await peer.head()).startswith(b"GET " + target + b" ")


async def test_head_in_pieces_leaves_the_connection_at_rest(upstream, call, proxy):
    """
    After a head that came in two reads the connection is idle like any other: no head deadline runs.
    """
    upstream.answer = OK
    caller = await call(b"GET / HTTP/1.1\r\nHo")
    await proxy.until(lambda: any(connection._fed for connection in proxy.connections))
    caller.send(b"st: a\r\n\r\n")
    await caller.message()
    proxy.sweep(proxy.limits.head_time + 1)
    caller.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (await caller.head()).startswith(b"HTTP/1.1 200 ")


async def test_fifty_pipelined_are_answered_in_order(upstream, call, both_loops):
    """
    Pipelined requests are forwarded one after the other and answered in their order.
    """
    upstream.answer = OK
    caller = await call(
        b"".join(
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" % number
            if number % 2
            else b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
            for number in range(50)
        )
    )
    answers = [await caller.message() for _ in range(50)]

    assert [seen.split()[1] for seen in upstream.seen] == [b"/%d" % n for n in range(50)]
    assert all(b"X-Request-Id: id-" in head and body == b"ok" for head, body in answers)
    assert len(upstream.connections) == 1


async def test_bad_after_good_is_refused_last(upstream, call, both_loops):
    """
    What came before the malformed request is answered first; nothing after it is executed.
    """
    upstream.answer = OK
    caller = await call(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    answers = await caller.rest()

    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.count(b"HTTP/1.1 ") == 3
    assert answers.index(b"HTTP/1.1 400 ") > answers.rindex(b"HTTP/1.1 200 ")
    assert [seen.split()[1] for seen in upstream.seen] == [b"/1", b"/2"]


@pytest.mark.parametrize(
    "bad",
    [
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
async def test_nothing_is_executed_behind_the_last_request(bad, upstream, call):
    """
    Once the connection is to close, what is pipelined behind is not forwarded.
    """
    upstream.answer = OK
    caller = await call(bad + b"POST /behind HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    answer = await caller.rest()

    assert answer.count(b"HTTP/1.1 ") == 1
    assert not [seen for seen in upstream.seen if b"behind" in seen]


async def test_thousand_queued_failures_do_not_nest(upstream, call, proxy):
    """
    Requests that wait and then fail at once are answered one after the other, however many.
    """
    await proxy.start([{"name": "api", "match": {"path": "/x"}}])
    caller = await call(
        b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n" * 127
    )
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    assert (await caller.head()).startswith(b"HTTP/1.1 200 ")
    assert await caller.read(2) == b"ok"
    for _ in range(127):
        assert (await caller.message())[0].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
async def test_known_length_then_a_pipelined_request(size, upstream, call, both_loops):
    """
    A body of known length, and the request behind it in the same packet, are told apart.
    """
    upstream.answer = OK
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    caller = await call(
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        + body
        + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    for _ in range(2):
        assert (await caller.message())[1] == b"ok"
    assert upstream.seen[0].endswith(b"\r\n\r\n" + body)
    assert upstream.seen[1].startswith(b"GET /2 ")


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
async def test_known_length_down_then_the_next(size, upstream, call, both_loops):
    """
    A response of known length comes down whole, and the connection serves on.
    """
    body = b"x" * size
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body
    caller = await call(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (await caller.message())[1] == body
    assert (await caller.message())[1] == body
    assert len(upstream.connections) == 1


STREAM = (
    b"GET /1?a=b HTTP/1.1\r\nHost: a\r\nX-Long: " + b"v" * 40 + b"\r\n\r\n"
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nGET / HTTP/1"
    b"POST /3 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
    b"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\n\r\n"
    b"PUT /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    b"DELETE /6 HTTP/1.1\r\nHost: a\r\n\r\n"
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
async def test_splitting_changes_nothing(cuts, upstream, call, proxy):
    """
    However a pipelined stream is cut into packets, upstream sees the same requests.
    """
    upstream.answer = OK
    upstream.seen.clear()
    caller = await call()
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    connection = await newest(proxy)
    for start, end in itertools.pairwise(edges):
        if connection.transport is None:
            break
        connection.data_received(STREAM[start:end])
    answers = [await caller.message() for _ in range(6)]

    assert [(seen.split()[0], seen.split()[1]) for seen in upstream.seen] == [
        (b"GET", b"/1?a=b"), (b"POST", b"/2"), (b"POST", b"/3"), (b"GET", b"/4"), (b"PUT", b"/5"),
        (b"DELETE", b"/6"),
    ]  # fmt: skip
    assert upstream.seen[1].endswith(b"\r\n\r\nGET / HTTP/1")
    assert upstream.seen[2].endswith(b"\r\n\r\nabc")
    assert [b"pgrade" in seen for seen in upstream.seen] == [False] * 3 + [True] + [False] * 2
    assert all(body == b"ok" for _, body in answers)
    caller.close()
    await proxy.quiet()


async def newest(proxy):
    """
    Return the one connection that is open, once it is.
    """
    await proxy.until(lambda: proxy.connections)
    (connection,) = proxy.connections
    return connection


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=6),
    cuts=st.lists(st.integers(1, 200), max_size=8),
    upgrade=st.booleans(),
)
@example(pieces=[b"0\r\n\r\n", b"a"], cuts=[], upgrade=True)  # data that looks like the end
async def test_chunked_body_survives_any_cut(pieces, cuts, upgrade, upstream, call, proxy):
    """
    A chunked body, cut anywhere, with or without an upgrade nobody takes, arrives as what it is.
    """
    upstream.answer = OK
    upstream.seen.clear()
    extra = b"Connection: upgrade\r\nUpgrade: h2c\r\n" if upgrade else b""
    stream = (
        CHUNKED[:-2] + extra + b"\r\n"
        + b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        + b"0\r\n\r\nGET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
    )  # fmt: skip
    caller = await call()
    connection = await newest(proxy)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in itertools.pairwise(edges):
        connection.data_received(stream[start:end])
    for _ in range(2):
        assert (await caller.message())[1] == b"ok"

    head, _, raw = upstream.seen[0].partition(b"\r\n\r\n")
    assert dechunk(raw) == b"".join(pieces)
    assert b"pgrade" not in head
    assert upstream.seen[1].startswith(b"GET /tail ")
    caller.close()
    await proxy.quiet()


def dechunk(raw: bytes) -> bytes:
    """
    Return the body of well-formed chunks without extensions.
    """
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        if int(size, 16) == 0:
            assert raw == b"\r\n"
            return body
        body += raw[: int(size, 16)]
        assert raw[int(size, 16) :][:2] == b"\r\n"
        raw = raw[int(size, 16) + 2 :]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0, 90),
    put=st.binary(max_size=3),
    cut=st.integers(0, 3),
)
async def test_mutation_never_makes_two_of_one(at, put, cut, upstream, call, proxy):
    """
    One request with a few bytes changed is forwarded once or not at all, and is never our fault.
    """
    upstream.answer = OK
    upstream.seen.clear()
    valid = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-A: b\r\nContent-Length: 24\r\n\r\nGET /b HTTP/1.1\r\nA: b\r\n\r\n"
    caller = await call()
    connection = await newest(proxy)
    connection.data_received(valid[:at] + put + valid[at + cut :])
    caller.writer.write_eof()
    answer = await caller.rest()
    await proxy.quiet()

    assert len(upstream.seen) <= 1
    assert not answer.startswith(b"HTTP/1.1 5") or answer.startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize(
    ("data", "keep"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo , CLOSE\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: \r\n\r\n", True),
    ],
)
async def test_keeping_the_connection(data, keep, upstream, call):
    """
    HTTP/1.0 closes unless asked, HTTP/1.1 stays unless asked; the answer says so.
    """
    upstream.answer = OK
    caller = await call(data)
    head, _ = await caller.message()
    if keep:
        caller.send(data)
        assert (await caller.message())[1] == b"ok"
    else:
        assert b"Connection: close\r\n" in head
        assert await caller.gone()


async def test_http10_gets_no_chunks(upstream, call):
    """
    To HTTP/1.0 a chunked response is sent bare, and the connection's end is its end.
    """
    upstream.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    caller = await call(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")

    assert b"ransfer-" not in head
    assert head.endswith(b"Connection: close")
    assert body == b"abc"


async def test_absolute_form_goes_up_in_origin_form(upstream, call, proxy):
    """
    The target's authority is the host, its path what goes up.
    """
    upstream.answer = OK
    await proxy.start([{"name": "a", "match": {"host": "a.example"}}])
    caller = await call(b"GET http://A.example:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n")
    await caller.message()

    assert upstream.seen[0].startswith(b"GET /x?y HTTP/1.1\r\nHost: 127.0.0.1")


async def test_host_chooses_the_route(upstream, call, proxy):
    """
    Routes see the host without port, case and final dot; absolute-form wins over Host.
    """
    upstream.answer = OK
    await proxy.start([{"name": "one", "match": {"host": "one.example"}}])
    caller = await call(
        b"GET / HTTP/1.1\r\nHost: One.Example.:8080 \r\n\r\n"
        b"GET http://one.example/ HTTP/1.1\r\nHost: two.example\r\n\r\n"
        b"GET http://two.example/ HTTP/1.1\r\nHost: one.example\r\n\r\n"
    )
    statuses = [(await caller.message())[0].split()[1] for _ in range(3)]

    assert statuses == [b"200", b"200", b"404"]


@pytest.mark.parametrize(
    "path",
    [
        b"/a/..%2fb/x", b"/a/%2e%2e/b/x", b"/a//../../b/x", b"/a/..\\b/x", b"/a/..;x=y/b/x",
        b"/b;x/y", b"//b/x", b"/%62/x", b"/a/%252e%252e/b/x", b"/a/%5c..%5c../b/x", b"/b%3fx",
        b"/a/.%2e/b", b"/x/../b/", b"/a/../b//../a/y",
    ],
)  # fmt: skip
async def test_path_that_reads_as_anothers_is_refused(path, upstream, call, proxy):
    """
    A path that some server would take for another route's is nobody's.
    """
    await proxy.start([{"name": name, "match": {"path": f"/{name}/"}} for name in ("a", "b")])
    caller = await call(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")
    assert not upstream.connections


async def test_discarded_bodies_do_not_add_up(upstream, call, proxy):
    """
    What was thrown away of one request does not count against the next on the connection.
    """
    await proxy.start([{"name": "api", "match": {"path": "/api/"}}])
    body = b"x" * 64_000
    caller = await call()
    for _ in range(40):
        caller.send(b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 64000\r\n\r\n" + body)
        head, _ = await caller.message()
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"Connection: close" not in head


async def test_a_header_may_speak_of_other_protocols(upstream, call):
    """
    Only a request line names the protocol, wherever in a read it stands.
    """
    upstream.answer = OK
    caller = await call(
        CHUNKED + b"1\r\nx\r\n0\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHost: a\r\nUser-Agent: Player RTSP/1.0\r\n\r\n"
    )

    for _ in range(2):
        assert (await caller.message())[0].startswith(b"HTTP/1.1 200 ")


async def test_who_connects_while_draining_is_told_so(upstream, call, proxy):
    """
    A connection that stands only after the drain began serves one request, or rests a moment.
    """
    upstream.answer = OK
    await proxy.start()
    proxy.gateway.draining = True
    caller, idle = await call(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), await call()
    await proxy.until(lambda: len(proxy.connections) == 2)
    head, _ = await caller.message()
    proxy.sweep(2)

    assert b"Connection: close\r\n" in head
    assert await caller.gone()
    assert await idle.gone()

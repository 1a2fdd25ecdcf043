"""
What one caller may use up: each limit at its edge, one step beyond it, and off.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from proxy.core import route

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def limited(proxy, **limits):
    """
    Set limits before the proxy starts.
    """
    proxy.limits = replace(proxy.limits, **limits)


def fields(total, value=200):
    """
    Return header lines of exactly so many bytes, `Host: a` included, each value about as long.
    """
    left = total - len(b"Host: a\r\n")
    lines = []
    while left:
        size = left if left < 2 * value else value
        lines.append(b"X: " + b"v" * (size - 5) + b"\r\n")
        left -= size
    return b"".join(lines)


def chunk(data):
    """
    Return *data* as one chunk of a body.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


# The head: RFC 9110 §15.5.15, RFC 6585 §5


AT_ONCE = {
    "target": (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"uri_too_long", 414),
    "query": (b"GET /?" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"uri_too_long", 414),
    "absolute target": (
        b"GET http://a/" + b"a" * 8190 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"uri_too_long",
        414,
    ),
    "one field": (HEAD + b"X: " + b"a" * 65536 + b"\r\n\r\n", b"headers_too_large", 431),
    "one name": (HEAD + b"X" * 65536 + b": a\r\n\r\n", b"headers_too_large", 431),
    "all fields": (HEAD + fields(65537) + b"\r\n", b"headers_too_large", 431),
    "number of fields": (HEAD + b"X: y\r\n" * 128 + b"\r\n", b"headers_too_large", 431),
}


@pytest.mark.parametrize(("data", "code", "status"), AT_ONCE.values(), ids=AT_ONCE)
@pytest.mark.parametrize("piece", [1 << 20, 1000], ids=["in one piece", "in pieces"])
async def test_a_head_beyond_a_limit_is_refused(data, code, status, piece, upstream, call, proxy):
    """
    414 or 431 however it arrives, the connection closes, and nothing goes up.
    """
    caller = await call()
    for start in range(0, len(data), piece):
        caller.send(data[start : start + piece])
        await caller.drain()
    answer = await caller.rest()
    caller.close()
    await proxy.quiet()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"code": "%b"' % code in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert upstream.connections == []


WITHIN = {
    "target": b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "all fields": HEAD + fields(65536, 40_000) + b"\r\n",
    "number of fields": HEAD + b"X: y\r\n" * 127 + b"\r\n",
}


@pytest.mark.parametrize("data", WITHIN.values(), ids=WITHIN)
async def test_a_head_at_its_limit_is_served(data, upstream, call):
    """
    A limit is the largest that is accepted, not the smallest that is refused.
    """
    caller = await call(data)
    peer = await upstream.accept()
    peer.reader._limit = 1 << 20
    await peer.head()
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "status"),
    [
        ({"target": 1024}, b"GET /" + b"a" * 1023, b"GET /" + b"a" * 1024, 414),
        pytest.param(
            {"head": 1024},
            HEAD + fields(1024),
            HEAD + fields(1025),
            431,
        ),
        ({"headers": 8}, HEAD + b"X: y\r\n" * 7, HEAD + b"X: y\r\n" * 8, 431),
    ],
    ids=["target", "head", "headers"],
)
async def test_a_limit_of_the_head_can_be_set(
    limits, inside, outside, status, upstream, call, proxy
):
    """
    A lower limit holds by itself, whatever the others are.
    """
    limited(proxy, **limits)
    upstream.answer = OK
    end = b" HTTP/1.1\r\nHost: a\r\n\r\n" if "target" in limits else b"\r\n"
    served = await call(inside + end)
    refused = await call(outside + end)

    assert (await served.message())[1] == b"ok"
    assert (await refused.rest()).startswith(b"HTTP/1.1 %d " % status)
    assert len(upstream.seen) == 1


# The body: RFC 9110 §15.5.14


async def test_a_body_announced_too_large_is_refused_at_once(upstream, call, proxy):
    """
    413 before a byte of it came and before anything went up.
    """
    limited(proxy, body=1000)
    caller = await call(POST + b"Content-Length: 1001\r\n\r\n")
    answer = await caller.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "body_too_large"' in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert upstream.connections == []


async def test_a_body_announced_too_large_is_not_asked_for(upstream, call, proxy):
    """
    A caller that waits for 100 Continue is answered 413 alone.
    """
    limited(proxy, body=1000)
    caller = await call(POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")

    assert (await caller.rest()).startswith(b"HTTP/1.1 413 ")
    assert upstream.connections == []


async def test_a_chunked_body_is_refused_when_it_crosses_the_limit(upstream, call, proxy):
    """
    413 with the byte too many; the upstream's request is broken off, never ended in order.
    """
    limited(proxy, body=1000)
    caller = await call(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 1000))
    peer = await upstream.accept()
    await peer.head()
    assert await peer.read(1007) == chunk(b"x" * 1000)
    caller.send(chunk(b"y") + chunk(b"z" * 5000))

    assert (await caller.rest()).startswith(b"HTTP/1.1 413 ")
    assert not (await peer.rest()).endswith(b"0\r\n\r\n")
    assert (await proxy.record())["status"] == 413


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("limit", "size"), [(1000, 1000), (0, 100_000)], ids=["at limit", "off"])
async def test_a_body_within_the_limit_passes(limit, size, framing, upstream, call, proxy):
    """
    A body of the largest size allowed is served, and one of any size where there is no limit.
    """
    limited(proxy, body=limit)
    upstream.answer = OK
    body = b"x" * size
    length = b"Content-Length: %d\r\n\r\n%b" % (size, body)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"
    caller = await call(POST + (length if framing == "length" else chunked))

    assert (await caller.message())[1] == b"ok"


# Too slow: RFC 9110 §15.5.9


async def test_times_for_head_body_and_rest_can_be_set(upstream, call, proxy):
    """
    Each deadline set is the one that counts: 408, 408, and a silent end.
    """
    limited(proxy, head_time=10.0, body_time=20.0, idle_time=30.0)
    rest = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)
    await rest.message()
    body = await call(POST + b"Content-Length: 9\r\n\r\nabc")
    await peer.head()
    await peer.read(3)
    head = await call(GET[:9])
    await proxy.until(lambda: any(one._fed for one in proxy.connections))
    proxy.sweep(12)
    assert (await head.rest()).startswith(b"HTTP/1.1 408 ")
    proxy.sweep(10)
    assert (await body.rest()).startswith(b"HTTP/1.1 408 ")
    proxy.sweep(10)
    assert await rest.gone()


async def test_a_body_that_drips_is_refused(upstream, call, proxy):
    """
    408 once the grace is over and the average is below the rate, though a byte always comes in time.
    """
    limited(proxy, body_rate=100.0, body_grace=20.0)
    caller = await call(POST + b"Content-Length: 9000\r\n\r\n" + b"x" * 10)
    peer = await upstream.accept()
    await peer.head()
    await peer.read(10)
    proxy.sweep(10)
    caller.send(b"x" * 10)
    assert await peer.read(10) == b"x" * 10
    proxy.sweep(15)

    assert (await caller.rest()).startswith(b"HTTP/1.1 408 ")
    assert await peer.gone()


@pytest.mark.parametrize(
    ("rate", "size"), [(100.0, 2000), (0.0, 10)], ids=["fast enough", "no rate set"]
)
async def test_a_body_that_keeps_its_rate_is_served(rate, size, upstream, call, proxy):
    """
    As long as it brings on average what is asked, it may take any time; any body may where the rate
    is off.
    """
    limited(proxy, body_rate=rate, body_grace=20.0)
    caller = await call(POST + b"Content-Length: %d\r\n\r\n" % (5 * size))
    peer = await upstream.accept()
    await peer.head()
    for _ in range(5):
        proxy.sweep(10)
        caller.send(b"x" * size)
        assert await peer.read(size) == b"x" * size
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"


async def test_a_body_the_upstream_does_not_take_is_not_the_callers_fault(upstream, call, proxy):
    """
    No rate is asked of a caller that is not read.
    """
    limited(proxy, body_rate=1e9, body_grace=1.0)
    size = 20_000_000
    caller = await call(POST + b"Content-Length: %d\r\n\r\n" % size)
    peer = await upstream.accept()
    await peer.head()
    caller.send(b"x" * size)
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    proxy.sweep(10)
    proxy.sweep(10)
    for _ in range(size // 10_000):
        await peer.read(10_000)
    peer.send(OK)

    assert (await caller.message())[1] == b"ok"


@pytest.mark.parametrize("begun", [False, True], ids=["no response", "a response that drips"])
async def test_a_request_as_a_whole_has_its_time(begun, upstream, call, proxy):
    """
    When it is over, 504 if nothing has been answered yet, else the response ends short.
    """
    await proxy.start([{"name": "api", "timeouts": {"request": "30s"}}])
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    if begun:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await caller.head()
    for _ in range(2):
        proxy.sweep(5)
        if begun:
            peer.send(b"x")
            await caller.read(1)
    proxy.sweep(25)

    if begun:
        assert await caller.gone()
    else:
        assert (await caller.head()).startswith(b"HTTP/1.1 504 ")
    assert await peer.gone()
    assert (await proxy.record())["error"].startswith("upstream_timeout")


# Too many


async def test_a_request_too_many_at_once_is_refused(upstream, call, proxy):
    """
    503 with Retry-After while as many are served as may be; one more is served when one has ended.
    """
    limited(proxy, in_flight=1)
    first, second = await call(GET), await call()
    peer = await upstream.accept()
    await peer.head()
    second.send(GET)
    head, body = await second.message()
    peer.send(OK)
    await first.message()
    third = await call(GET)
    await peer.head()
    peer.send(OK)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert b'"code": "overloaded"' in body
    assert (await third.message())[1] == b"ok"


async def test_a_request_that_is_given_up_makes_room(upstream, call, proxy):
    """
    A caller that leaves takes its request with it.
    """
    limited(proxy, in_flight=1)
    first = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    first.reset()
    assert await peer.gone()
    second = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(OK)

    assert (await second.message())[1] == b"ok"


# Many routes


@contextmanager
def steps(counted):
    """
    Count the lines of the route table that are run.
    """

    def each_line(_frame, event, _argument):
        counted[0] += event == "line"
        return each_line

    def each_call(frame, _event, _argument):
        return each_line if frame.f_code.co_filename == route.__file__ else None

    before = sys.gettrace()
    sys.settrace(each_call)
    try:
        yield
    finally:
        sys.settrace(before)


def by_path(number):
    """
    Return what route *number* matches: a path of its own.
    """
    return {"path": f"/some/r{number}/"}


def by_host(number):
    """
    Return what route *number* matches: a host of its own.
    """
    return {"host": f"r{number}.example"}


def by_wildcard(number):
    """
    Return what route *number* matches: all below a host of its own.
    """
    return {"host": f"*.r{number}.example", "path": "/some/"}


@pytest.mark.parametrize("match", [by_path, by_host, by_wildcard])
async def test_ten_thousand_routes_cost_what_ten_do(match, upstream, call, proxy):
    """
    Finding a request's route takes at most twice the steps, however many routes there are.
    """
    upstream.answer = OK
    data = b"GET /some/r7/a/b/c HTTP/1.1\r\nHost: x.r7.example\r\n\r\n"
    if match is by_host:
        data = data.replace(b"x.r7", b"r7")
    taken = []
    for number in (10, 10_000):
        await proxy.start([{"name": f"r{each}", "match": match(each)} for each in range(number)])
        counted = [0]
        with steps(counted):
            caller = await call(data)
            assert (await caller.message())[1] == b"ok"
        taken.append(counted[0])
        caller.close()
        await proxy.stop()

    few, many = taken
    assert 0 < many <= 2 * few

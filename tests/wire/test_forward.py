from __future__ import annotations

import gzip

import pytest

pytestmark = pytest.mark.usefixtures("both_loops")

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TARGETS = (
    b"/",
    b"/a%2Fb//c/../d/%2e%2e/?x=%20+&&y",
    b"/p?",
    b"/p;v=1?a=b;c",
    b'/a|b"{}^`[]?|"{}',
    b"/%aF%Af",
    b"/?q=/../..",
    b"/p??x",
)


@pytest.mark.parametrize("target", TARGETS)
async def test_target_travels_byte_for_byte(target, upstream, call):
    """
    Path and query reach the upstream exactly as they came.
    """
    caller = await call(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    head = await (await upstream.accept()).head()

    assert head.split(b"\r\n")[0] == b"GET " + target + b" HTTP/1.1"
    caller.close()


async def test_request_head_is_stripped_then_injected(upstream, call, proxy):
    """
    Order, case and duplicates stay; Host and what is ours is written by us, everything else is not.
    """
    await call(
        b"GET /x HTTP/1.1\r\nHost: caller.example:81\r\naCCept: a\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\n"
        b"Cookie: c=d\r\nX-Empty:\r\n\r\n"
    )
    head = await (await upstream.accept()).head()

    assert head == (
        b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\naCCept: a\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\n"
        b"Cookie: c=d\r\nX-Empty: \r\nAuthorization: Bearer tok-1\r\nX-Request-Id: id-1\r\n"
        b"Via: 1.1 authproxy-test\r\n\r\n" % upstream.port
    )


GONE_UPWARD = (
    b"Connection: x-hop, Keep-Alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"Proxy-Authorization: Basic eA==",
    b"X-Api-Key: k",
    b"TE: trailers",
    b"Trailer: X-T",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABk",
    b"X-Hop: 1",
    b"Authorization: Bearer callers",
    b"Forwarded: for=1.2.3.4",
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Anything: x",
    b"X-Real-IP: 1.2.3.4",
    b"X-ZITADEL-Forwarded: host=evil",
    b"x-zitadel-forward-host: evil",
    b"x-zitadel-instance-host: evil",
    b"x-zitadel-public-host: evil",
    b"X-Original-URL: /admin",
    b"Transfer_Encoding: chunked",
    b"Content_Length: 5",
    b"X_Forwarded_For: 1.2.3.4",
    b"Authorization_: x",
    b"X_Api_Key: x",
    b"Host_: x",
)


@pytest.mark.parametrize("line", GONE_UPWARD, ids=lambda line: line.split(b":")[0].decode())
async def test_line_does_not_go_up(line, upstream, call):
    """
    Hop-by-hop lines, credentials, forwarding claims and their underscore aliases stay here.
    """
    await call(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop\r\n" + line + b"\r\nX-Stays: 1\r\n\r\n"
    )
    head = await (await upstream.accept()).head()

    assert line not in head
    assert head.count(b"Authorization: ") == 1
    assert b"Authorization: Bearer tok-1\r\n" in head
    assert b"X-Stays: 1\r\n" in head


async def test_connection_cannot_take_away_what_is_ours(upstream, call):
    """
    Nominating Authorization, Host, Via, framing or the request id removes the caller's line only.
    """
    await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer callers\r\nX-Request-Id: mine\r\n"
        b"Content-Length: 2\r\nConnection: authorization, host, via, x-request-id, content-length,"
        b" x-forwarded-for\r\n\r\nhi"
    )
    head, body = await (await upstream.accept()).message()

    assert b"Authorization: Bearer tok-1\r\n" in head
    assert b"callers" not in head
    assert b"\r\nHost: 127.0.0.1" in head
    assert b"Via: 1.1 authproxy-test\r\n" in head
    assert b"X-Request-Id: mine\r\n" in head
    assert body == b"hi"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"X-Request-Id: abc-1.2_Z\r\n", b"abc-1.2_Z"),
        (b"x-request-id: " + b"a" * 128 + b"\r\n", b"a" * 128),
        (b"X-Request-Id: " + b"a" * 129 + b"\r\n", b"id-1"),
        (b"X-Request-Id: a b\r\n", b"id-1"),
        (b"X-Request-Id:\r\n", b"id-1"),
        (b"X-Request-Id: a\r\nX-Request-Id: b\r\n", b"id-1"),
        (b'X-Request-Id: "\r\n', b"id-1"),
        (b"", b"id-1"),
    ],
)
async def test_request_id_is_kept_or_made(sent, kept, upstream, call, proxy):
    """
    A sensible X-Request-Id is kept, any other replaced; upstream, caller and log see one and the same.
    """
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n" + sent + b"\r\n")
    peer = await upstream.accept()
    head = await peer.head()
    peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    answer = await caller.head()

    assert head.lower().count(b"x-request-id") == 1
    assert head.lower().count(b"x-request-id: " + kept.lower() + b"\r\n") == 1
    assert b"X-Request-Id: " + kept + b"\r\n" in answer
    assert (await proxy.record())["request_id"] == kept.decode()


RESPONSES = (
    b"HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nSet-Cookie: a=2\r\nX-D: 2\r\nx-d: 1\r\nContent-Length: 1\r\n\r\nh",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: d\r\nX-Latin: caf\xe9\r\n\r\nhi",
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 Very Fine Indeed\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 24\r\n\r\n"
    + gzip.compress(b"1234", mtime=0),
    b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
)


@pytest.mark.parametrize("response", RESPONSES, ids=lambda r: r.split(b"\r\n")[0][9:].decode())
async def test_response_travels_byte_for_byte(response, upstream, call):
    """
    A response with a known length comes down as it is; at the end of its head stand our request
    id and, unless it speaks of caches itself, that it is private (RFC 9111 §3.5).
    """
    caller = await call(HEAD)
    peer = await upstream.accept()
    await peer.head()
    peer.send(response)
    head, mark, body = response.partition(b"\r\n\r\n")
    private = b"" if b"Cache-Control" in head else b"\r\nCache-Control: private"
    expected = head + b"\r\nX-Request-Id: id-1" + private + mark + body
    first = await caller.read(len(expected))
    caller.send(HEAD)
    await peer.head()
    peer.send(response)
    second = await caller.read(len(expected))

    assert first == expected
    assert second == expected.replace(b"id-1", b"id-2")


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: x-hop",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"Proxy-Authenticate: Basic",
        b"Trailer: X-T",
        b"Upgrade: h2c",
        b"TE: x",
        b"X-Hop: 1",
        b"Proxy-Status: authproxy; error=http_request_denied",
    ],
    ids=lambda line: line.split(b":")[0].decode(),
)
async def test_line_does_not_come_down(line, upstream, call):
    """
    An upstream's hop-by-hop lines, and a Proxy-Status that could be taken for ours, stay here.
    """
    caller = await call(HEAD)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n")

    assert line not in await caller.head()


async def test_the_answer_bears_the_id_of_the_log(upstream, call, proxy):
    """
    Another id the upstream answers with goes into the log, not to the caller beside ours.
    """
    caller = await call(HEAD)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n")
    head = await caller.head()
    record = await proxy.record()

    assert head.count(b"X-Request-Id") == 1
    assert f"X-Request-Id: {record['request_id']}\r\n".encode() in head
    assert record["upstream_request_id"] == "theirs"


async def test_head_keeps_its_content_length_and_the_connection(upstream, call):
    """
    HEAD: the length stays in the head, no body follows, and both connections serve the next request.
    """
    caller = await call(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    head = await caller.head()
    caller.send(HEAD)
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    assert b"Content-Length: 1234\r\n" in head
    assert (await caller.message())[1] == b"hi"


async def test_chunked_stays_chunked_both_ways(upstream, call):
    """
    A chunked body goes up and comes down in chunks; so do trailers that may (RFC 9110 §6.5.1).
    """
    caller = await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: t\r\nX-T: 9\r\n\r\n"
    )
    peer = await upstream.accept()
    head, body = await peer.message()
    peer.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n"
    )
    answer, down = await caller.message()

    assert head.count(b"Transfer-Encoding: chunked\r\n") == 1
    assert b"Content-Length" not in head
    assert body == b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 9\r\n"
    assert answer.count(b"Transfer-Encoding: chunked\r\n") == 1
    assert down == b"1\r\nx\r\n0\r\nX-Trailer: y\r\n"


async def test_response_until_close_becomes_chunks(upstream, call):
    """
    A body that ends with the upstream's connection is chunked, and the caller's connection stays.
    """
    caller = await call(HEAD)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.0 200 OK\r\n\r\nabc")
    peer.close()
    head, body = await caller.message()
    caller.send(HEAD)

    assert b"Transfer-Encoding: chunked\r\n" in head
    assert body == b"3\r\nabc\r\n0\r\n\r\n"
    assert await (await upstream.accept()).head()


async def test_get_with_a_body_is_forwarded(upstream, call):
    """
    A body is forwarded whatever the method.
    """
    await call(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")

    assert (await (await upstream.accept()).message())[1] == b"abc"


async def test_gzip_request_body_is_untouched(upstream, call):
    """
    A compressed body goes up as it came.
    """
    body = gzip.compress(bytes(range(256)))
    await call(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body
    )

    assert (await (await upstream.accept()).message())[1] == body


async def test_rewritten_prefix_keeps_the_rest(upstream, call, proxy):
    """
    The matched prefix is replaced under the upstream's own path; all else stays byte for byte.
    """
    await proxy.start(
        [
            {
                "name": "orders",
                "match": {"path": "/orders/"},
                "upstream": upstream.url + "/base",
                "rewrite_path": "/api/v2/",
            }
        ]
    )
    caller = await call(b"GET /orders/a%2Fb?x=%20 HTTP/1.1\r\nHost: a\r\n\r\n")
    peer = await upstream.accept()

    assert (await peer.head()).startswith(b"GET /base/api/v2/a%2Fb?x=%20 HTTP/1.1\r\n")
    caller.close()


@pytest.mark.parametrize(
    "path", [b"/../x", b"/orders/../../x", b"/%2e%2e/x", b"/a/..%2f..%2fx", b"/..\\x", b"/..;/x"]
)
async def test_path_cannot_climb_out_of_the_upstreams_part(path, upstream, call, proxy):
    """
    With a base path in the upstream's URL, dot segments do not reach beside it.
    """
    await proxy.start([{"name": "all", "upstream": upstream.url + "/base"}])
    caller = await call(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")
    assert not upstream.connections


async def test_route_sets_and_removes_headers(upstream, call, proxy):
    """
    What the route sets replaces the caller's; what it removes does not go up.
    """
    await proxy.start(
        [
            {
                "name": "api",
                "request_headers": {"set": {"x-zitadel-orgid": "1"}, "remove": ["x-debug"]},
            }
        ]
    )
    await call(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-ZITADEL-OrgID: 2\r\nX-Debug: y\r\nX_Debug: z\r\n\r\n"
    )
    head = await (await upstream.accept()).head()

    assert b"x-zitadel-orgid: 1\r\n" in head
    assert head.lower().count(b"orgid") == 1
    assert b"debug" not in head.lower()


async def test_own_pseudonym_in_via_stops_the_loop(upstream, call):
    """
    A request that has been here before is not sent round once more.
    """
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 x, 1.1 authproxy-test\r\n\r\n")

    assert (await caller.head()).startswith(b"HTTP/1.1 502 ")
    assert not upstream.connections


async def test_foreign_via_is_kept_and_ours_added(upstream, call):
    """
    Via grows: what is there stays, ours comes after it.
    """
    await call(b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 other\r\n\r\n")
    head = await (await upstream.accept()).head()

    assert head.index(b"Via: 1.1 other\r\n") < head.index(b"Via: 1.1 authproxy-test\r\n")


@pytest.mark.parametrize(
    ("policy", "sent", "expected"),
    [
        ("replace", b"Authorization: Bearer mine\r\n", b"tok-1"),
        ("keep", b"Authorization: Bearer mine\r\n", b"mine"),
        ("keep", b"", b"tok-1"),
        ("keep", b"Connection: authorization\r\nAuthorization: Bearer mine\r\n", b"tok-1"),
        ("reject", b"", b"tok-1"),
    ],
)
async def test_callers_authorization_follows_the_policy(
    policy, sent, expected, upstream, call, proxy
):
    """
    Exactly one Authorization goes up: the route says whose.
    """
    await proxy.start([{"name": "api", "authorization": policy}])
    await call(b"GET / HTTP/1.1\r\nHost: a\r\n" + sent + b"\r\n")
    head = await (await upstream.accept()).head()

    assert head.count(b"Authorization: ") == 1
    assert b"Authorization: Bearer " + expected + b"\r\n" in head


@pytest.mark.parametrize(
    ("policy", "lines"),
    [
        ("reject", b"authorization: x\r\n"),
        ("keep", b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
    ],
)
async def test_authorization_that_is_not_taken(policy, lines, upstream, call, proxy):
    """
    `reject` refuses any, and nobody sends two.
    """
    await proxy.start([{"name": "api", "authorization": policy}])
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")

    assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")
    assert not upstream.connections

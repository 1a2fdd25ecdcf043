"""
Upstreams come from the configuration alone: whatever a caller writes, it reaches a route's own
upstream with that route's Host, or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """
    An upstream that keeps what it is sent, and answers.
    """

    def __init__(self):
        self.heads = []
        self.port = 0
        self.connections = 0

    async def serve(self, reader, writer):
        """
        Take a connection.
        """
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(OK)
        writer.close()


@pytest.fixture
async def evil():
    """
    A host that no route names.
    """
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    yield recorder
    server.close()
    assert recorder.connections == 0, "a host that no route names was reached"


@pytest.fixture
async def other():
    """
    The upstream of another route.
    """
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    yield recorder
    server.close()


@pytest.fixture
async def two_routes(proxy, upstream, other):
    """
    A proxy with a route by path, and one by path and host.
    """
    upstream.answer = OK
    return await proxy.start(
        routes=[
            {"name": "mine", "match": {"path": "/mine"}},
            {
                "name": "other",
                "match": {"path": "/other", "host": "other.internal"},
                "upstream": f"http://127.0.0.1:{other.port}",
            },
        ]
    )


HEADERS = [
    "X-Forwarded-Host: {evil}", "X-Forwarded-Server: {evil}", "X-Forwarded-Port: {port}",
    "Forwarded: host={evil};proto=https", "X-Host: {evil}", "X-Original-Host: {evil}",
    "X-Original-URL: http://{evil}/mine", "X-Rewrite-URL: http://{evil}/mine",
    "X-Upstream: http://{evil}", "X-Envoy-Original-Dst-Host: {evil}", "X-Real-Ip: {evil}",
    "Destination: http://{evil}/", "Referer: http://{evil}/", "Location: http://{evil}/",
    "Via: 1.1 {evil}", "Max-Forwards: 5", "X-Zitadel-Instance-Host: {evil}",
    "X-Http-Host-Override: {evil}", "Proxy-Connection: keep-alive", "Proxy-Host: {evil}",
    "X_Forwarded_Host: {evil}", "Connection: host", "Connection: close, host, x-forwarded-host",
    "Alt-Used: {evil}", "Service-Worker-Allowed: http://{evil}/",
]  # fmt: skip

HOSTS = [
    "{evil}", "127.0.0.1:{port}", "localhost:{port}", "other.internal", "other.internal:{port}",
    "mine.internal", "[::1]:{port}", "127.0.0.1:1",
]  # fmt: skip

TARGETS = [
    "/mine?host={evil}", "/mine?url=http://{evil}/", "/mine?upstream=http%3A%2F%2F{evil}",
    "/mine/http://{evil}/", "/mine/%2F%2F{evil}", "/mine;host={evil}", "/mine/@{evil}",
    "//{evil}/mine", "///{evil}/mine", "/\\{evil}/mine", "/mine/..//{evil}/", "/mine#@{evil}",
    "http://{evil}/mine", "HTTP://{evil}/mine", "https://{evil}/mine", "http://{evil}/other",
    "http://{evil}", "http://{evil}/", "http://user@{evil}/mine", "http://a:b@{evil}/mine",
    "http://mine.internal@{evil}/mine", "http://{evil}\\@mine.internal/mine",
    "http://{evil}#@mine.internal/mine", "http://{evil}?/mine", "http:{evil}/mine", "http:/{evil}/mine",
    "ftp://{evil}/mine", "ws://{evil}/mine", "{evil}/mine", "{evil}", "*", "http://other.internal/mine",
    "http://other.internal/other", "http://mine.internal/other",
]  # fmt: skip


def filled(text, port):
    """
    Return the text with the unlisted host in it.
    """
    return text.format(evil=f"127.0.0.1:{port}", port=port).encode()


async def ask(call, line, fields):
    """
    Return the status of a request.
    """
    caller = await call(b"%b HTTP/1.1\r\n%b\r\n\r\n" % (line, b"\r\n".join(fields)))
    return int((await caller.head()).split(b" ")[1])


def went_well(proxy, upstream, other):
    """
    Return how many requests went up, after seeing that each has its own upstream's Host, once.
    """
    for heads, port in ((upstream.seen, upstream.port), (other.heads, other.port)):
        for head in heads:
            hosts = [line for line in head.split(b"\r\n") if line.lower().startswith(b"host:")]
            assert hosts == [b"Host: 127.0.0.1:%d" % port]
            assert head.split(b" ")[1].startswith(b"/")
    return len(upstream.seen), len(other.heads)


@pytest.mark.parametrize("header", HEADERS)
async def test_no_header_chooses_the_upstream(header, call, two_routes, upstream, other, evil):
    """
    A header that elsewhere says where to go says nothing here.
    """
    fields = [b"Host: mine.internal", filled(header, evil.port)]

    assert await ask(call, b"GET /mine", fields) == 200
    assert went_well(two_routes, upstream, other) == (1, 0)


@pytest.mark.parametrize("host", HOSTS)
async def test_host_chooses_among_routes_alone(host, call, two_routes, upstream, other, evil):
    """
    Whatever Host says, a path leads to its route's upstream; a route that names a host wants it.
    """
    fields = [b"Host: " + filled(host, evil.port)]

    assert await ask(call, b"GET /mine", fields) == 200
    assert await ask(call, b"GET /other", fields) == (200 if "other" in host else 404)
    assert went_well(two_routes, upstream, other) == (1, 1 if "other" in host else 0)


@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT", "OPTIONS"])
@pytest.mark.parametrize("target", TARGETS)
async def test_no_target_chooses_the_upstream(
    target, method, call, two_routes, upstream, other, evil
):
    """
    Query, path and absolute form lead into the routes or to a refusal.
    """
    line = method.encode() + b" " + filled(target, evil.port)
    fields = [b"Host: mine.internal", b"Content-Length: 0"]

    status = await ask(call, line, fields)

    mine, others = went_well(two_routes, upstream, other)
    assert (status == 200) is (mine + others == 1)
    assert status in (200, 204, 400, 404, 405)
    assert others == int(target == "http://other.internal/other" and method != "CONNECT")


@pytest.mark.parametrize("second", ["{evil}", "mine.internal"])
async def test_two_hosts_are_none(second, call, two_routes, upstream, other, evil):
    """
    A request that names two hosts is malformed, also if they agree.
    """
    fields = [b"Host: mine.internal", b"Host: " + filled(second, evil.port)]

    assert await ask(call, b"GET /mine", fields) == 400
    assert went_well(two_routes, upstream, other) == (0, 0)

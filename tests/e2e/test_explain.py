"""
What `/explain` says is what the running proxy does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import socket
from hashlib import sha256
from typing import Any

import pytest

KEY = "key-of-ci-5c0ffee"

METHODS = ("GET", "POST", "OPTIONS", "TRACE", "PURGE")

TARGETS = (
    ("/api/x?y=%20&z", None),
    ("/api", None),
    ("/apix", None),
    ("/orders/5%2F", "orders.internal"),
    ("/orders/%2e%2e/x", "orders.internal"),
    ("/orders/5", None),
    ("/kept", None),
    ("/rejecting/a?b", None),
    ("/closed", None),
    ("/api/../closed", None),
    ("/tenant", None),
    ("/api/x?a b", None),
    ("/api", "evil.com"),
    ("/api", "a b"),
)

# Asked for through http_proxy; UP stands for the upstream's address, OWN for the proxy's port
URLS = (
    "http://UP/api/x?y=%20&z",
    "http://UP/apix",
    "http://UP/kept",
    "http://UP/rejecting/a?b",
    "http://UP/closed",
    "http://UP/api/../closed",
    "http://UP/tenant",
    'http://UP/api/x?{"',
    "http://UP/api?a b",
    "http://UP?a",
    "https://UP/api",
    "http://user@UP/api",
    "http://127.0.0.1:99999/api",
    "http://evil.com/api",
    "http://orders.internal/orders/5%2F?a=b",
    "https://orders.internal:81/orders/5",
    "http://orders.internal/orders/%2e%2e/x",
    "http://server.internal",
    "http://127.0.0.1:OWN/api/x?y",
    "http://localhost:OWN",
    "http://localhost:1/api",
)

FORWARD_METHODS = ("GET", "OPTIONS", "TRACE")

HEADERS = (
    (),
    (f"X-Api-Key: {KEY}",),
    ("X-Api-Key: wrong",),
    ("Authorization: Bearer mine", f"X-Api-Key: {KEY}"),
    ("Authorization: Bearer mine", "authorization: b"),
    ("Authorization:", f"X-Api-Key: {KEY}"),
    ("X-Tenant: a", "X-Debug: 1", "X-Forwarded-For: 192.0.2.1", f"X-Api-Key: {KEY}"),
    ("X-Request-Id: mine-1", "Accept: a", "Connection: accept, close", f"X-Api-Key: {KEY}"),
    ("Origin: http://a", f"X-Api-Key: {KEY}"),
    ("Sec-Fetch-Site: none", "Max-Forwards: 3", f"X-Api-Key: {KEY}"),
    ("Max-Forwards: 0", f"X-Api-Key: {KEY}"),
    ("Content-Length: 0", "Cookie: a=b", f"X-Api-Key: {KEY}"),
    ("X-Mine: yes", f"X-Api-Key: {KEY}"),
    ("Upgrade: h2c", "TE: trailers", "Transfer-Encoding: gzip", f"X-Api-Key: {KEY}"),
)

FORWARD_HEADERS = (*HEADERS[:2], *HEADERS[3:4], *HEADERS[6:7], HEADERS[8], HEADERS[10], HEADERS[12])

LISTENERS: tuple[dict[str, Any], ...] = (
    {},
    {"callers": ["ci"]},
    {"callers": ["ci"], "mode": "report"},
    {"browsers": "allow"},
    {"require_header": {"name": "X-Mine", "value": "yes"}},
)

FORWARD_LISTENERS = (*LISTENERS, {"hosts": ["orders.internal", "127.0.0.1"]})


class Upstream:
    """
    Answers anything, and keeps the last head it got.
    """

    def __init__(self) -> None:
        self.head: list[str] | None = None
        self.url = ""

    async def __call__(self, reader, writer):
        """
        Serve a connection.
        """
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.head = head.decode().split("\r\n")[:-2]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@pytest.fixture
async def upstream():
    """
    An upstream on a free port.
    """
    upstream = Upstream()
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield upstream
    server.close()


def configured(url, listener):
    """
    Return an edit that makes routes of every kind to the upstream.
    """

    def route(name, match, **more):
        return {"name": name, "match": match, "upstream": url, "service_user": "dev", **more}

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(KEY.encode()).hexdigest()}}
        document["listen"] = [{"address": "127.0.0.1:0", **listener}]
        document["service_users"] = {"dev": document["service_users"]["dev"]}
        document["routes"] = [
            route("api", {"path": "/api/"}),
            route(
                "orders",
                {"host": "orders.internal", "path": "/orders/", "methods": ["GET", "POST"]},
                upstream=f"{url}/base",
                rewrite_path="/v2/",
                request_headers={"set": {"x-org": "123"}, "remove": ["x-debug"]},
            ),
            route("kept", {"path": "/kept"}, authorization="keep"),
            route("rejecting", {"path": "/rejecting"}, authorization="reject"),
            route("closed", {"path": "/closed"}, callers=["ci"]),
            route("tenant", {"path": "/tenant", "headers": {"x-tenant": "a"}}),
            route("server", {"host": "server.internal"}),
        ]

    return edit


def free_port():
    """
    Return a port that nobody has: which one is the proxy's own must stand in its settings.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def send(port, method, target, lines):
    """
    Send a request byte by byte; return status and the proxy's own code, if it is that.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", "")).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(body)["code"] if body else None


def hidden(head):
    """
    Return a head as explain shows it: no credential, nothing that differs each time.
    """
    for line in head:
        name, _, value = line.partition(": ")
        if name.lower() == "authorization":
            # The proxy's own is a personal access token of the sandbox
            yield f"{name}: ***" if value == "Bearer mine" else f"{name}: Bearer ***"
        elif name == "X-Request-Id" and value != "mine-1":
            yield "X-Request-Id: …"
        elif name == "x-org":
            yield "x-org: ***"  # what the configuration adds is for those who can read it
        elif name == "Via":
            yield "Via: 1.1 authproxy-…"
        else:
            yield line


@pytest.mark.parametrize("listener", LISTENERS, ids=str)
async def test_explain_agrees_with_the_gateway(listener, serve, session, upstream):
    """
    For every combination: refused with the same status and code, or the same head, line by line.
    """
    through = await serve(configured(upstream.url, listener))
    explain = f"http://{through.runtime.admin}/explain"
    reached = 0
    requests = itertools.product(METHODS[:1], TARGETS, HEADERS)
    others = itertools.product(METHODS[1:], TARGETS[:1], HEADERS)
    for method, (target, host), headers in (*requests, *others):
        lines = (f"Host: {host or f'127.0.0.1:{through.port}'}", *headers)
        upstream.head = None
        status, code = await send(through.port, method, target, lines)
        asked = [("method", method), ("url", target), *(("header", line) for line in lines)]
        if f"X-Api-Key: {KEY}" in headers:
            asked.append(("caller", "ci"))
        async with session.get(explain, params=asked) as response:
            told = await response.json()

        what = f"{method} {target} {lines}: {told}"
        if told["refused"] is not None:
            assert (told["refused"]["status"], told["refused"]["code"]) == (status, code), what
            assert upstream.head is None, what
            assert told["request"] is None, what
        elif told["answered"]:
            assert status == int(told["answered"].split()[0]), what
            assert upstream.head is None, what
        else:
            reached += 1
            assert status == 200, what
            assert upstream.head is not None, what
            assert told["request"] == list(hidden(upstream.head)), what
            assert told["url"] == upstream.url + upstream.head[0].split()[1], what
    assert reached > 5


@pytest.mark.parametrize("listener", FORWARD_LISTENERS, ids=str)
async def test_explain_agrees_with_the_gateway_in_forward_mode(listener, serve, session, upstream):
    """
    The same of whole URLs, also where they are the proxy's own, and of CONNECT.
    """
    address = f"127.0.0.1:{free_port()}"
    through = await serve(configured(upstream.url, {**listener, "address": address}))
    explain = f"http://{through.runtime.admin}/explain"
    place = upstream.url.removeprefix("http://")
    urls = [url.replace("UP", place).replace("OWN", str(through.port)) for url in URLS]
    asked_for = itertools.product(FORWARD_METHODS, urls)
    forward = own = 0
    for (method, url), headers in itertools.product(
        (*asked_for, ("CONNECT", place)), FORWARD_HEADERS
    ):
        lines = (f"Host: {place}", *headers)
        upstream.head = None
        status, code = await send(through.port, method, url, lines)
        asked = [("method", method), ("url", url), ("forward", "1")]
        asked += [("header", line) for line in lines]
        if f"X-Api-Key: {KEY}" in headers:
            asked.append(("caller", "ci"))
        async with session.get(explain, params=asked) as response:
            told = await response.json()

        what = f"{method} {url} {lines}: {told}"
        if told["refused"] is not None:
            assert (told["refused"]["status"], told["refused"]["code"]) == (status, code), what
            assert upstream.head is None, what
        elif told["answered"]:
            assert (status, upstream.head) == (204, None), what
        else:
            assert status == 200, what
            assert told["request"] == list(hidden(upstream.head)), what
            forward += told["forward"]
            own += not told["forward"]
    assert forward > 5
    assert own > 1


async def test_explain_shows_no_value_of_the_configuration(serve, session, upstream):
    """
    Whoever reaches the listener learns the names of the headers a route sets, and no more: neither
    by reading a value nor by guessing it.
    """
    through = await serve(configured(upstream.url, {}))
    explain = f"http://{through.runtime.admin}/explain"
    told = []
    for guess in ("123", "124"):
        asked = [("url", "/orders/5"), ("header", "Host: orders.internal")]
        asked.append(("header", f"x-org: {guess}"))
        async with session.get(explain, params=asked) as response:
            told.append(await response.json())

    assert told[0] == told[1]
    assert "x-org: ***" in told[0]["added"]
    assert told[0]["removed"] == ["x-org"]


async def test_explain_tells_how_the_token_fares(serve, session):
    """
    What the command line cannot know: its condition, its end, its renewal, and the key in use.
    """
    through = await serve()
    assert (await through("GET", "/management/v1/orgs/me")).status == 200
    explain = f"http://{through.runtime.admin}/explain?url=/management/v1/orgs/me"

    async with session.get(explain) as response:
        told = await response.json()
    async with session.get(explain, headers={"Accept": "text/plain"}) as response:
        text = await response.text()

    assert told["token"]["condition"] == "ready"
    assert 0 < told["token"]["renews_in"] < told["token"]["expires_in"]
    assert told["key_id"]
    assert response.content_type == "text/plain"
    assert text.startswith("route     zitadel-api   ")
    assert "token     ready   expires in " in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "ask /explain?method=GET&url=/path"),
        ("url=", "ask /explain?method=GET&url=/path"),
        ("url=/a&headers=a", "a parameter that is none of method, url, caller, header"),
        ("url=/a&forward=1", "in forward mode URL must be an absolute URL"),
        ("url=http://a/b&forward=yes", "forward is none of 0 and 1"),
        ("url=/a&caller=who", "no caller 'who' in the configuration; there are: none"),
        ("url=/a&header=nothing", "-H wants 'Name: value'"),
        ("url=/a&header=a:%0d%0ab:c", "-H wants 'Name: value'"),
        ("url=nonsense", "URL must be a path"),
    ],
    ids=str,
)
async def test_what_is_no_question_is_answered_with_what_to_ask(query, words, serve, session):
    """
    400, in words, as plain text.
    """
    through = await serve()
    async with session.get(f"http://{through.runtime.admin}/explain?{query}") as response:
        text = await response.text()

    assert (response.status, response.content_type) == (400, "text/plain")
    assert words in text

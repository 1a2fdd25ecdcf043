"""
Web pages that try to use the proxy of whoever visits them, and honest callers that must not mind:
the real command, called by curl as browsers would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from hashlib import sha256

import aiohttp
import pytest
from aiohttp import web

KEY = "key-of-ci-5c0ffee"
EVIL = "rebound.evil.com"

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


async def curl(url: str, *words: str) -> tuple[int, dict[str, str], bytes]:
    """
    Run curl; return the answer's status, headers and body.
    """
    process = await asyncio.create_subprocess_exec(
        "curl",
        *(
            "--disable",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "15",
            "--include",
        ),
        *words,
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    answer, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), fields, body


def headers(*lines: str) -> list[str]:
    """
    Return curl's words for these headers.
    """
    return [word for line in lines for word in ("--header", line)]


PAGES = [
    pytest.param(headers("Origin: https://evil.com"), id="fetch from another site"),
    pytest.param(headers("Origin: null"), id="fetch from a sandboxed frame"),
    pytest.param(headers("Sec-Fetch-Site: cross-site"), id="image or link on another site"),
    pytest.param(headers("Sec-Fetch-Site: same-site"), id="page on another port of localhost"),
    pytest.param(headers("SEC-FETCH-SITE:cross-site"), id="as HTTP allows to spell it"),
    pytest.param(headers("Connection: origin", "Origin: https://evil.com"), id="hidden hop by hop"),
    pytest.param(
        [
            *("--request", "OPTIONS"),
            *headers("Origin: https://evil.com", "Access-Control-Request-Method: PUT"),
        ],
        id="preflight",
    ),
    pytest.param(["--data", "a=b", *headers("Origin: https://evil.com")], id="form"),
    pytest.param(headers(f"Host: {EVIL}"), id="rebound name"),
    pytest.param(headers(f"Host: {EVIL}:8080"), id="rebound name with a port"),
    pytest.param(
        ["--data", "a=b", *headers(f"Host: {EVIL}", f"Origin: http://{EVIL}")], id="rebound form"
    ),
    pytest.param(headers("Host: 0.0.0.0:8080"), id="address of no site"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("words", PAGES)
async def test_a_web_page_is_refused(words, standing):
    """
    403 before any token and any upstream, without a word that would let the page read it; the log
    says why.
    """
    sandbox, through = standing
    before = sandbox.hits.total
    for path in ("/echo", "/nowhere"):
        status, fields, body = await curl(through.url + path, *words)

        assert (status, json.loads(body)["code"]) == (403, "caller_forbidden")
        assert not [name for name in fields if name.startswith("access-control")]
        assert "evil" not in body.decode()
        line = await through.log.wait("request.done", request_id=fields["x-request-id"])
        assert (line["status"], line["route"], line["token"]) == (403, None, None)
        assert "browsers: allow" in line["error"] or "add it to hosts" in line["error"]
    assert sandbox.hits.total == before


HONEST = [
    pytest.param([], id="plain"),
    pytest.param(headers("Host: localhost"), id="localhost"),
    pytest.param(headers("Host: localhost:8080"), id="localhost with a port"),
    pytest.param(headers("Host: [::1]:8080"), id="IPv6"),
    pytest.param(headers("Host: authproxy"), id="a name from the hosts file"),
    pytest.param(headers("Host: orders.internal"), id="a private name"),
    pytest.param(headers("Host: orders.svc.cluster.local"), id="a cluster's name"),
    pytest.param(["--http1.0", "--header", "Host:"], id="HTTP/1.0 without Host"),
    pytest.param(headers("Sec-Fetch-Site: none"), id="typed into the address bar"),
    pytest.param(headers("Sec-Fetch-Mode: cors", "User-Agent: node"), id="a script's fetch"),
    pytest.param(headers("Referer: https://a.com/", "User-Agent: Mozilla/5.0"), id="looks alike"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("words", HONEST)
async def test_an_honest_caller_is_served(words, standing):
    """
    Nothing that programs send by themselves is taken for a page.
    """
    sandbox, through = standing
    before = sandbox.hits.total
    status, _, _ = await curl(f"{through.url}/echo", *words)

    assert status == 200
    assert sandbox.hits.total == before + 1


async def test_the_command_refuses_pages_and_serves_programs(sandbox, running, config):
    """
    As it is started by its users, with nothing written about pages.
    """
    through = await running("--config", str(config))
    page = headers("Origin: https://evil.com")
    rebound = headers(f"Host: {EVIL}")

    statuses = [(await curl(f"{through.url}/echo", *words))[0] for words in (page, rebound, [])]

    assert statuses == [403, 403, 200]
    assert sandbox.hits.total == 1


async def test_a_host_that_a_route_speaks_of_is_answered(sandbox, serve):
    """
    A public name is answered where a route matches it or leads there; others stay refused.
    """

    def edit(document):
        own = {"upstream": sandbox.backend_url, "service_user": "reporter"}
        document["routes"] += [
            {"name": "x", "match": {"host": "api.acme.com", "path": "/echo/1"}, **own},
            {"name": "y", "match": {"host": "*.corp.acme.com", "path": "/echo/2"}, **own},
            {**own, "name": "z", "match": {"path": "/never"}, "upstream": "https://up.acme.com"},
        ]

    through = await serve(edit)

    for host in ("api.acme.com", "a.corp.acme.com", "up.acme.com"):
        assert (await through("GET", "/echo", headers={"Host": host})).status == 200
    for host in ("acme.com", "corp.acme.com", "b.api.acme.com"):
        assert (await through("GET", "/echo", headers={"Host": host})).code == "caller_forbidden"


@pytest.mark.parametrize(
    ("listener", "sent", "status"),
    [
        ({"hosts": ["proxy.acme.com"]}, {"Host": "proxy.acme.com:80"}, 200),
        ({"hosts": ["proxy.acme.com"]}, {"Host": "localhost"}, 403),
        ({"hosts": ["*.acme.com"]}, {"Host": "a.acme.com"}, 200),
        ({"hosts": ["*.acme.com"]}, {"Host": "acme.com"}, 403),
        ({"hosts": ["*"]}, {"Host": EVIL}, 200),
        ({"hosts": ["*"]}, {"Host": EVIL, "Origin": "http://a"}, 403),
        ({"browsers": "allow"}, {"Origin": "http://a", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"browsers": "allow"}, {"Host": EVIL}, 403),
        ({"require_header": {"name": "X-Mine", "value": "yes"}}, {"X-Mine": "yes"}, 200),
        ({"require_header": {"name": "X-Mine", "value": "yes"}}, {"X-Mine": "no"}, 403),
        ({"require_header": {"name": "X-Mine", "value": "yes"}}, {"X_Mine": "yes"}, 403),
        ({"require_header": {"name": "X-Mine", "value": "yes"}}, {}, 403),
        ({"callers": ["ci"]}, {"X-Api-Key": KEY, "Host": EVIL}, 200),
        ({"callers": ["ci"]}, {"X-Api-Key": KEY, "Origin": "http://a"}, 403),
        ({"callers": ["ci", "anonymous"]}, {"X-Api-Key": KEY, "Host": EVIL}, 403),
    ],
    ids=str,
)
async def test_each_listener_says_what_it_takes(listener, sent, status, sandbox, serve):
    """
    Hosts, browsers and the required header as written; by default any host where callers must be
    known, and no browsers anywhere. What the proxy asked for is not passed on, the rest is.
    """

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(KEY.encode()).hexdigest()}}
        document["listen"] = [{"address": "127.0.0.1:0", **listener}]

    through = await serve(edit)
    reply = await through("GET", "/echo", headers=sent)

    assert reply.status == status
    assert reply.code == (None if status == 200 else "caller_forbidden")
    assert sandbox.hits.total == int(status == 200)
    if status == 200:
        assert sandbox.hits[-1].values("x-mine") == []
        for name in ("Origin", "Sec-Fetch-Site"):
            assert sandbox.hits[-1].values(name) == ([sent[name]] if name in sent else [])


async def test_two_listeners_do_not_share_their_rules(serve):
    """
    What one listener lets in, another refuses, also on a connection that goes on.
    """

    def edit(document):
        document["listen"] = [
            {"address": "127.0.0.1:0"},
            {"address": "127.0.0.1:0", "browsers": "allow"},
        ]

    through = await serve(edit)
    strict, open_ = (f"http://{each}/echo" for each in through.runtime.addresses)

    for _ in range(2):
        assert (await through("GET", strict, headers={"Origin": "http://a"})).status == 403
        assert (await through("GET", open_, headers={"Origin": "http://a"})).status == 200
        assert (await through("GET", strict)).status == 200


async def test_no_page_can_reach_a_unix_socket(serve, tmp_path):
    """
    So any host is answered there.
    """
    path = tmp_path / "any.sock"
    await serve(lambda document: document.update(listen=[{"address": f"unix:{path}"}]))

    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
        local.get("http://api.acme.com/echo") as response,
    ):
        assert response.status == 200


async def test_refusals_are_counted(serve):
    """
    As callers turned away.
    """
    through = await serve()
    await through("GET", "/echo", headers={"Origin": "http://a"})

    assert through.runtime.metrics.denied["caller_forbidden"] == 1


@contextlib.asynccontextmanager
async def echoing():
    """
    Yield the URL of an upstream that echoes WebSocket messages.
    """

    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/socket", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_websocket_without_origin_is_a_program(serve, session):
    """
    Programs' WebSockets pass; browsers send Origin with each of theirs, and are refused.
    """
    async with echoing() as url:
        route = {"name": "socket", "match": {"path": "/socket"}, "service_user": "reporter"}
        through = await serve(
            lambda document: document["routes"].append({**route, "upstream": url})
        )

        async with session.ws_connect(f"{through.url}/socket") as socket:
            await socket.send_str("hello")
            assert (await socket.receive_str()) == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{through.url}/socket", origin="http://localhost:3000")

    assert refused.value.status == 403

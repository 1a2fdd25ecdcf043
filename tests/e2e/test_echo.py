"""
Upstreams that repeat what they were asked with, and callers that are not to see the token in it.
"""

from __future__ import annotations

import asyncio
import gzip
import re

import pytest
from aiohttp import ClientPayloadError, web

STARS = re.compile(rb"Bearer [^ ]{0,4}\*{16,}\Z")


class Mirror:
    """
    A server that shows the request's Authorization.

    Attributes:
        seen: Those it got.
        go: Set it to let the slow answer go on.
    """

    def __init__(self):
        self.seen = []
        self.go = asyncio.Event()
        self.url = ""

    def got(self, request):
        """
        Return the request's Authorization.
        """
        self.seen.append(request.headers["Authorization"])
        return self.seen[-1]

    async def head(self, request):
        """
        Show it in the head.
        """
        return web.Response(headers={"X-Debug": self.got(request)}, text="fine")

    async def body(self, request):
        """
        Show it in a body whose length is told.
        """
        return web.Response(text=self.got(request))

    async def slow(self, request):
        """
        Show it in two chunks, cut within the token.
        """
        text = self.got(request).encode()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"here: " + text[:40])
        await self.go.wait()
        await response.write(text[40:])
        return response

    async def packed(self, request):
        """
        Show it in a compressed body.
        """
        body = gzip.compress(self.got(request).encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async def refused(self, request):
        """
        Refuse it, and show it.
        """
        return web.Response(status=401, text=self.got(request))


@pytest.fixture
async def mirror():
    """
    A running Mirror.
    """
    mirror = Mirror()
    app = web.Application()
    for name in ("head", "body", "slow", "packed", "refused"):
        app.router.add_get(f"/mirror/{name}", getattr(mirror, name))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    mirror.url = "http://{}:{}".format(*runner.addresses[0])
    yield mirror
    await runner.cleanup()


@pytest.fixture
def routed(mirror):
    """
    Make an edit that adds a route to the mirror.
    """

    def routed(**more):
        route = {
            "name": "mirror",
            "match": {"path": "/mirror/"},
            "upstream": mirror.url,
            "service_user": "reporter",
            **more,
        }
        return lambda document: document["routes"].append(route)

    return routed


async def test_redacted_by_default(serve, routed, mirror, secrets):
    """
    Head and bodies come with stars for the token, the first is told of, and all else is as it was.
    """
    through = await serve(routed())
    head = await through("GET", "/mirror/head")
    body = await through("GET", "/mirror/body")
    mirror.go.set()
    slow = await through("GET", "/mirror/slow")

    shown = head.headers["X-Debug"].encode()
    assert STARS.fullmatch(shown)
    assert (head.status, head.body) == (200, b"fine")
    assert STARS.fullmatch(body.body)
    assert STARS.search(slow.body)
    assert {len(shown), len(body.body), len(slow.body) - 6} == {len(mirror.seen[0])}
    for reply in (head, body, slow):
        assert secrets.absent_from(reply.body + str(reply.headers).encode())
        await through.log.done(reply)
    (told,) = through.log.events("token.echoed")
    assert told["request_id"] == head.headers["X-Request-Id"]
    assert (told["action"], told["route"], told["suppressed"]) == ("redact", "mirror", 0)


async def test_what_was_held_back_is_little(serve, routed, mirror, session):
    """
    What stands before the token reaches the caller although the rest has not come yet.
    """
    through = await serve(routed())
    async with asyncio.timeout(20), session.get(f"{through.url}/mirror/slow") as answer:
        assert await answer.content.readexactly(13) == b"here: Bearer "
        mirror.go.set()
        rest = await answer.read()

    assert STARS.fullmatch(b"Bearer " + rest)


async def test_blocked_where_the_route_says_so(serve, routed, mirror, session):
    """
    The answer is the proxy's own 502, or ends short if it has begun.
    """
    through = await serve(routed(token_echo="block"))
    for path in ("/mirror/head", "/mirror/body"):
        reply = await through("GET", path)
        assert (reply.status, reply.code) == (502, "upstream_protocol")
        line = await through.log.done(reply)
        assert line["error"].startswith("upstream_protocol: token_echoed")
    async with asyncio.timeout(20), session.get(f"{through.url}/mirror/slow") as answer:
        mirror.go.set()
        with pytest.raises(ClientPayloadError):
            await answer.read()

    assert [line["action"] for line in through.log.events("token.echoed")] == ["block"]


async def test_allowed_where_the_route_says_so(serve, routed, mirror):
    """
    The answer passes as it is, and nothing is told.
    """
    through = await serve(routed(token_echo="allow"))
    reply = await through("GET", "/mirror/body")
    await through.log.done(reply)

    assert reply.body.decode() == mirror.seen[0]
    assert through.log.events("token.echoed") == []


async def test_compressed_bodies_are_not_seen_into(serve, routed, mirror):
    """
    What is compressed passes as it is: a limit, as the reference says.
    """
    through = await serve(routed())
    reply = await through("GET", "/mirror/packed")

    assert gzip.decompress(reply.body).decode() == mirror.seen[0]


async def test_a_refused_token_does_not_come_back(serve, routed):
    """
    A 401 that repeats the token is replayed with another, and neither reaches the caller.
    """
    through = await serve(routed(replay="always"))
    reply = await through("GET", "/mirror/refused")

    assert reply.status == 401
    assert STARS.fullmatch(reply.body)
    assert len(through.log.events("token.echoed")) == 1


async def test_it_is_counted_by_route(running, edit, routed, session):
    """
    A process that serves tells in its metrics how many responses repeated a token.
    """
    through = await running("--config", str(edit(routed())))
    reply = await through("GET", "/mirror/body")
    async with session.get(f"{through.admin}/metrics") as answer:
        text = await answer.text()

    assert STARS.fullmatch(reply.body)
    assert 'authproxy_token_echoes_total{route="mirror"} 1.0' in text
    await through.log.wait("token.echoed", request_id=reply.headers["X-Request-Id"])

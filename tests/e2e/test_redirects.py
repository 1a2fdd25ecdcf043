"""
Upstreams that redirect, and a client that follows: where it ends up, and with which credential.
"""

from __future__ import annotations

import pytest
from aiohttp import web


class Site:
    """
    A server that records who asks for what, and redirects.

    Attributes:
        seen: Path and Authorization of each request.
        where: What `Location` and `Content-Location` are to say; None for neither.
    """

    def __init__(self):
        self.seen = []
        self.where = None
        self.url = ""

    async def answer(self, request):
        """
        Redirect once, if there is where to.
        """
        self.seen.append((request.path_qs, request.headers.get("Authorization", "")))
        where, self.where = self.where, None
        if where is None:
            return web.Response(text="here")
        if request.method == "POST":
            return web.Response(status=201, headers={"Location": where, "Content-Location": where})
        return web.Response(status=302, headers={"Location": where})


@pytest.fixture
async def site():
    """
    A running Site.
    """
    async for each in _serve():
        yield each


@pytest.fixture
async def elsewhere():
    """
    Another one, at another origin.
    """
    async for each in _serve():
        yield each


async def _serve():
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    site.url = "http://{}:{}".format(*runner.addresses[0])
    yield site
    await runner.cleanup()


@pytest.fixture
def start(serve, site):
    """
    Start a proxy with a route to the site.
    """

    async def start(**more):
        route = {
            "name": "site",
            "match": {"path": "/site/"},
            "upstream": f"{site.url}/base",
            "rewrite_path": "/v2/",
            "service_user": "reporter",
            "redirects": "rewrite",
            **more,
        }
        return await serve(lambda document: document["routes"].append(route))

    return start


async def test_a_client_that_follows_stays_on_the_proxy(start, site):
    """
    The address of the upstream's own origin is the proxy's, and asked for with the token again.
    """
    through = await start()
    for where in (f"{site.url}/base/v2/b?x=1#top", "/base/v2/b?x=1"):
        site.seen.clear()
        site.where = where
        reply = await through("GET", "/site/a", allow_redirects=True)

        assert reply.body == b"here"
        assert [path for path, _ in site.seen] == ["/base/v2/a", "/base/v2/b?x=1"]
        assert all(sent.startswith("Bearer ") for _, sent in site.seen)


async def test_the_caller_gets_a_path(start, site):
    """
    The answer names no host: it holds whatever the proxy was called by.
    """
    through = await start()
    site.where = f"{site.url}/base/v2/b?x=%2F#top"
    moved = await through("GET", "/site/a")
    site.where = f"{site.url}/base/v2/c"
    created = await through("POST", "/site/a")

    assert (moved.status, moved.headers.getall("Location")) == (302, ["/site/b?x=%2F#top"])
    assert created.headers.getall("Location") == ["/site/c"]
    assert created.headers.getall("Content-Location") == ["/site/c"]


async def test_another_origin_is_left_to_the_client(start, site, elsewhere):
    """
    A Location elsewhere passes as it is; nobody goes there with the token, and the proxy not at all.
    """
    through = await start()
    site.where = f"{elsewhere.url}/base/v2/b"
    reply = await through("GET", "/site/a")
    assert (reply.status, reply.headers["Location"]) == (302, f"{elsewhere.url}/base/v2/b")
    assert elsewhere.seen == []

    site.where = f"{elsewhere.url}/base/v2/b"
    await through("GET", "/site/a", allow_redirects=True)
    assert elsewhere.seen == [("/base/v2/b", "")]


async def test_outside_of_the_route_is_left_as_it_is(start, site):
    """
    The upstream's own origin beyond the route's part of it is nothing this route leads to.
    """
    through = await start()
    for where in (f"{site.url}/login", "/login", f"{site.url}/base/v2/../../login", "b"):
        site.where = where
        reply = await through("GET", "/site/a")

        assert reply.headers["Location"] == where


async def test_a_more_specific_routes_path_is_left_as_it_is(serve, site, elsewhere):
    """
    What would lead to another route, and so to another upstream, passes as the upstream said it.
    """

    def routes(document):
        user = {"service_user": "reporter", "rewrite_path": "/", "redirects": "rewrite"}
        for name, path, upstream in (("a", "/api/", site), ("b", "/api/v2/", elsewhere)):
            document["routes"].append(
                {"name": name, "match": {"path": path}, "upstream": upstream.url, **user}
            )

    through = await serve(routes)
    for where in (f"{site.url}/v2/x", "/v2/x", f"{site.url}/%762/x", f"{site.url}/v2"):
        site.where = where
        reply = await through("GET", "/api/a")
        assert reply.headers["Location"] == where
    site.where = f"{site.url}/v1/x"
    reply = await through("GET", "/api/a")
    elsewhere.where = f"{elsewhere.url}/v2/x"
    other = await through("GET", "/api/v2/a")

    assert reply.headers["Location"] == "/api/v1/x"
    assert other.headers["Location"] == "/api/v2/v2/x"


async def test_untouched_unless_the_route_says_so(start, site):
    """
    By default addresses pass byte for byte.
    """
    through = await start(redirects="pass")
    site.where = f"{site.url}/base/v2/b"
    reply = await through("GET", "/site/a")

    assert reply.headers["Location"] == f"{site.url}/base/v2/b"


async def test_a_token_in_an_address_is_blotted_out(start, site, secrets):
    """
    What is rewritten is looked through for the token like all the rest.
    """
    through = await start()
    await through("GET", "/site/a")
    token = site.seen[0][1].removeprefix("Bearer ")
    site.where = f"{site.url}/base/v2/b?access_token={token}"
    reply = await through("GET", "/site/a")

    assert reply.headers["Location"] == "/site/b?access_token=" + "*" * len(token)
    assert secrets.absent_from(str(reply.headers).encode())

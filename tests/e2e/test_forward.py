"""
Programs that are told of the proxy by `http_proxy` and ask it for whole URLs: real clients, real TLS
behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import urllib.error
import urllib.request
import warnings

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK imports authlib.jose, which is deprecated
    from zitadel_client.auth.no_auth_authenticator import NoAuthAuthenticator
    from zitadel_client.models.user_service_list_users_request import (
        UserServiceListUsersRequest,
    )
    from zitadel_client.zitadel import Zitadel

KEY = "the-callers-own-key"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Site:
    """
    An API that speaks TLS alone.

    Attributes:
        seen: Path with query, and headers, of each request.
        where: The Location of the next answer; empty for none.
        url: Its origin, and `plain` the same as clients of a proxy write it.
    """

    def __init__(self):
        self.seen = []
        self.where = ""
        self.url = ""

    @property
    def plain(self):
        """
        The URL with http://.
        """
        return self.url.replace("https:", "http:")

    async def answer(self, request):
        """
        Answer once with `where`, then plainly.
        """
        self.seen.append((request.raw_path, request.headers))
        where, self.where = self.where, ""
        if where:
            return web.Response(status=302, headers={"Location": where})
        return web.Response(text="here", headers={"Set-Cookie": "a=b; Secure"})

    async def echo(self, request):
        """
        Send back one message.
        """
        self.seen.append((request.raw_path, request.headers))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket


@pytest.fixture
async def site(server_tls):
    """
    A running Site.
    """
    site = Site()
    app = web.Application()
    app.router.add_get("/v1/ws", site.echo)
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
    await listening.start()
    site.url = f"https://localhost:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


@pytest.fixture
def start(serve, site, ca_file):
    """
    Start a proxy with a route to the site; its own path there is another one.
    """

    async def start(listen=None, **more):
        def edit(document):
            document["callers"] = {
                "ci": {"api_key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}
            }
            document["listen"] = [{"address": "127.0.0.1:0", **(listen or {})}]
            document["routes"].append(
                {
                    "name": "site",
                    "match": {"path": "/site/"},
                    "upstream": site.url,
                    "rewrite_path": "/v1/",
                    "service_user": "reporter",
                    "ca_file": ca_file,
                    **more,
                }
            )

        return await serve(edit)

    return start


def by(through, user=""):
    """
    Return the proxy's URL, with a user and password in it.
    """
    return through.url.replace("http://", f"http://{user}@" if user else "http://")


async def curl(*words, **environ):
    """
    Run curl without its configuration file; return exit code, output and what it told.
    """
    process = await asyncio.create_subprocess_exec(
        *("curl", "--disable", "--silent", "--show-error", "--verbose", "--max-time", "15", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environ},
    )
    out, told = await process.communicate()
    return process.returncode, out.decode(), told.decode()


def fetch(url, proxy, **headers):
    """
    Ask by Python's own client, which knows of the proxy what `http_proxy` would say.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=15) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers, refused.read()


async def test_the_url_of_the_api_with_http(start, site, session):
    """
    The API's own URL with http:// is asked for by TLS, with the token, at the very path; and again
    over the same connection.
    """
    through = await start()
    for number in range(2):
        reply = await through("GET", f"{site.plain}/v1/a%20b?n={number}", proxy=through.url)
        record = await through.log.done(reply)

        assert (reply.status, reply.body) == (200, b"here")
        assert (record["route"], record["path"]) == ("site", "/v1/a%20b")
        assert record["upstream"] == site.url

    assert [path for path, _ in site.seen] == ["/v1/a%20b?n=0", "/v1/a%20b?n=1"]
    for _, headers in site.seen:
        assert headers.getall("Host") == [URL(site.url).authority]
        assert headers.getall("Authorization")[0].startswith("Bearer ")
        assert len(headers.getall("Authorization")) == 1
        assert not {name for name in headers if name.lower().startswith("proxy-")}


async def test_pythons_own_client(start, site):
    """
    urllib, which sends Connection: close.
    """
    through = await start()

    status, _, body = await asyncio.to_thread(fetch, f"{site.plain}/v1/x", through.url)

    assert (status, body) == (200, b"here")


async def test_the_official_sdk_by_its_proxy_url(sandbox, through):
    """
    Its base URL is the API's own; the proxy's URL is a setting of it.
    """

    def names():
        client = Zitadel(
            NoAuthAuthenticator(sandbox.url),
            lambda configuration: setattr(configuration, "proxy_url", through.url),
        )
        listed = client.users.list_users(UserServiceListUsersRequest()).result or ()
        return [user.username for user in listed]

    assert await asyncio.to_thread(names) == ["provisioner", "reporter", "dev"]
    assert sandbox.hits[-1].user == "provisioner"
    assert sandbox.hits[-1].target == "/zitadel.user.v2.UserService/ListUsers"


@pytest.mark.parametrize("path", ["/", "/v1", "/site/x", "/v10/x", "/v1/../x", "/management/v1/x"])
async def test_other_paths_of_the_api_have_no_route(start, site, path):
    """
    Forward mode leads to no more of an upstream than its routes do.
    """
    through = await start()

    reply = await through("GET", f"{site.plain}{path}", proxy=through.url)

    assert reply.code in ("no_route", "bad_request") or path == "/v1"
    assert len(site.seen) == (path == "/v1")


@pytest.mark.parametrize("host", ["evil.com", "localhost:1", "sandbox.internal"])
async def test_another_host_gets_no_token(start, sandbox, site, host):
    """
    The proxy is none for the rest of the world, nor an API under another name.
    """
    through = await start()
    before = len(sandbox.hits)

    reply = await through("GET", f"http://{host}/management/v1/orgs/me", proxy=through.url)

    assert (reply.status, reply.code) == (404, "no_route")
    assert "NO_PROXY" in reply.json["detail"]
    assert len(sandbox.hits) == before
    assert site.seen == []


async def test_hosts_of_a_listener_do_not_keep_routes_hosts_out(start, site):
    """
    They are about what the proxy is called by.
    """
    through = await start({"hosts": ["proxy.acme.com"]})

    assert (await through("GET", f"{site.plain}/v1/x", proxy=through.url)).status == 200
    assert (await through("GET", "/site/x")).status == 403


async def test_a_callers_key_in_the_proxys_url(start, site):
    """
    Without a key there is a 407 with the challenge; with it as the password the request goes, and
    the key goes nowhere.
    """
    through = await start({"callers": ["ci"]})
    url = f"{site.plain}/v1/x"

    status, headers, _ = await asyncio.to_thread(fetch, url, through.url)
    assert status == 407
    assert headers.get_all("Proxy-Authenticate") == [
        'Bearer realm="authproxy"',
        'Basic realm="authproxy"',
    ]
    assert site.seen == []

    status, _, _ = await asyncio.to_thread(fetch, url, by(through, f"any:{KEY}"))
    assert status == 200
    shown = {"Proxy-Authorization": aiohttp.encode_basic_auth("", KEY)}
    reply = await through("GET", url, proxy=through.url, headers=shown)
    assert reply.status == 200
    assert KEY not in str(site.seen)
    assert "Basic" not in str(site.seen)
    await through.log.done(reply)
    assert [each["caller"] for each in through.log.events("request.done")] == [None, "ci", "ci"]


async def test_a_redirect_stays_on_the_proxy(start, site):
    """
    With redirects: rewrite an address at the upstream becomes one that is asked for with http://
    again; without it, it would lead to a tunnel.
    """
    through = await start(redirects="rewrite")
    url = f"{site.plain}/v1/a"
    for where in (f"{site.url}/v1/b?x=1", "/v1/b?x=1", "b?x=1"):
        site.seen.clear()
        site.where = where
        reply = await through("GET", url, proxy=through.url, allow_redirects=True)

        assert (reply.status, reply.body) == (200, b"here")
        assert [path for path, _ in site.seen] == ["/v1/a", "/v1/b?x=1"]

    site.where = f"{site.url}/elsewhere"
    assert (await through("GET", url, proxy=through.url)).headers[
        "Location"
    ] == f"{site.url}/elsewhere"


async def test_a_redirect_passes_as_it_is_by_default(start, site):
    """
    As ever.
    """
    through = await start()
    site.where = f"{site.url}/v1/b"

    reply = await through("GET", f"{site.plain}/v1/a", proxy=through.url)

    assert reply.headers["Location"] == f"{site.url}/v1/b"


async def test_a_websocket(start, site, session):
    """
    A client that asks for it by a URL with http:// gets one, over TLS.
    """
    through = await start()
    async with session.ws_connect(f"{site.plain}/v1/ws", proxy=through.url) as socket:
        await socket.send_str("hello")

        assert await socket.receive_str() == "hello"
    assert site.seen[0][1]["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("how", ["-x", "http_proxy"])
@pytest.mark.parametrize("user", ["", f"any:{KEY}"])
@pytest.mark.heavy
@needs_curl
async def test_curl(start, site, how, user):
    """
    By option and by environment, with and without a key in the proxy's URL.
    """
    through = await start({"callers": ["ci"]} if user else {})
    words = ("-x", by(through, user)) if how == "-x" else ("--noproxy", "")
    environ = {} if how == "-x" else {"http_proxy": by(through, user)}

    code, out, told = await curl(*words, f"{site.plain}/v1/x", f"{site.plain}/v1/y", **environ)

    assert (code, out) == (0, "herehere"), told
    assert [path for path, _ in site.seen] == ["/v1/x", "/v1/y"]
    assert KEY not in str(site.seen)


@pytest.mark.heavy
@needs_curl
async def test_curl_shows_why_there_is_no_tunnel(start, site):
    """
    A URL with https:// makes curl ask for a tunnel, which it is refused; what to write instead stands
    in what curl -v shows.
    """
    through = await start()

    code, out, told = await curl("-x", through.url, f"{site.url}/v1/x")

    assert (code, out) == (56, "")  # CURLE_RECV_ERROR
    assert "HTTP/1.1 405 Method Not Allowed" in told
    assert "write http:// instead of https:// in the URL, the proxy adds TLS" in told
    assert site.seen == []


@pytest.mark.heavy
@needs_curl
async def test_curl_finds_the_challenge_it_can_meet(start, site):
    """
    Told to use whatever the proxy asks for, curl comes again with the password.
    """
    through = await start({"callers": ["ci"]})

    code, out, told = await curl(
        "--proxy-anyauth", "-x", by(through, f"any:{KEY}"), f"{site.plain}/v1/x"
    )

    assert (code, out) == (0, "here"), told
    assert "407 Proxy Authentication Required" in told

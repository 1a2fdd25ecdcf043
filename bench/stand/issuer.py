"""
A toy issuer that can have an outage, run as a program: `python issuer.py PORT`.

`POST /token/CLIENT/LIFE/MS` gives a token that lives LIFE seconds, after MS milliseconds of
thinking; each of these addresses is an issuer of its own, with a discovery document below it. The
token says when it ends (`stand.checker` reads that). `GET /mints` lists begin and end of each mint,
in seconds of CLOCK_MONOTONIC, and its client; `GET /arrivals` lists the token requests that came,
answered or not.

`POST /outages/KIND/SECONDS` answers with begin and end of the outage that follows:

refused     connections are refused; those that are open are closed
silent      connections are accepted and no request is answered, not even afterwards
token-503   the token endpoint answers 503, whatever the request
all-503     so does discovery
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import time
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OUTAGES = ("refused", "silent", "token-503", "all-503")

NOTICE = 0.2
"""Seconds from the request for an outage to its begin, so that it is answered."""

DISCOVERY = "/.well-known/openid-configuration"
EVER = 3600.0


class Issuer:
    """
    The issuer. Its memory survives its outages.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._count = itertools.count(1)
        self._mints: list[dict[str, object]] = []
        self._arrivals: list[dict[str, object]] = []
        self._outage = ""
        self._begin = self._end = 0.0
        self._news = asyncio.Event()

    async def serve(self) -> None:
        """
        Serve until the process is ended.
        """
        while True:
            listener = bound(self._port)
            runner = web.AppRunner(
                self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
            )
            await runner.setup()
            await web.SockSite(runner, listener, backlog=1024).start()
            await self._refusal()
            await runner.cleanup()
            with bound(self._port):  # ours, and not listening
                await asyncio.sleep(self._end - time.monotonic())

    async def _refusal(self) -> None:
        """
        Wait for the begin of an outage in which connections are refused.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            if self._outage == "refused":
                await asyncio.sleep(self._begin - time.monotonic())
                return

    def _app(self) -> web.Application:
        app = web.Application()
        place = "/token/{client}/{life}/{ms}"
        app.router.add_post(place, self._troubled(self._token))
        app.router.add_get(place, self._troubled(self._no_token))
        app.router.add_get(place + DISCOVERY, self._troubled(self._discovery))
        app.router.add_get("/mints", self._list(self._mints))
        app.router.add_get("/arrivals", self._list(self._arrivals))
        app.router.add_post("/outages/{kind}/{seconds}", self._begin_outage)
        return app

    def _troubled(self, handler: Handler) -> Handler:
        """
        Wrap a handler in the outage there may be.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            at = time.monotonic()
            if request.method == "POST":
                self._arrivals.append({"at": at, "client": request.match_info["client"]})
            outage = self._outage if self._begin <= at < self._end else ""
            if outage == "silent":
                await asyncio.sleep(EVER)
            if outage == "all-503" or (
                outage == "token-503" and not request.path.endswith(DISCOVERY)
            ):
                return web.Response(status=503, text="no healthy upstream")
            return await handler(request)

        return answer

    async def _token(self, request: web.Request) -> web.Response:
        begin = time.monotonic()
        await request.read()
        await asyncio.sleep(int(request.match_info["ms"]) / 1e3)
        life = int(request.match_info["life"])
        end = time.monotonic()
        answer = {
            "access_token": f"bench-token-{next(self._count):06d}-{'x' * 64}-{end + life:.3f}",
            "token_type": "Bearer",
            "expires_in": life,
        }
        self._mints.append({"begin": begin, "end": end, "client": request.match_info["client"]})
        return web.json_response(answer)

    async def _no_token(self, _: web.Request) -> web.Response:
        return web.json_response({"error": "invalid_request"}, status=400)

    async def _discovery(self, request: web.Request) -> web.Response:
        url = str(request.url).removesuffix(DISCOVERY)
        return web.json_response({"issuer": url, "token_endpoint": url})

    def _list(self, what: list[dict[str, object]]) -> Handler:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response(what)

        return answer

    async def _begin_outage(self, request: web.Request) -> web.Response:
        self._outage = request.match_info["kind"]
        self._begin = time.monotonic() + NOTICE
        self._end = self._begin + float(request.match_info["seconds"])
        self._news.set()
        return web.json_response({"begin": self._begin, "end": self._end})


def bound(port: int) -> socket.socket:
    """
    Return a socket that has taken the port on loopback and does not listen yet.
    """
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    return taken


if __name__ == "__main__":
    asyncio.run(Issuer(int(sys.argv[1])).serve())

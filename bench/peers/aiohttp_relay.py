"""
A plain relay, run as a program: aiohttp's server in front, its client behind, a token between.

Naive but correct: bodies are streamed both ways, hop-by-hop headers stay behind, the token is
renewed before it ends, one line of JSON per request. What nobody tuned stays as the tutorials have
it, but for the event loop and the connection limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import ssl
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

# RFC 9110 §7.6.1, and what this relay writes itself.
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "host", "authorization", "expect",
    }
)  # fmt: skip

PIECE = 64 * 1024
"""Bytes of body moved at once."""


class TokenSource:
    """
    The one token, renewed when a fifth of its life is left.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """
        Return the token, minted first where it has to be.
        """
        if time.monotonic() >= self._renew_at:
            async with self._lock:
                if time.monotonic() >= self._renew_at:
                    await self._mint()
        return self._token

    async def _mint(self) -> None:
        auth = aiohttp.BasicAuth("aiohttp", "s3cr3t").encode()
        form = {"grant_type": "client_credentials", "scope": "api"}
        headers = {"Authorization": auth}
        async with self._session.post(self._url, data=form, headers=headers) as answer:
            answer.raise_for_status()
            minted = await answer.json()
        self._token = minted["access_token"]
        self._renew_at = time.monotonic() + 0.8 * minted["expires_in"]


def _pass_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_chunked(PIECE):
        yield piece


def make_handler(
    session: aiohttp.ClientSession, tokens: TokenSource, upstream: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """
    Return what answers every request.
    """
    log = logging.getLogger("relay")

    async def handle(request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        headers = _pass_on(request.headers)
        headers["Authorization"] = f"Bearer {await tokens.get()}"
        async with session.request(
            request.method,
            upstream + request.raw_path,
            headers=headers,
            data=_pieces(request) if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_pass_on(answer.headers))
            await response.prepare(request)
            async for piece in answer.content.iter_chunked(PIECE):
                await response.write(piece)
            await response.write_eof()
        facts = {"method": request.method, "path": request.path, "status": answer.status}
        took = round((time.monotonic() - began) * 1e3, 3)
        log.info(json.dumps({**facts, "time": time.time(), "duration_ms": took}))  # noqa: TID251 - a program of its own
        return response

    return handle


async def serve(arguments: argparse.Namespace) -> None:
    """
    Serve until the process is ended.
    """
    trust: ssl.SSLContext | bool = True
    if arguments.authority:
        trust = ssl.create_default_context(cafile=arguments.authority)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        tokens = TokenSource(session, arguments.token_url)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{tail:.*}", make_handler(session, tokens, arguments.upstream))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", arguments.port, backlog=1024).start()
        await asyncio.Event().wait()


def main() -> None:
    """
    Read the command line and serve.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--token-url", required=True)
    parser.add_argument("--authority")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments))


if __name__ == "__main__":
    main()

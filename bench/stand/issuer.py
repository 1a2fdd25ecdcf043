"""
A toy token endpoint, run as a program: `python issuer.py PORT`.

`POST /token/CLIENT/LIFE/MS` gives a token that lives LIFE seconds, after MS milliseconds of
thinking; `GET /mints` lists begin and end of each mint, in seconds of CLOCK_MONOTONIC, and its client.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

from aiohttp import web


def make_app() -> web.Application:
    """
    Return the endpoint.
    """
    count = itertools.count(1)
    mints: list[dict[str, object]] = []

    async def token(request: web.Request) -> web.Response:
        begin = time.monotonic()
        await request.read()
        await asyncio.sleep(int(request.match_info["ms"]) / 1e3)
        life = int(request.match_info["life"])
        answer = {
            "access_token": f"bench-token-{next(count):06d}-{'x' * 64}",
            "token_type": "Bearer",
            "expires_in": life,
        }
        mints.append(
            {"begin": begin, "end": time.monotonic(), "client": request.match_info["client"]}
        )
        return web.json_response(answer)

    async def list_mints(_: web.Request) -> web.Response:
        return web.json_response(mints)

    app = web.Application()
    app.router.add_post("/token/{client}/{life}/{ms}", token)
    app.router.add_get("/mints", list_mints)
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
    )

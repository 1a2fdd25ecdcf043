"""
Answers that never come to their end: the connection closed, the body cut or dripping.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from proxy.sandbox.faults import Faults

JSON_TYPE = {"Content-Type": "application/json"}

# What a cut answer would have been: whole JSON, so that a client that does not count finds a token.
WHOLE = b'{"access_token": "cut-off", "token_type": "Bearer", "expires_in": 3600}'

# How many bytes more than that Content-Length promises.
MISSING = 100


def close(request: web.Request) -> web.Response:
    """
    Close the connection under a request; the returned response reaches nobody.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def truncated(request: web.Request) -> web.StreamResponse:
    """
    Promise more bytes than come, then close.
    """
    response = web.StreamResponse(headers=JSON_TYPE)
    response.content_length = len(WHOLE) + MISSING
    await response.prepare(request)
    await response.write(WHOLE)
    if request.transport is not None:
        request.transport.close()  # what was written still goes out
    return response


def truncated_gzip() -> web.Response:
    """
    Return an answer whose framing is right and whose gzip stream ends in the middle.
    """
    packed = gzip.compress(WHOLE)
    headers = JSON_TYPE | {"Content-Encoding": "gzip"}
    return web.Response(body=packed[: len(packed) // 2], headers=headers)


async def drip(request: web.Request, faults: Faults, name: str) -> web.StreamResponse:
    """
    Send an access token byte by byte, until the fault is cleared or the client has gone.
    """
    response = web.StreamResponse(headers=JSON_TYPE)
    await response.prepare(request)
    await response.write(b'{"access_token": "')
    interval = faults.seconds(name)
    while not await faults.pause(name, interval):
        await response.write(b"x")
    await response.write_eof()
    return response

"""
A resource server: it introspects every Bearer it is shown, over HTTP, and remembers no answer.

Paths: `/orders/…`, `/echo`, `/bytes/{n}`, `/upload`, `/sse`, `/slow`, `/status/{code}`; only
`/healthz` is open. Bodies and answers of any size pass through with flat memory.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from proxy.sandbox.cuts import close
from proxy.sandbox.discovery import INTROSPECT
from proxy.sandbox.hits import MASKED, Hit, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.core.secret import Secret
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import Application

REALM = "sandbox"

# What `/bytes/{n}` repeats: every byte value, in order.
BLOCK = bytes(range(256)) * 256

# Of a refused request's body so much is read before the refusal is sent, in bytes.
REFUSED_BODY = 1 << 20

# Longest answer to anything that waits, in seconds, and most events of one stream.
LONGEST = 600.0
MOST_EVENTS = 100_000

ORDERS = (
    {"id": "1001", "item": "teapot", "quantity": 1},
    {"id": "1002", "item": "cup", "quantity": 6},
)


def block_bytes(count: int) -> bytes:
    """
    Return the first *count* bytes of what `/bytes/{n}` sends.
    """
    return (BLOCK * (count // len(BLOCK) + 1))[:count]


class Backend:
    """
    Answers every path of the backend's server.

    Args:
        instance: The instance whose records it writes.
        application: What it introspects as.
        issuer_url: Where it introspects.
    """

    def __init__(self, instance: Instance, application: Application, issuer_url: str) -> None:
        self._instance = instance
        self._application = application
        self._issuer_url = issuer_url
        self._session: aiohttp.ClientSession | None = None
        self._handlers: dict[
            str, Callable[[web.Request, Hit, str], Awaitable[web.StreamResponse]]
        ] = {
            "orders": self._orders,
            "echo": self._echo,
            "bytes": self._bytes,
            "upload": self._upload,
            "sse": self._sse,
            "slow": self._slow,
            "status": self._status,
        }

    async def start(self) -> None:
        """
        Open the client it introspects with.
        """
        self._session = aiohttp.ClientSession(
            # It dials the server next door, whose certificate nobody signed for it.
            connector=aiohttp.TCPConnector(ssl=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
            trust_env=False,
        )

    async def stop(self) -> None:
        """
        Close that client.
        """
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request, hit: Hit) -> web.StreamResponse:
        """
        Answer one request.
        """
        path = request.rel_url.raw_path
        if path == "/healthz":
            return web.Response(text="ok\n")
        if self._instance.faults.take("backend-close"):
            return close(request)
        refused = await self._refusal(hit)
        if refused is not None:
            await _drain(request, hit)
            return refused
        await self._instance.faults.hold("backend-slow")
        _, first, rest = (path + "/").split("/", 2)
        handler = self._handlers.get(first)
        if handler is None:
            await _drain(request, hit)
            return web.json_response({"error": "not found"}, status=404)
        return await handler(request, hit, rest.rstrip("/"))

    async def _refusal(self, hit: Hit) -> web.Response | None:
        """
        Return the answer to a request without a good token; None if its token is good.
        """
        if hit.bearer is None:
            return _unauthorized(f'Bearer realm="{REALM}"')
        if self._instance.faults.take("backend-401"):
            return _unauthorized(f'Bearer realm="{REALM}", error="invalid_token"')
        try:
            answer = await self._introspect(hit.bearer)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return web.json_response({"error": "introspection failed"}, status=503)
        if answer.get("active") is not True:
            return _unauthorized(f'Bearer realm="{REALM}", error="invalid_token"')
        user = self._instance.users.by_id(str(answer.get("sub")))
        hit.user = user.name if user else None
        return None

    async def _introspect(self, token: Secret) -> dict[str, object]:
        assert self._session is not None, "start() comes first"
        secret = self._application.secret
        assert secret is not None, "the backend's application has a secret"
        async with self._session.post(
            URL(self._issuer_url + INTROSPECT),
            data={"token": token.reveal()},
            headers={
                "Authorization": aiohttp.encode_basic_auth(
                    self._application.client_id, secret.reveal()
                )
            },
        ) as response:
            response.raise_for_status()
            answer = await response.json()
        if not isinstance(answer, dict):
            raise ValueError("introspection answered no object")  # noqa: TRY004 - bad data
        return answer

    async def _orders(self, request: web.Request, hit: Hit, rest: str) -> web.StreamResponse:
        await read_body(request, hit)
        if not rest:
            return web.json_response({"orders": list(ORDERS), "service_user": hit.user})
        return web.json_response({"id": rest, "service_user": hit.user})

    async def _echo(self, request: web.Request, hit: Hit, _rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        fingerprint = hit.bearer.fingerprint() if hit.bearer else ""
        headers = [
            [name, f"{value} {fingerprint}" if name.lower() in MASKED else value]
            for name, value in hit.headers
        ]
        return web.json_response(
            {
                "method": hit.method,
                "path": hit.target,
                "headers": headers,
                "service_user": hit.user,
                "body": {"length": hit.body_length, "sha256": hit.body_sha256},
            }
        )

    async def _bytes(self, request: web.Request, hit: Hit, rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        if not (rest.isascii() and rest.isdigit() and len(rest) <= 15):
            return web.json_response({"error": "not a number of bytes"}, status=400)
        left = int(rest)
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        if "chunked" in request.query:
            response.enable_chunked_encoding()
        else:
            response.content_length = left
        await response.prepare(request)
        while left and request.method != "HEAD":
            await response.write(BLOCK[:left])
            left -= min(left, len(BLOCK))
        await response.write_eof()
        return response

    async def _upload(self, request: web.Request, hit: Hit, _rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        return web.json_response({"length": hit.body_length, "sha256": hit.body_sha256})

    async def _sse(self, request: web.Request, hit: Hit, _rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        count = int(_number(request, "count", 5, MOST_EVENTS))
        interval = _number(request, "interval", 0.2, LONGEST)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        for number in range(1, count + 1):
            data = json.dumps({"number": number, "service_user": hit.user})
            await response.write(f"id: {number}\nevent: tick\ndata: {data}\n\n".encode())
            if number < count:
                await asyncio.sleep(interval)
        await response.write_eof()
        return response

    async def _slow(self, request: web.Request, hit: Hit, _rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        seconds = _number(request, "seconds", 1.0, LONGEST)
        await asyncio.sleep(seconds)
        return web.json_response({"seconds": seconds})

    async def _status(self, request: web.Request, hit: Hit, rest: str) -> web.StreamResponse:
        await read_body(request, hit, keep=0)
        if not (rest.isascii() and rest.isdigit() and 200 <= int(rest[:4]) <= 599):
            return web.json_response({"error": "not a final status"}, status=400)
        code = int(rest)
        return web.Response(status=code, text=None if code in {204, 304} else f"{code}\n")


async def _drain(request: web.Request, hit: Hit) -> None:
    if (request.content_length or 0) <= REFUSED_BODY:
        await read_body(request, hit, keep=0)


def _unauthorized(challenge: str) -> web.Response:
    return web.json_response(
        {"error": "unauthorized"}, status=401, headers={"WWW-Authenticate": challenge}
    )


def _number(request: web.Request, name: str, default: float, largest: float) -> float:
    try:
        number = float(request.query.get(name, default))
    except ValueError:
        return default
    return number if 0 <= number <= largest else default

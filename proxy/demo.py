"""
The demonstration: a sandbox, a proxy before it, and a client that knows nothing of tokens.

What is told is what happened: the client's requests go over real sockets, `token` comes from the
proxy's own log line of that request, and what was attached from what the sandbox received.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from proxy.config.load import load
from proxy.errors import ConfigError
from proxy.runtime import Runtime
from proxy.sandbox.server import Sandbox
from proxy.surroundings import Surroundings, real_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.sandbox.hits import Hit

LISTEN = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One request of the demonstration.

    Attributes:
        user: The service user its route names.
        method: That user's method, in words.
        path: What the client asks for.
    """

    user: str
    method: str
    path: str


SAMPLES = (
    Sample("provisioner", "private key JWT", "/management/v1/orgs/me"),
    Sample("reporter", "client credentials", "/orders/42"),
    Sample("dev", "personal access token", "/dev/auth/v1/users/me"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """
    What one request came to.

    Attributes:
        sample: The request.
        status: What the client got.
        body: The response's body, on one line.
        attached: The credential the sandbox received, all but its start hidden.
        token: Where the token came from: `minted` while it waited, `cached`, `static`.
        duration: Milliseconds in the proxy.
        target: Method and target as the sandbox received them.
    """

    sample: Sample
    status: HTTPStatus
    body: str
    attached: str
    token: str
    duration: float
    target: str


class Recorder:
    """
    Takes the proxy's log lines and hands them out again: those of requests, those of mints.
    """

    def __init__(self) -> None:
        self._requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._mints: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(self, piece: bytes) -> None:
        """
        Take whole lines.
        """
        for line in piece.splitlines():
            record = json.loads(line)
            if record["event"] == "request.done":
                self._requests.put_nowait(record)
            elif record["event"].startswith("token."):
                self._mints.put_nowait(record)

    async def request(self) -> dict[str, Any]:
        """
        Return the next request's line.
        """
        return await self._requests.get()

    async def mint(self) -> dict[str, Any]:
        """
        Return the next mint's line.
        """
        return await self._mints.get()


class Demo:
    """
    A running demonstration.

    Attributes:
        sandbox: The stand-in behind the proxy.
        runtime: The proxy.
        url: The proxy's URL.
        log: The proxy's log lines.
    """

    def __init__(self, sandbox: Sandbox, runtime: Runtime, log: Recorder) -> None:
        self.sandbox = sandbox
        self.runtime = runtime
        self.log = log
        self.url = f"http://{runtime.addresses[0]}"
        self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """
        Close the client.
        """
        await self._client.close()

    async def ask(self, sample: Sample) -> Told:
        """
        Send one request without any credential through the proxy.
        """
        async with self._client.get(self.url + sample.path) as response:
            body = await response.text()
            status = HTTPStatus(response.status)
        line = await self.log.request()
        hit = self.sandbox.hits[-1]
        return Told(
            sample=sample,
            status=status,
            body=one_line(body),
            attached=redact(hit),
            token=line["token"] or "none",
            duration=line["duration_ms"],
            target=f"{hit.method} {hit.target}",
        )

    async def ask_directly(self, path: str) -> tuple[HTTPStatus, str]:
        """
        Send one request without any credential straight to the sandbox.
        """
        async with self._client.get(self.sandbox.url + path) as response:
            return HTTPStatus(response.status), one_line(await response.text())


@contextlib.asynccontextmanager
async def open_demo() -> AsyncIterator[Demo]:
    """
    Start a sandbox and a proxy before it; on port 8080, or any free one if that is taken.
    """
    recorder = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authproxy-demo-")))
        sandbox = await stack.enter_async_context(Sandbox())
        try:
            runtime = await stack.enter_async_context(_proxy(sandbox, folder, LISTEN, recorder))
        except ConfigError:
            runtime = await stack.enter_async_context(
                _proxy(sandbox, folder, "127.0.0.1:0", recorder)
            )
        demo = Demo(sandbox, runtime, recorder)
        stack.push_async_callback(demo.close)
        yield demo


def _proxy(sandbox: Sandbox, folder: Path, listen: str, recorder: Recorder) -> Runtime:
    config = sandbox.write(folder, listen=listen, admin="off")
    clock = real_clock()
    loaded = load(config, {}, now=clock.wall())
    return Runtime(loaded, Surroundings(recorder, environ={}, clock=clock, grace=1.0))


def redact(hit: Hit) -> str:
    """
    Return the credential a request arrived with: scheme and first characters, the rest hidden.
    """
    bearer = hit.bearer
    if bearer is None:
        return "none"
    text = bearer.reveal()
    return f"Authorization: Bearer {text[:6]}***  ({len(text)} characters)"


def one_line(body: str) -> str:
    """
    Return a body on one line.
    """
    return " ".join(body.split())

"""
A clock that is moved by hand, and a token endpoint on a real socket that answers by script.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.core.clock import Clock
from proxy.core.credential import ClientSecret, Issuer, ServiceUser, private_key
from proxy.core.secret import Secret
from proxy.tokens.discovery import Discovery
from proxy.tokens.issuer_clock import IssuerClocks
from proxy.tokens.line import Line, session
from proxy.tokens.mint import Mint


class HandClock:
    """
    Time that stands still until it is moved.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.clock = Clock(wall=lambda: 1_700_000_000.0 + self.now, boot=lambda: self.now)

    def move(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.now += seconds


@dataclass
class Asked:
    """
    One request as it arrived.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    form: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.form = dict(parse_qsl(self.body.decode("latin-1")))


@dataclass
class FakeIssuer:
    """
    Answers token requests from `script`, then with tokens t1, t2, …; holds answers while `shut`.
    `date` is the clock its answers state.
    """

    url: str = ""
    script: deque[Any] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    document: object = None
    oauth_document: web.Response | None = None
    date: Callable[[], float] | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def tokens_asked(self) -> int:
        """
        Count the token requests.
        """
        return self.count("/oauth/v2/token")

    def count(self, path: str) -> int:
        """
        Count the requests below *path*.
        """
        return sum(one.path.startswith(path) for one in self.asked)

    async def arrived(self, count: int = 1, path: str = "/oauth/v2/token") -> None:
        """
        Wait until so many requests below *path* have arrived.
        """
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count(path) >= count)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.
        """
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._arrived:
            self.asked.append(Asked(request.method, request.path_qs, headers, body))
            self._arrived.notify_all()
        await self.open.wait()
        answer = await self._answer(request)
        if self.date is not None and "Date" not in answer.headers:
            answer.headers["Date"] = formatdate(self.date(), usegmt=True)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/.well-known/openid-configuration"):
            return self._discovery()
        if "/.well-known/oauth-authorization-server" in request.path:
            return self.oauth_document or web.Response(status=404)
        if self.script:
            step = self.script.popleft()
            answer: web.StreamResponse = await step(request) if callable(step) else step
            return answer
        token = {
            "access_token": f"t{next(self._numbers)}",
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        return web.json_response(token)

    def _discovery(self) -> web.Response:
        if isinstance(self.document, web.Response):
            return self.document
        plain = {"issuer": self.url, "token_endpoint": self.url + "/oauth/v2/token"}
        return web.json_response(plain if self.document is None else self.document)


@pytest.fixture
def time() -> HandClock:
    """
    A clock moved by hand.
    """
    return HandClock()


@pytest.fixture(scope="session")
def rsa_pem() -> Secret:
    """
    A private key as ZITADEL writes it.
    """
    key = rsa.generate_private_key(65537, 2048)
    return Secret(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()
    )


@pytest.fixture
async def issuer(time):
    """
    A running FakeIssuer, whose clock is the one moved by hand.
    """
    fake = FakeIssuer(date=time.clock.wall)
    runner = web.ServerRunner(web.Server(fake.answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    fake.open.set()
    await runner.cleanup()


@pytest.fixture
def clocks(time):
    """
    What time it is at the issuers.
    """
    return IssuerClocks(time.clock)


@pytest.fixture
async def line(clocks):
    """
    A Line with a short deadline.
    """
    async with session() as http:
        yield Line(http, clocks, timeout=5.0)


@pytest.fixture
async def discovery(line, time):
    """
    Where token endpoints are.
    """
    finder = Discovery(line, time.clock.boot)
    yield finder
    await finder.close()


@pytest.fixture
def mint(line, discovery, clocks, time):
    """
    What is under test in most of these files.
    """
    numbers = itertools.count(1)
    return Mint(line, discovery, clocks, time.clock, lambda: f"jti-{next(numbers)}")


@pytest.fixture
def reporter(issuer) -> ServiceUser:
    """
    A service user with client credentials at the running issuer.
    """
    credential = ClientSecret("reporter", Secret("canary-secret"))
    return ServiceUser("reporter", Issuer("zitadel", issuer.url), credential, ("openid",))


@pytest.fixture
def provisioner(issuer, rsa_pem) -> ServiceUser:
    """
    A service user with a private key at the running issuer.
    """
    credential = private_key(rsa_pem, key_id="k1", user_id="u1")
    return ServiceUser("provisioner", Issuer("zitadel", issuer.url), credential, ("openid",))

"""
An issuer on a real socket that publishes keys and answers questions about tokens as it is told, a
clock moved by hand, and tokens signed (or not) in every way.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from proxy.core.clock import Clock
from proxy.core.credential import Issuer
from proxy.tokens.issuers import Issuers

AUDIENCE = "https://proxy.example"
Key = RSAKey | ECKey | OKPKey


class HandClock:
    """
    Time that stands still until it is moved, the two clocks together or one alone.
    """

    def __init__(self) -> None:
        self.boot = 1000.0
        self.wall = 1_700_000_000.0
        self.clock = Clock(wall=lambda: self.wall, boot=lambda: self.boot)

    def move(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.boot += seconds
        self.wall += seconds


@dataclass
class Publisher:
    """
    `keys` and `said` are what it answers with: something to write as JSON, bytes, or a whole answer.
    Answers wait while `open` is not set. `behind` is how far its Date is behind.
    """

    time: HandClock
    url: str = ""
    keys: Any = None
    said: Any = None
    document: Any = None
    behind: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def issuer(self) -> Issuer:
        """
        Return it as the configuration would name it.
        """
        return Issuer("acme", self.url)

    async def arrived(self, path: str, count: int = 1) -> None:
        """
        Wait until so many requests for *path* have arrived.
        """
        async with self._news:
            await self._news.wait_for(lambda: self.asked[path] >= count)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.
        """
        body = await request.read()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self._news:
            self.asked[request.path] += 1
            if request.method == "POST":
                self.forms.append(dict(parse_qsl(body.decode())))
                self.headers.append(request.headers)
            self._news.notify_all()
        await self.open.wait()
        self.at_once -= 1
        answer = self._answer(request.path)
        answer.headers["Date"] = formatdate(self.time.wall - self.behind, usegmt=True)
        return answer

    def _answer(self, path: str) -> web.Response:
        content = {"/keys": self.keys, "/introspect": self.said}.get(path, self._described())
        if isinstance(content, web.Response):  # a copy: one is sent once
            return web.Response(status=content.status, body=content.body, headers=content.headers)
        if isinstance(content, bytes):
            return web.Response(body=content)
        return web.json_response(content)

    def _described(self) -> Any:
        if self.document is not None:
            return self.document
        return {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "introspection_endpoint": f"{self.url}/introspect",
        }


@asynccontextmanager
async def publishing(time: HandClock) -> AsyncIterator[Publisher]:
    """
    Run an issuer.
    """
    publisher = Publisher(time)
    publisher.open.set()
    runner = web.ServerRunner(web.Server(publisher.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    publisher.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield publisher
    publisher.open.set()
    await runner.cleanup()


def _silent(_event: str, /, **_facts: Any) -> None:
    pass


def issuers_at(clock: Clock, **options: Any) -> Issuers:
    """
    Return the way to issuers; use it as `async with`.
    """
    numbers = itertools.count(1)
    return Issuers(clock, lambda: 0.5, lambda: f"jti-{next(numbers)}", _silent, **options)


def b64(data: bytes | str) -> bytes:
    """
    Return base64url without padding.
    """
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def jwk(key: Key, kid: str | None, **more: Any) -> dict[str, Any]:
    """
    Return the public half as an issuer publishes it.
    """
    named = {} if kid is None else {"kid": kid}
    return {**key.as_dict(private=False), "use": "sig", **named, **more}


def signed(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, key: Key) -> bytes:
    """
    Return a token with this header and these claims, or these bytes for them.
    """
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    start = b64(head) + b"." + b64(body)
    named = json.loads(head).get("alg") if b'"alg"' in head else None
    fitting = {RSAKey: "RS256", ECKey: "ES256", OKPKey: "EdDSA"}[type(key)]
    known = named if isinstance(named, str) and named in JWSRegistry.algorithms else fitting
    algorithm = JWSRegistry.algorithms[fitting if known[:2] in {"HS", "no"} else known]
    return start + b"." + b64(algorithm.sign(start, key))


RSA = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
ED = OKPKey.generate_key("Ed25519")
FOREIGN = RSAKey.generate_key(2048)
FOREIGN_EC = ECKey.generate_key("P-256")
KEYS: dict[str, Any] = {"r": RSA, "e": P256, "e3": P384, "d": ED}
HEADER: dict[str, Any] = {"alg": "RS256", "kid": "r", "typ": "JWT"}

SIGNERS: dict[str, tuple[dict[str, Any], Any]] = {
    "RS256": ({"alg": "RS256", "kid": "r"}, RSA),
    "PS256": ({"alg": "PS256", "kid": "r"}, RSA),
    "ES256": ({"alg": "ES256", "kid": "e"}, P256),
    "ES384": ({"alg": "ES384", "kid": "e3"}, P384),
    "EdDSA": ({"alg": "EdDSA", "kid": "d"}, ED),
    "at+jwt": (HEADER | {"typ": "at+jwt"}, RSA),
    "application/at+jwt": (HEADER | {"typ": "application/at+JWT"}, RSA),
    "RSA without kid": ({"alg": "RS256"}, RSA),
    "EC without kid": ({"alg": "ES256"}, P256),
    "keys in the header": (
        HEADER | {"jwk": jwk(FOREIGN, "r"), "jku": "https://evil.example", "x5u": 1, "x5c": ["x"]},
        RSA,
    ),
    "members unknown": (HEADER | {"x": [1], "b64": True, "cty": "x"}, RSA),
}

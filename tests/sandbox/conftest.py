from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from yarl import URL

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.sandbox.grants import CLIENT_CREDENTIALS, JWT_BEARER
from proxy.sandbox.keys import KeyPair, SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox

NOW = 1_800_000_000.0


@dataclass
class FakeClock:
    """
    A clock that stands until a test moves it.
    """

    now: float = NOW

    def clock(self) -> Clock:
        """
        Return it as the clock the sandbox takes.
        """
        return Clock(wall=lambda: self.now, boot=lambda: self.now)


@dataclass
class Reply:
    """
    An answer, read whole.
    """

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        """
        The body as text.
        """
        return self.body.decode()

    @property
    def json(self) -> Any:
        """
        The body as JSON.
        """
        return json.loads(self.body)


@dataclass
class Client:
    """
    A plain HTTP client that keeps no cookies and normalises no path.
    """

    session: aiohttp.ClientSession
    base: str

    async def __call__(self, method: str, target: str, **options: Any) -> Reply:
        """
        Send a request to a path of the base, or to a whole URL.
        """
        url = target if target.startswith("http") else self.base + target
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, URL(url, encoded=True), **options) as response:
            return Reply(response.status, response.headers, await response.read())


@dataclass
class Signer:
    """
    Signs assertions like a client that holds a key file.
    """

    sandbox: Sandbox
    now: Callable[[], float]

    def __call__(
        self,
        key_json: Secret | None = None,
        *,
        header: dict[str, Any] | None = None,
        drop: tuple[str, ...] = (),
        key: RSAKey | None = None,
        **claims: Any,
    ) -> str:
        """
        Sign with a key file (the provisioner's by default); override or drop what is to be wrong.
        """
        file = json.loads((key_json or self.sandbox.key_json).reveal())
        now = int(self.now())
        whole = {
            "iss": file.get("userId", file.get("clientId")),
            "sub": file.get("userId", file.get("clientId")),
            "aud": self.sandbox.url,
            "iat": now,
            "exp": now + 300,
        } | claims
        for name in drop:
            whole.pop(name)
        head: dict[str, Any] = {"alg": "RS256", "kid": file["keyId"]} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(
            head,
            whole,
            key or RSAKey.import_key(file["key"]),
            algorithms=["RS256", "PS256", "RS384"],
        )


@dataclass
class Minter:
    """
    Sends token requests by either grant.
    """

    sandbox: Sandbox
    client: Client
    sign: Signer

    async def by_key(self, assertion: str | None = None, **form: str) -> Reply:
        """
        Send an assertion, a right one by default; *form* overrides fields.
        """
        body = {
            "grant_type": JWT_BEARER,
            "assertion": self.sign() if assertion is None else assertion,
            "scope": " ".join(self.sandbox.zitadel_scopes),
        } | form
        return await self.client("POST", "/oauth/v2/token", data=body)

    async def by_secret(self, *, basic: tuple[str, str] | None = None, **form: str) -> Reply:
        """
        Ask by client credentials: Basic with the halves as given, or form fields.
        """
        body = {
            "grant_type": CLIENT_CREDENTIALS,
            "scope": " ".join(self.sandbox.backend_scopes),
        } | form
        headers = {"Authorization": aiohttp.encode_basic_auth(*basic)} if basic else {}
        return await self.client("POST", "/oauth/v2/token", data=body, headers=headers)


@pytest.fixture(scope="session")
def keys() -> SandboxKeys:
    """
    The key pairs of every sandbox here, made once.
    """
    return SandboxKeys.generate()


@pytest.fixture(scope="session")
def spare() -> KeyPair:
    """
    A further key pair, made once.
    """
    return KeyPair.generate()


@pytest.fixture
def clock() -> FakeClock:
    """
    What time it is in the sandbox.
    """
    return FakeClock()


@pytest.fixture
def options(keys: SandboxKeys, request: pytest.FixtureRequest) -> SandboxOptions:
    """
    The defaults; parametrise it indirectly with the fields to change.
    """
    return SandboxOptions(keys=keys, **getattr(request, "param", {}))


@pytest.fixture
async def sandbox(options: SandboxOptions, clock: FakeClock) -> AsyncIterator[Sandbox]:
    """
    A running sandbox on the fake clock.
    """
    async with Sandbox(options, clock=clock.clock()) as sandbox:
        yield sandbox


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """
    An HTTP client session without cookies.
    """
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def issuer(session: aiohttp.ClientSession, sandbox: Sandbox) -> Client:
    """
    A client of the issuer and its APIs.
    """
    return Client(session, sandbox.url)


@pytest.fixture
def backend(session: aiohttp.ClientSession, sandbox: Sandbox) -> Client:
    """
    A client of the protected backend.
    """
    return Client(session, sandbox.backend_url)


@pytest.fixture
def sign(sandbox: Sandbox, clock: FakeClock) -> Signer:
    """
    What signs assertions at the fake time.
    """
    return Signer(sandbox, lambda: clock.now)


@pytest.fixture
def mint(sandbox: Sandbox, issuer: Client, sign: Signer) -> Minter:
    """
    What sends token requests.
    """
    return Minter(sandbox, issuer, sign)


@pytest.fixture
def bearer() -> Callable[[Secret], dict[str, str]]:
    """
    Turns a token into request headers.
    """
    return lambda token: {"Authorization": f"Bearer {token.reveal()}"}

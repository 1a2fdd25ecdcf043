"""
The product as its users run it: a sandbox behind, a proxy before it, in this loop or as a process.

Every proxy started here is searched for the sandbox's secrets when it ends: no test has to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import trustme
import yaml
from yarl import URL

import proxy
from proxy.config.load import load
from proxy.core.secret import Secret
from proxy.runtime import Runtime
from proxy.sandbox.keys import SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from proxy.surroundings import Surroundings, real_clock
from proxy.tasks import spawn

ROOT = str(Path(proxy.__file__).parent.parent)

PATIENCE = 20.0
"""Seconds after which something awaited here will not come any more."""

Edit = Callable[[dict[str, Any]], object]


class Lines:
    """
    Takes log lines and hands out the one a test waits for.

    Attributes:
        raw: All bytes, as written.
        records: The lines, parsed.
    """

    def __init__(self) -> None:
        self.raw = b""
        self.records: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """
        Take whole lines.
        """
        self.raw += piece
        self.records += [json.loads(line) for line in piece.splitlines()]
        self._news.set()

    async def wait(self, event: str, **facts: Any) -> dict[str, Any]:
        """
        Return the first line of this event with these facts, now or once it comes.
        """
        seen = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                for record in self.records[seen:]:
                    if record["event"] == event and facts.items() <= record.items():
                        return record
                seen = len(self.records)
                self._news.clear()
                await self._news.wait()

    async def done(self, reply: Reply) -> dict[str, Any]:
        """
        Return the line of the request that was answered so.
        """
        return await self.wait("request.done", request_id=reply.headers["X-Request-Id"])

    def events(self, event: str) -> list[dict[str, Any]]:
        """
        Return the lines of this event so far.
        """
        return [record for record in self.records if record["event"] == event]


@dataclass
class Reply:
    """
    An answer, read whole.
    """

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """
        The body as JSON.
        """
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """
        The proxy's own error code; None if the answer is the upstream's.
        """
        if not self.body or self.headers.get("Content-Type") != "application/problem+json":
            return None
        return str(self.json["code"])


@dataclass
class Caller:
    """
    A client without any credential: keeps no cookies, normalises no path.
    """

    session: aiohttp.ClientSession
    url: str
    answers: list[Reply] = field(default_factory=list)

    async def __call__(self, method: str, target: str, **options: Any) -> Reply:
        """
        Send a request to a path of the proxy, or to a whole URL.
        """
        url = target if "://" in target else self.url + target
        options.setdefault("allow_redirects", False)
        async with (
            asyncio.timeout(PATIENCE),
            self.session.request(method, URL(url, encoded=True), **options) as response,
        ):
            reply = Reply(response.status, response.headers, await response.read())
        if reply.code is not None:
            self.answers.append(reply)
        return reply


@dataclass
class Proxy(Caller):
    """
    A proxy in this loop. Call it to send a request through it.
    """

    runtime: Runtime = field(kw_only=True)
    log: Lines = field(kw_only=True)

    @property
    def port(self) -> int:
        """
        The port of its first listener.
        """
        return int(self.url.rpartition(":")[2])

    async def waiting(self, count: int) -> None:
        """
        Return once this many requests wait for a token.
        """
        while len(self.runtime._gateway.tasks) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


class Process:
    """
    A verb of the real command as a process of its own.

    Attributes:
        log: What it wrote to standard output, if that is a log.
        out: Standard output.
        err: Standard error.
    """

    def __init__(self, process: asyncio.subprocess.Process, *, logs: bool) -> None:
        self._process = process
        self._tasks: set[asyncio.Task[Any]] = set()
        self._logs = logs
        self.log = Lines()
        self.out = b""
        self.err = b""
        assert process.stdout is not None
        assert process.stderr is not None
        self._reading = (
            spawn(self._tasks, self._read(process.stdout), name="stdout"),
            spawn(self._tasks, self._read_errors(process.stderr), name="stderr"),
        )

    @property
    def pid(self) -> int:
        """
        Its process id.
        """
        return self._process.pid

    @property
    def running(self) -> bool:
        """
        Whether it has not ended yet.
        """
        return self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """
        Send it a signal.
        """
        self._process.send_signal(number)

    async def end(self) -> int:
        """
        Wait until it has ended and return its exit code.
        """
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._reading)
            return await self._process.wait()

    async def stop(self) -> int:
        """
        Ask it to end, and return its exit code.
        """
        if self.running:
            self.signal(signal.SIGTERM)
        return await self.end()

    async def kill(self) -> None:
        """
        End it for good if a test left it running.
        """
        if self.running:
            self._process.kill()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self._process.wait()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.out += line
            if self._logs:
                self.log.put(line)

    async def _read_errors(self, stream: asyncio.StreamReader) -> None:
        self.err += await stream.read()


@dataclass
class Serving(Caller):
    """
    A proxy that runs as a process of its own. Call it to send a request through it.
    """

    process: Process = field(kw_only=True)
    admin: str = field(kw_only=True)

    @property
    def log(self) -> Lines:
        """
        Its log.
        """
        return self.process.log


class Relay:
    """
    A TCP port that is taken but refuses connections until it is opened; then it leads elsewhere.

    Attributes:
        port: The port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """
        Its origin.
        """
        return f"http://127.0.0.1:{self.port}"

    async def open(self, url: str) -> None:
        """
        Lead to this origin from now on.
        """
        target = URL(url)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there_in, there_out = await asyncio.open_connection(target.host, target.port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, there_out))
                    group.create_task(_pump(there_in, writer))
            finally:
                writer.close()
                there_out.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _ = spawn(self._tasks, serve(reader, writer), name="relay")

        self._server = await asyncio.start_server(accept, sock=self._socket)

    async def shut(self) -> None:
        """
        Refuse connections again, and break off those that are open.
        """
        await self.close()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))

    async def close(self) -> None:
        """
        Free the port and break off what goes over it.
        """
        if self._server is not None:
            self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass
class Secrets:
    """
    Every secret a sandbox knows of, for telling that none of them got out.

    Attributes:
        further: Those that a test made beside them, or that are not in use any more.
    """

    sandbox: Sandbox
    further: list[Secret] = field(default_factory=list)

    def texts(self) -> Iterator[bytes]:
        """
        Yield the lines of each private key, the secrets, the personal tokens, tokens minted, and how
        every JWT begins, an assertion too.
        """
        yield b"eyJ"
        for secret in (self.sandbox.key_json, *self.further):
            text = secret.reveal()
            pem = json.loads(text)["key"] if text.startswith("{") else text
            yield from (line.encode() for line in pem.splitlines() if len(line) > 20)
        yield self.sandbox.client_secret.reveal().encode()
        yield self.sandbox.pat.reveal().encode()
        tokens = {hit.bearer.reveal() for hit in self.sandbox.hits if hit.bearer is not None}
        yield from (token.encode() for token in tokens)

    def absent_from(self, what: bytes) -> bool:
        """
        Say whether none of them is in there.
        """
        return not any(text in what for text in self.texts())

    def check(self, caller: Caller, *outputs: bytes) -> None:
        """
        Assert that none of them is in outputs and in the proxy's own answers.
        """
        for output in outputs:
            assert self.absent_from(output), "a secret got out"
        for answer in caller.answers:
            assert self.absent_from(str(answer.headers).encode() + answer.body)


def plain_session() -> aiohttp.ClientSession:
    """
    Return a client session without cookies and without a limit on connections.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
    )


def change(config: Path, edit: Edit) -> Path:
    """
    Rewrite a proxy.yaml through its data.
    """
    document = yaml.safe_load(config.read_text())
    edit(document)
    config.write_text(yaml.safe_dump(document))
    return config


@pytest.fixture(scope="session")
def keys() -> SandboxKeys:
    """
    The key pairs of every sandbox here, made once.
    """
    return SandboxKeys.generate()


@pytest.fixture
def options(keys: SandboxKeys, request: pytest.FixtureRequest) -> SandboxOptions:
    """
    The defaults; parametrise it indirectly with the fields to change.
    """
    return SandboxOptions(keys=keys, **getattr(request, "param", {}))


@pytest.fixture
async def sandbox(options: SandboxOptions) -> AsyncIterator[Sandbox]:
    """
    A running sandbox.
    """
    async with Sandbox(options) as sandbox:
        yield sandbox


@pytest.fixture
def secrets(sandbox: Sandbox) -> Secrets:
    """
    Every secret the sandbox knows of.
    """
    return Secrets(sandbox)


@pytest.fixture
def edit(config: Path) -> Callable[[Edit], Path]:
    """
    Rewrite the sandbox's proxy.yaml through its data.
    """
    return lambda how: change(config, how)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """
    An HTTP client session.
    """
    async with plain_session() as session:
        yield session


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """
    A port that refuses connections until it is opened.
    """
    relay = Relay()
    yield relay
    await relay.close()


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    """
    The sandbox's own proxy.yaml, on free ports.
    """
    return sandbox.write(tmp_path / "config", listen="127.0.0.1:0", admin="127.0.0.1:0")


@contextlib.asynccontextmanager
async def proxy_by(
    config: Path, secrets: Secrets, session: aiohttp.ClientSession, scheme: str = "http"
) -> AsyncIterator[Proxy]:
    """
    Run a proxy in this loop; in the end its log must hold no bug and no secret.
    """
    clock = real_clock()
    loaded = load(config, {}, now=clock.wall())
    log = Lines()
    async with Runtime(loaded, Surroundings(log, {}, clock=clock, grace=1.0)) as runtime:
        made = Proxy(session, f"{scheme}://{runtime.addresses[0]}", runtime=runtime, log=log)
        yield made
    assert not log.events("internal.error")
    secrets.check(made, log.raw)


@pytest.fixture
async def serve(
    secrets: Secrets, config: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Callable[..., Awaitable[Proxy]]]:
    """
    Start a proxy in this loop by the sandbox's proxy.yaml, edited first where a test wants that.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def start(edit: Edit = lambda _: None, *, scheme: str = "http") -> Proxy:
            opening = proxy_by(change(config, edit), secrets, session, scheme)
            return await stack.enter_async_context(opening)

        yield start
        await session.close()  # a proxy that ends waits a moment for connections that rest


@pytest.fixture
async def through(serve: Callable[..., Awaitable[Proxy]]) -> Proxy:
    """
    A proxy in this loop by the sandbox's proxy.yaml as it is.
    """
    return await serve()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(
    keys: SandboxKeys, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Sandbox, Proxy]]:
    """
    One sandbox and one proxy for all tests of a module, which then run in the module's loop.
    """
    folder = tmp_path_factory.mktemp("standing")
    async with Sandbox(SandboxOptions(keys=keys)) as sandbox, plain_session() as session:
        config = sandbox.write(folder, listen="127.0.0.1:0", admin="127.0.0.1:0")
        async with proxy_by(config, Secrets(sandbox), session) as standing:
            yield sandbox, standing


@pytest.fixture
async def spawned(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """
    Start a verb of the real command, in an empty folder and without our environment; `descriptors`
    is how many files it may have open.
    """
    processes: list[Process] = []
    folder = tmp_path / "cwd"
    folder.mkdir()

    async def start(
        *words: str, logs: bool = False, descriptors: int = 0, **environ: str
    ) -> Process:
        few = ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh") if descriptors else ()
        process = await asyncio.create_subprocess_exec(
            *few,
            sys.executable,
            "-m",
            "proxy",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, **environ},
        )
        processes.append(Process(process, logs=logs))
        return processes[-1]

    yield start
    for process in processes:
        await process.kill()


@pytest.fixture
async def running(
    secrets: Secrets,
    spawned: Callable[..., Awaitable[Process]],
    session: aiohttp.ClientSession,
) -> AsyncIterator[Callable[..., Awaitable[Serving]]]:
    """
    Start `authproxy run` as a process, ready to serve; in the end SIGTERM must end it with code 0.
    """
    started: list[Serving] = []

    async def start(*words: str, descriptors: int = 0, **environ: str) -> Serving:
        process = await spawned("run", *words, logs=True, descriptors=descriptors, **environ)
        first = await process.log.wait("proxy.started")
        assert process.log.records[0] is first
        url, admin = f"http://{first['listen'][0]}", f"http://{first['admin']}"
        started.append(Serving(session, url, process=process, admin=admin))
        return started[-1]

    yield start
    await session.close()  # a proxy that ends waits a moment for connections that rest
    for each in started:
        assert await each.process.stop() == 0, each.process.err.decode()
        assert each.process.err == b""
        assert each.log.events("proxy.stopped")
        secrets.check(each, each.process.out)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """
    A certificate authority nobody trusts by default.
    """
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """
    The authority's certificate as a file.
    """
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """
    What a server on loopback shows.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def key_file(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """
    A listener's certificate and key as files, ready for `tls:`.
    """
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return {"cert_file": str(cert), "key_file": str(key)}


def only(user):
    """
    Return an edit that leaves one service user and its routes, so nobody else mints.
    """

    def edit(document):
        document["service_users"] = {user: document["service_users"][user]}
        document["routes"] = [each for each in document["routes"] if each["service_user"] == user]

    return edit


async def at_once(through, path, count):
    """
    Send requests at once; return the answers.
    """
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(through("GET", path)) for _ in range(count)]
    return [each.result() for each in asked]

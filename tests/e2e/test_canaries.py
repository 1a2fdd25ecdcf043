"""
Secrets with everything going wrong around them: none is in anything the program gives out.

Three sweeps. The real process, as talkative as it can be made, with an issuer and a service user for
each fault of the token endpoint, upstreams that break and echo in every way, and callers with
credentials that are almost right. The other commands, with configurations that hold a secret in the
wrong place, credential files that are broken, and a failing issuer. And a proxy in this loop with
bugs planted in it.

`Vault` knows every secret there is and looks through what came out.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import itertools
import json
import re
import signal
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
import yaml
from click.testing import CliRunner

import proxy
from proxy.cli.command import main
from proxy.config.load import load
from proxy.gateway import Request
from proxy.runtime import Runtime
from proxy.sandbox.fault_list import FAULTS
from proxy.sandbox.files import EXCHANGER_FILE
from proxy.surroundings import Surroundings, real_clock
from proxy.tasks import spawn
from proxy.tokens.keeper import Keeper
from tests.e2e.conftest import Caller, Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sandbox.server import Sandbox
    from tests.e2e.conftest import Process, Secrets

ROOT = str(Path(proxy.__file__).parent.parent)

API_KEY = "canary-api-key-5c0ffee5c0ffee5c0ffee"
ADMIN_KEY = "canary-admin-key-5eed5eed5eed5eed"
AUDIT_KEY = "canary-audit-key-0123456789abcdef"

JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8}")
"""How every JWT begins, a token's or an assertion's."""

TOKEN_FAULTS = (
    *(
        name
        for name in FAULTS
        if name.startswith(("token-", "no-", "odd-", "key-", "secret-")) and name != "token-young"
    ),
    "down", "silent", "clock-behind", "clock-ahead", "short-lived",
)  # fmt: skip
"""Faults that a token request meets."""

HOLDING = frozenset({"silent", "token-slow", "token-drip"})
"""Those that do not end before they are switched off."""

VALUES = {"token-body": '{"access_token": 1, "x": "eyJhbGciOiJIUzI1NiJ9.e30.canary"}'}
"""Values that faults need."""

SITE = """
import gc, os, signal, subprocess, sys

def show(signum, frame):
    out = os.environ["CANARY_DUMP"]
    with open(out + ".part", "w") as file:
        seen = 0
        for each in gc.get_objects():
            kind = type(each)
            module = getattr(kind, "__module__", None)
            if not isinstance(module, str):
                continue
            ours = module.partition(".")[0] == "proxy"
            if ours or isinstance(each, BaseException) or module.startswith("asyncio"):
                seen += ours
                for text in (repr, str):
                    try:
                        print(kind, text(each), file=file)
                    except Exception as error:
                        print(kind, "none", type(error), file=file)
        print("objects", seen, file=file)
        print(sys.argv, sys.orig_argv, dict(os.environ), file=file)
        file.flush()
        subprocess.run(["env"], stdout=file, check=True)
    os.rename(out + ".part", out)

if "CANARY_DUMP" in os.environ:
    signal.signal(signal.SIGUSR1, show)
"""
"""What the process runs at start: upon SIGUSR1 it writes down its objects, and a child's environment."""


@dataclass
class Vault:
    """
    Every secret there is.

    Attributes:
        secrets: The sandbox's.
        more: Others, by what they are.
        issued: Every token the issuer has given out.
        given: Everything the program gave out, by where.
    """

    secrets: Secrets
    more: dict[str, str] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    given: dict[str, bytearray] = field(default_factory=dict)

    def keep(self, where: str, *what: bytes | str) -> None:
        """
        Take what the program gave out.
        """
        for each in what:
            text = each.encode("utf-8", "replace") if isinstance(each, str) else each
            self.given.setdefault(where, bytearray()).extend(text + b"\n")

    def canaries(self) -> Iterator[bytes]:
        """
        Yield every secret, in each form it may be seen in.
        """
        sandbox = self.secrets.sandbox
        plain = [*self.secrets.texts(), *(text.encode() for text in self.more.values())]
        plain += [token.encode() for token in self.issued]
        for text in dict.fromkeys(plain):
            if text == b"eyJ":  # JWT looks for that
                continue
            yield text
            if len(text) < 600:
                yield base64.b64encode(text)[:-4]
        client = f"{sandbox.exchanger.client_id}:{self.more['exchanger']}"
        for pair in (f"reporter:{sandbox.client_secret.reveal()}", client):
            yield base64.b64encode(pair.encode())

    def check(self) -> None:
        """
        Assert that none of them is in anything the program gave out.
        """
        canaries = tuple(dict.fromkeys(self.canaries()))
        assert len(canaries) > 30
        found = [
            f"{where}: {place(bytes(text), canary)}"
            for where, text in self.given.items()
            for canary in (*canaries, *JWT.findall(text))
            if canary in text
        ]
        assert found == []


def place(text: bytes, canary: bytes) -> str:
    """
    Return what stands around a secret, without the secret.
    """
    at = text.index(canary)
    return (
        repr(text[max(at - 160, 0) : at])
        + f" … {len(canary)} bytes … "
        + repr(text[at + len(canary) : at + len(canary) + 40])
    )


@pytest.fixture
def vault(sandbox, secrets, config, monkeypatch):
    """
    The sandbox's secrets, those of callers and operators, and every token as it is issued.
    """
    vault = Vault(secrets)
    issue = sandbox.instance.tokens.issue

    def noted(token, *, jwt=False):
        text = issue(token, jwt=jwt)
        vault.issued.append(text.reveal())
        return text

    monkeypatch.setattr(sandbox.instance.tokens, "issue", noted)
    sandbox.users["reporter"].jwt = True
    vault.more = {
        "exchanger": sandbox.exchanger.secret.reveal(),
        "introspection": sandbox.application.secret.reveal(),
        "api": API_KEY,
        "admin": ADMIN_KEY,
        "audit": AUDIT_KEY,
    }
    for name in ("introspection", "audit", "admin"):
        write(config.parent / f"{name}.secret", vault.more[name])
    return vault


def write(path, text):
    """
    Write a file that its owner alone may read.
    """
    path.write_text(text)
    path.chmod(0o600)


def everything(document, sandbox):
    """
    Have a configuration use every kind of credential there is.
    """
    document["issuers"]["zitadel"]["introspection"] = {
        "client_id": sandbox.application.client_id,
        "client_secret": {"file": "introspection.secret"},
    }
    document["service_users"]["exchanger"] = exchanger(sandbox, "zitadel", "reporter")
    document["callers"] = {
        "ci": {"api_key_sha256": sha256(API_KEY.encode()).hexdigest()},
        "laptop": {"jwt": {"issuer": "zitadel", "audience": sandbox.project_id}},
        "worker": {"introspection": {"issuer": "zitadel"}},
    }
    document["listen"] = [
        {"address": "127.0.0.1:0"},
        {"address": "127.0.0.1:0", "callers": list(document["callers"])},
        {
            "address": "127.0.0.1:0",
            "callers": list(document["callers"]),
            "caller_credential": "authorization",
        },
    ]
    document["admin_key_sha256"] = sha256(ADMIN_KEY.encode()).hexdigest()
    document["audit"] = {"to": "stdout", "hmac_key": {"file": "audit.secret"}}
    document["routes"].append(route("exchanged", "/exchanged/", sandbox.backend_url, "exchanger"))


def exchanger(sandbox, issuer, subject):
    """
    Return a service user that exchanges another one's token.
    """
    return {
        "issuer": issuer,
        "method": "token_exchange",
        "client_id": sandbox.exchanger.client_id,
        "client_secret": {"file": EXCHANGER_FILE},
        "subject": {"service_user": subject},
        "scopes": ["openid"],
    }


def route(name, path, upstream, user, **more):
    """
    Return a route.
    """
    match = {"path": path}
    return {"name": name, "match": match, "upstream": upstream, "service_user": user} | more


# 1. The process


def rogue(name: str, shown: bytes) -> bytes:
    """
    Return what an upstream answers that shows what it was shown, somewhere.
    """
    ok, end = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 0\r\n\r\n"
    size = b"Content-Length: %d\r\n\r\n" % len(shown)
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    answers = {
        "nothing": b"",
        "garbage": shown,
        "half-head": ok + b"X: " + shown,
        "status": b"HTTP/1.1 " + shown + b" OK\r\n" + end,
        "version": b"HTTP/" + shown + b" 200 OK\r\n" + end,
        "reason": b"HTTP/1.1 200 " + shown + b"\r\n" + end,
        "name": ok + shown + b": x\r\n" + end,
        "colon": ok + b"X " + shown + b"\r\n" + end,
        "nul": ok + b"X: \0" + shown + b"\r\n" + end,
        "fold": ok + b"X: y\r\n " + shown + b"\r\n" + end,
        "long": ok + b"X: " + shown * 2000 + b"\r\n" + end,
        "coding": ok + b"Transfer-Encoding: " + shown + b"\r\n\r\n",
        "length": ok + b"Content-Length: " + shown + b"\r\n\r\n",
        "lengths": ok + b"Content-Length: 1\r\n" + size + shown,
        "head": ok + b"X-Debug: " + shown + b"\r\n" + end,
        "request-id": ok + b"X-Request-Id: " + shown + b"\r\n" + end,
        "proxy-status": ok + b"Proxy-Status: authproxy; error=" + shown + b"\r\n" + end,
        "cookie": ok + b"Set-Cookie: a=" + shown + b"\r\n" + end,
        "location": b"HTTP/1.1 302 x\r\nLocation: /a?t=" + shown + b"\r\n" + end,
        "challenge": b"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer " + shown + b"\r\n" + end,
        "hints": b"HTTP/1.1 103 x\r\nLink: <" + shown + b">\r\n\r\n" + ok + end,
        "switch": b"HTTP/1.1 101 x\r\nUpgrade: " + shown + b"\r\n\r\n",
        "body": ok + size + shown,
        "close": ok + b"\r\n" + shown,
        "short": ok + b"Content-Length: 9999\r\n\r\n" + shown,
        "surplus": ok + b"Content-Length: 2\r\n\r\nok" + shown,
        "chunk": chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(shown), shown),
        "chunks": chunked + b"".join(b"1\r\n%c\r\n" % each for each in shown) + b"0\r\n\r\n",
        "chunk-size": chunked + shown + b"\r\n",
        "extension": chunked + b"1;a=" + shown + b"\r\nx\r\n0\r\n\r\n",
        "trailer": chunked + b"0\r\nX: " + shown + b"\r\n\r\n",
        "bad-trailer": chunked + b"0\r\n" + shown + b"\r\n\r\n",
    }
    return answers[name]


ROGUES = (
    "nothing", "garbage", "half-head", "status", "version", "reason", "name", "colon", "nul", "fold",
    "long", "coding", "length", "lengths", "head", "request-id", "proxy-status", "cookie", "location",
    "challenge", "hints", "switch", "body", "close", "short", "surplus", "chunk", "chunks", "chunk-size",
    "extension", "trailer", "bad-trailer", "slow", "reset",
)  # fmt: skip


@pytest.fixture
async def upstream():
    """
    The origin of a server that breaks as the path's last segment says.
    """

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            (shown,) = re.findall(rb"(?i)\r\nauthorization: Bearer (.*)\r\n", head)
            name = head.split(b" ")[1].rpartition(b"/")[2].decode()
            if name == "slow":
                await reader.read()
            elif name == "reset":
                writer.transport.abort()
            else:
                writer.write(rogue(name, shown))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield "http://{}:{}".format(*server.sockets[0].getsockname())
    server.close()


@pytest.fixture
async def doors(sandbox):
    """
    As many origins that lead to the issuer as there are faults: each is known for its own failures.
    """
    host, _, port = sandbox.url.removeprefix("http://").rpartition(":")

    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(ConnectionError, OSError):
            writer.close()

    async def serve(reader, writer):
        there_in, there_out = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, there_out), pump(there_in, writer))

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in TOKEN_FAULTS]
    yield {
        name: "http://{}:{}".format(*server.sockets[0].getsockname())
        for name, server in zip(TOKEN_FAULTS, servers, strict=True)
    }
    for server in servers:
        server.close()


def torn(document, sandbox, doors, upstream):
    """
    Give each fault of the token endpoint an issuer, a service user and a route; add the rogue.
    """
    everything(document, sandbox)
    users = document["service_users"]
    named = [users["provisioner"], users["reporter"], None]
    users["reporter"]["client_secret"] = {"env": "REPORTER_SECRET"}
    for index, fault in enumerate(TOKEN_FAULTS):
        issuer = f"i-{fault}"
        document["issuers"][issuer] = {"url": sandbox.url, "connect_to": doors[fault]}
        like = named[index % 3]
        users[f"u-{fault}"] = (
            {**like, "issuer": issuer} if like else exchanger(sandbox, issuer, "dev")
        )
        path = f"/fault/{fault}/"
        document["routes"].append(route(issuer, path, sandbox.backend_url, f"u-{fault}"))
    more = {"timeouts": {"response": "300ms"}, "replay": "always"}
    for user in ROGUE_USERS:
        document["routes"].append(route(f"rogue-{user}", f"/rogue/{user}/", upstream, user, **more))
    plain = json.loads(json.dumps(document))  # without aliases
    document.update(plain)


@dataclass
class Torment:
    """
    Does everything wrong to a process there is, and keeps what it says.
    """

    process: Process
    vault: Vault
    sandbox: Sandbox
    session: aiohttp.ClientSession
    listeners: list[str]
    admin: str
    failures: set[str] = field(default_factory=set)

    async def ask(self, url: str, what: str, method: str = "GET", wait: float = 10.0, **options):
        """
        Send a request; keep the answer, or what came of it before it broke off.
        """
        status = 0
        with contextlib.suppress(Exception):
            async with (
                asyncio.timeout(wait),
                self.session.request(method, url, allow_redirects=False, **options) as response,
            ):
                status = response.status
                self.vault.keep(what, repr(response.raw_headers), str(response.reason))
                async for piece in response.content.iter_any():
                    self.vault.keep(what, piece)
        if status not in {200, 201}:
            self.failures.add(what)
        return status

    async def change(self, user: str) -> None:
        """
        Take a service user's token away, and let it get another one.
        """
        for verb in ("revoke", "allow"):
            url = f"{self.admin}/service-users/{user}/{verb}"
            assert await self.ask(url, "change", "POST", headers=OPERATOR) == 200

    async def look(self) -> None:
        """
        Ask the admin listener everything.
        """
        for path in ("/metrics", "/status.json", "/readyz?verbose", "/livez", "/nowhere"):
            for headers in ({}, OPERATOR, {"Authorization": f"Bearer {ADMIN_KEY}x"}):
                await self.ask(self.admin + path, f"admin {path}", headers=headers)

    async def fault(self, fault: str) -> None:
        """
        Have a fault's own service user get a token while the fault is on.
        """
        await self.change(f"u-{fault}")
        await self.ask(f"{self.listeners[0]}/fault/{fault}/echo", fault, wait=0.2)

    async def upstreams(self) -> None:
        """
        Every way an upstream breaks or echoes, as each service user.
        """
        asked = [(user, name) for user in ROGUE_USERS for name in ROGUES]
        url = f"{self.listeners[0]}/rogue"
        await asyncio.gather(*(self.ask(f"{url}/{u}/{name}", f"rogue {name}") for u, name in asked))

    async def paths(self, what: str) -> None:
        """
        One request as each service user.
        """
        paths = ("/orders/1", "/dev/auth/v1/users/me", "/v2/users", "/exchanged/x")
        await asyncio.gather(*(self.ask(self.listeners[0] + path, what) for path in paths))

    async def callers(self, shown: list[str], fault: str) -> None:
        """
        Show what callers may have, in every place it could be shown in.
        """
        query = f"key={API_KEY}&token={shown[0]}"
        await asyncio.gather(
            *(
                self.ask(
                    f"{listener}/status/200?{query}",
                    f"caller {index} {name} {scheme}{fault}",
                    headers={name: scheme + each},
                )
                for listener in self.listeners[1:]
                for index, each in enumerate(shown)
                for name, scheme in PLACES
            )
        )

    async def raw(self, head: bytes) -> None:
        """
        Send bytes, and keep what comes back.
        """
        host, _, port = self.listeners[1].removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(5):
                self.vault.keep("broken head", await reader.read())
        writer.close()
        self.failures.add(repr(head[:40]))

    async def end(self) -> None:
        """
        Have the process write down its objects, then stop it while requests are under way.
        """
        url = f"{self.listeners[0]}/rogue/dev/slow"
        slow = spawn(set(), self.ask(url, "stopped"), name="slow")
        self.process.signal(signal.SIGUSR1)
        await self.look()
        self.process.signal(signal.SIGTERM)
        await slow
        assert await self.process.end() == 0


PLACES = (
    ("Proxy-Authorization", "Bearer "), ("X-Api-Key", ""), ("Authorization", "Bearer "), ("Authorization", "Basic "),
)  # fmt: skip
"""Where callers may show something."""

ROGUE_USERS = ("provisioner", "reporter", "dev", "exchanger")

DATA_FAULTS = (
    "backend-401", "backend-close", "api-401", "api-500", "userinfo-401", "userinfo-500", "introspection-500",
    "introspection-inactive", "revoke-once",
)  # fmt: skip
"""Faults that those meet who are shown a token."""

OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}

BROKEN_HEADS = (
    b"GET /echo HTTP/9.9\r\nProxy-Authorization: Bearer KEY\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nX-Api-Key: KEY\r\nConnection: close\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Api-Key : KEY\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Api-Key: \0KEY\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Bearer JWT\r\n KEY\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nProxy-Authorization: Bearer JWT\r\nConnection: close\r\n\r\n",
    b"KEY /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET http://KEY:JWT@a/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: KEY@a\r\nConnection: close\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: KEY\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: JWT\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Api-Key: KEY\r\n\r\nKEY\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: KEY JWT\r\nX-Api-Key: KEY\r\nConnection: close\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nX: " + b"y" * 80_000 + b"\r\n\r\n",
    b"GET /echo?KEY" + b"y" * 80_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nKEYJWT",
    b"\x16\x03\x01KEYJWT\r\n\r\n",
)
"""What is no request, with credentials in it."""


async def torment(start, form, vault, sandbox, session) -> Torment:
    """
    Start a process and return who will torment it.
    """
    process = await start(form)
    async with asyncio.timeout(20):
        while b"proxy.started" not in process.out:
            await asyncio.sleep(0.02)
            assert process.running, process.err
    line = next(line for line in process.out.decode().splitlines() if "proxy.started" in line)
    *listeners, admin = (f"http://{each}" for each in re.findall(r"127\.0\.0\.1:\d+", line))
    return Torment(process, vault, sandbox, session, listeners, admin)


@pytest.fixture
async def torments(sandbox, vault, edit, spawned, session, doors, upstream, tmp_path):
    """
    Two processes with everything on that makes a program talk, one for each form of log.
    """
    config = edit(lambda document: torn(document, sandbox, doors, upstream))
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)

    async def start(form):
        return await spawned(
            "run", "--config", str(config), "--log-format", form,
            PYTHONPATH=f"{site}:{ROOT}", CANARY_DUMP=str(tmp_path / form), FORCE_COLOR="1",
            PYTHONASYNCIODEBUG="1", PYTHONWARNINGS="always",
            AUTHPROXY_COREDUMPS="1", AUTHPROXY_TOKEN=sandbox.pat.reveal(),
            REPORTER_SECRET=sandbox.client_secret.reveal(),
        )  # fmt: skip

    forms = ("json", "console")
    made = (torment(start, form, vault, sandbox, session) for form in forms)
    return dict(zip(forms, await asyncio.gather(*made), strict=True))


async def test_a_process_gives_out_no_secret(sandbox, vault, torments, tmp_path):
    """
    Whatever fails: not in its output, its answers, its objects as they show themselves, or what a
    child of it inherits.
    """

    async def all_of(act):
        await asyncio.gather(*(act(each) for each in torments.values()))

    for fault in TOKEN_FAULTS:
        sandbox.faults.set(fault, value=VALUES.get(fault))
        await all_of(lambda each, fault=fault: each.fault(fault))
        sandbox.faults.clear()
    user = sandbox.add_user("caller", jwt=True)
    jwt = sandbox.issue(user, sandbox.backend_scopes).reveal()
    opaque = sandbox.issue(sandbox.users["provisioner"], sandbox.backend_scopes).reveal()
    shown = [
        jwt, opaque, API_KEY, API_KEY + "x", API_KEY[:-1], jwt[:-8] + "AAAAAAAA", jwt.rpartition(".")[0] + ".",
        jwt + ".x", f"{API_KEY} {jwt}", opaque + "x", API_KEY * 900, API_KEY.upper(),
    ]  # fmt: skip
    for fault in ("", "introspection-500", "introspection-inactive", "down"):
        if fault:
            sandbox.faults.set(fault)
        await all_of(lambda each, fault=fault: each.callers(shown, fault))
        sandbox.faults.clear()
    for head in BROKEN_HEADS:
        made = head.replace(b"KEY", API_KEY.encode()).replace(b"JWT", jwt.encode())
        await all_of(lambda each, made=made: each.raw(made))
    await all_of(lambda each: each.upstreams())
    for fault in DATA_FAULTS:
        sandbox.faults.set(fault)
        await all_of(lambda each, fault=fault: each.paths(fault))
        sandbox.faults.clear()
    await all_of(lambda each: each.look())
    await all_of(lambda each: each.end())

    for form, each in torments.items():
        dump = (tmp_path / form).read_bytes()
        vault.keep(f"{form} stdout", each.process.out)
        vault.keep(f"{form} stderr", each.process.err)
        vault.keep(f"{form} objects", dump)
        objects = re.search(rb"(?m)^objects (\d+)$", dump)
        assert objects is not None
        assert int(objects[1]) > 500
        assert b"PYTHONPATH" in dump
        assert b"internal.error" not in each.process.out
        assert len(each.failures) > 100
        assert {"token-500", "rogue garbage", "backend-close", "stopped"} <= each.failures
    vault.check()


# 2. The other commands


def misplaced(canary: str) -> dict[str, str]:
    """
    Return configurations that hold a secret where none belongs, as changes by path, or as text.
    """
    quoted = json.dumps(canary)
    user = "service_users.reporter"
    places = {
        name: f"{name}={quoted}"
        for name in (
            "version", "listen", "admin", "admin_key_sha256", "issuers", "callers", "routes", "nonsense",
            "issuers.zitadel", "issuers.zitadel.url", "issuers.zitadel.connect_to", "issuers.zitadel.token_endpoint",
            "issuers.zitadel.ca_file", "issuers.zitadel.introspection", "issuers.zitadel.nonsense", user,
            f"{user}.method", f"{user}.issuer", f"{user}.client_secret", f"{user}.client_auth", f"{user}.scopes",
            f"{user}.audience_projects", f"{user}.token", f"{user}.key_file", f"{user}.nonsense",
            "service_users.provisioner.key_file", "service_users.provisioner.key", "service_users.dev.token",
            "service_users.dev.expires", "routes.0.match", "routes.0.match.path", "routes.0.match.host",
            "routes.0.upstream", "routes.0.service_user", "routes.0.callers", "routes.0.timeouts",
            "routes.0.rewrite_path", "routes.0.request_headers", "callers.ci.api_key_sha256", "callers.ci.mtls_san",
            "callers.ci.jwt", "callers.ci.networks", "audit.to", "audit.hmac_key", "limits", "pools",
        )
    }  # fmt: skip
    forms = {
        "env": f'{user}.client_secret={{"env": {quoted}}}',
        "file": f'{user}.client_secret={{"file": {quoted}}}',
        "credential": f'{user}.client_secret={{"credential": {quoted}}}',
        "form": f'{user}.client_secret={{{quoted}: "x"}}',
        "list": f"{user}.client_secret=[{quoted}]",
        "scopes": f"{user}.scopes=[{quoted}]",
        "userinfo": f"routes.0.upstream={json.dumps(f'https://u:{canary}@a.example')}",
        "query": f"routes.0.upstream={json.dumps(f'https://a.example/?k={canary}')}",
        "issuer": f"issuers.zitadel.url={json.dumps(f'https://u:{canary}@a.example')}",
        "headers": f'routes.0.request_headers={{"set": {{"authorization": {quoted}}}}}',
        "header": f'routes.0.request_headers={{"set": {{"x-token": {quoted}}}}}',
        "pattern": f'routes.0.match.headers={{"x-token": {quoted}}}',
    }
    return places | {f"form {name}": text for name, text in forms.items()}


BROKEN_YAML = (
    "{text}\nnonsense: '{canary}\n", "{text}\n\tkey: {canary}\n", "{text}\n{canary}\n", "{canary}", "{canary}: 1\n",
    "{text}\nversion: {canary}\n", "{text}\nx: &a {canary}\ny: *a\n", "{text}\nx: !!python/object {canary}\n",
    "{text}\nx: [{canary}\n", "{text}\n? {canary}\n: {canary}\n", "{text}\n--- {canary}\n", "\0{canary}", "%{canary}\n{text}",
)  # fmt: skip
"""Texts that are no configuration, with a secret in them."""


def set_in(document, change):
    """
    Change a document as `a.0.b=JSON` says.
    """
    path, _, text = change.partition("=")
    *names, last = path.split(".")
    for name in names:
        document = (
            document[int(name)] if isinstance(document, list) else document.setdefault(name, {})
        )
    document[int(last) if isinstance(document, list) else last] = json.loads(text)


async def run(vault, where, *words, **environ):
    """
    Run a verb in a thread, keep all it prints, return its exit code.
    """

    def work():
        with contextlib.redirect_stdout(None):
            return CliRunner().invoke(main, words, env=environ)

    result = await asyncio.to_thread(work)
    assert result.exception is None or isinstance(result.exception, SystemExit), words
    vault.keep(f"{where}: {' '.join(words[:1])}", result.stdout, result.stderr)
    return result.exit_code


async def test_commands_give_out_no_secret_of_a_wrong_configuration(sandbox, vault, edit, config):
    """
    A secret in the place of any setting, or in what is no YAML at all: said where, never what.
    """
    edit(lambda document: everything(document, sandbox))
    good = json.dumps(yaml.safe_load(config.read_text()))
    pem = json.loads(sandbox.key_json.reveal())["key"]
    secrets = (sandbox.pat.reveal(), sandbox.client_secret.reveal(), pem)
    made = []
    for index, change in enumerate(misplaced(secrets[0])):
        document = json.loads(good)
        set_in(document, misplaced(secrets[index % 3])[change])
        made.append((change, json.dumps(document)))
    for text in BROKEN_YAML:
        filled = text.replace("{text}", yaml.safe_dump(json.loads(good)))
        made += [(text[:24], filled.replace("{canary}", canary)) for canary in secrets[:2]]
    made += [("key file", sandbox.key_json.reveal()), ("PEM", pem)]
    refused = 0
    verbs = itertools.cycle(
        (("check",), ("check", "--json"), ("audit", "--format", "sarif"), ("check",))
    )
    for name, text in made:
        write(config, text)
        refused += await run(vault, name, *next(verbs), "--config", str(config)) == 2
    assert refused > 60
    vault.check()


@pytest.mark.parametrize("file", ["provisioner.json", "reporter.secret", "dev.pat"])
async def test_commands_give_out_no_secret_of_a_broken_file(sandbox, vault, edit, config, file):
    """
    A credential file that is half written, damaged or another's, for every verb that reads it.
    """
    edit(lambda document: everything(document, sandbox))
    path = config.parent / file
    text, key = path.read_text(), sandbox.key_json.reveal()
    pem = json.loads(key)["key"]
    broken = (
        text[: len(text) // 2], text + text, f"Bearer {text}", f"{text[:-9]}\0{text[-9:]}", f'"{text}"', key, pem,
        key.replace("MII", "MIJ"), pem[:400], key.replace('"key":', '"key":{"key":'), f"[{key}]", f"{key}\n{text}",
        "x" * 50_000 + text, text.replace("A", "\u00e4"),
    )  # fmt: skip
    user = {"provisioner.json": "provisioner", "reporter.secret": "reporter", "dev.pat": "dev"}[
        file
    ]
    for index, each in enumerate(broken):
        write(path, each)
        if each != key:
            vault.more[f"{file} {index}"] = each if len(each) < 500 else text[:40]
        verbs = (("check", "--json"), ("token", user, "--json"), ("audit", "--format", "json"))
        for words in (("check",), verbs[index % 3]):
            await run(vault, f"{file} {index}", *words, "--config", str(config))
    vault.check()


async def test_commands_give_out_no_secret_of_a_failing_issuer(sandbox, vault, edit, config):
    """
    Asked online while each fault is on; and what they print when all is well.
    """
    edit(lambda document: everything(document, sandbox))
    asking = ("--config", str(config))
    explained = (
        "explain",
        "GET",
        "http://127.0.0.1/orders/1?t=" + sandbox.pat.reveal()[:0],
        "--json",
    )
    headers = ("-H", f"Authorization: Bearer {sandbox.pat.reveal()}", "-H", f"X-Api-Key: {API_KEY}")
    assert await run(vault, "well", *explained, *headers, *asking) == 0
    for form in ("text", "json", "sarif"):
        await run(vault, "well", "audit", "--format", form, *asking)
    assert await run(vault, "well", "schema") == 0
    discovery = tuple(name for name in FAULTS if name.startswith("discovery"))
    for index, fault in enumerate(("", *discovery, "down", *TOKEN_FAULTS[::3])):
        if fault in HOLDING or fault.endswith(("-slow", "-lag")):
            continue
        if fault:
            sandbox.faults.set(fault, value=VALUES.get(fault))
        user = ("provisioner", "reporter", "exchanger")[index % 3]
        asked = (
            ("check", "--online"),
            ("token", user, "--json"),
            ("check", "--online", "--json"),
            ("token", user, "--json"),
        )
        await run(vault, fault or "well", *asked[index % 4], *asking)
        sandbox.faults.clear()
    vault.check()


# 3. Bugs


PLANTED = [
    (Request, "_head"), (Request, "send"), (Request, "answered"), (Request, "_lines"), (Request, "_decide"),
    (Request, "_renew"), (Request, "_keep_within"), (Keeper, "get"), (Keeper, "renew"), (Keeper, "states"),
]  # fmt: skip
"""Where a bug could be: methods of what a request meets."""


def boom(*met, **named):
    """
    Fail as a bug does, with everything at hand in the frame's variables.
    """
    tokens = [getattr(each, "token", None) for each in met]
    shown = [getattr(token, "header", b"") for token in tokens if token is not None]
    try:
        raise KeyError(len(tokens), len(named))  # noqa: TRY301 - what bugs do
    except KeyError as error:
        raise RuntimeError(f"planted {shown}") from error


@pytest.mark.parametrize(("where", "name"), PLANTED, ids=[name for _, name in PLANTED])
async def test_a_bug_gives_out_no_secret(
    sandbox, vault, edit, session, monkeypatch, where, name, capfd
):
    """
    An exception where none should be: not in its traceback, the answers, or what objects show.
    """
    config = edit(lambda document: everything(document, sandbox))
    log = Lines()
    loaded = load(config, {}, now=real_clock().wall())
    asyncio.get_running_loop().set_debug(True)
    async with Runtime(loaded, Surroundings(log, {}, grace=0.2)) as runtime:
        through = Caller(session, f"http://{runtime.addresses[0]}")
        keyed = f"http://{runtime.addresses[1]}"
        assert (await through("GET", "/echo")).status == 200
        with monkeypatch.context() as planted:
            planted.setattr(where, name, boom)
            for path in ("/echo", "/status/401", "/dev/v2/users", "/exchanged/status/401"):
                for url, headers in ((through.url, {}), (keyed, {"X-Api-Key": API_KEY})):
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with asyncio.timeout(0.15):
                            reply = await through("GET", url + path, headers=headers)
                            if reply.code is not None:
                                vault.keep("answer", str(reply.headers), reply.body)
            status = await through("GET", f"http://{runtime.admin}/status.json", headers=OPERATOR)
            vault.keep("status", str(status.headers), status.body)
        ours = [each for each in gc.get_objects() if type(each).__module__.startswith("proxy.")]
        shown = (each for each in ours if not type(each).__module__.startswith("proxy.sandbox"))
        vault.keep("objects", *(f"{type(each)} {each!r} {each}" for each in shown))
    vault.keep("log", log.raw)
    vault.keep("output", *capfd.readouterr())
    vault.check()

"""
Where credentials go: every route and way to a token against everything that could lead one astray.

One proxy with four service users, each with origins of its own that write down every byte they get,
and an issuer whose connections are written down too. Thousands of requests go through it over bare
sockets: with every odd target, each answered in every way an upstream may try to send a credential
elsewhere, and with every trick in the head in turn. What has been written down is then looked through.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from proxy.sandbox.files import EXCHANGER_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Proxy

API_KEY = "canary-key-of-ci-5c0ffee5c0ffee"
FOREIGN = "canary-of-the-callers-own-account"

USERS = {
    "key": "provisioner", "secret": "reporter", "pat": "dev", "exchange": "exchanger",
}  # fmt: skip
"""What a user's routes are called → the service user."""

KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "based": {"base": "/base", "rewrite_path": "/v2/", "redirects": "rewrite"},
    "keep": {"authorization": "keep", "replay": "never"},
    "reject": {"authorization": "reject", "replay": "always"},
}
"""Kinds of route each user has; `base` is the upstream's path."""

LINE = re.compile(rb"(?im)^[\s\0]*authorization[\s\0]*:[ \t]*(.*?)[ \t]*\r?$")
"""A line somebody may read as Authorization, and what it says."""

HOST = re.compile(rb"(?im)^[\s\0]*host[\s\0]*:[ \t]*(.*?)[ \t]*\r?$")
LENGTH = re.compile(rb"(?im)^content-length: *(\d+)\r?$")
ONWARD = re.compile(rb"\nLocation: (/[^/\\\s]\S*)\r\n")
"""Where a client is to go on at the proxy."""

LAST_CHUNK = re.compile(rb"(?:\A|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n")

MANNERS = (
    "200", "401", "401-once", "403", "407", "421", "echo", "close", "close-once", "early", "hints",
    "switch", "301 {other}/x", "302 {other}{path}", "303 {issuer}/oauth/v2/token",
    "305 {other}", "307 {issuer}/management/v1/x", "307 //{authority}{path}", "308 {other}/x",
    "302 http://u:p@{authority}/x", "302 {own}@{authority}/x", "307 {own}/base/v2/x",
    "308 /{neighbour}/plain/x", "302 \\\\{authority}\\x",
    "307 //u:p@{authority}/x",
)  # fmt: skip
"""How an origin answers, as told by the request's X-Do."""

TARGETS = (
    "{path}x", "{path}x?u={other}/", "{path}", "http://{proxy}{path}x", "http://{authority}{path}x",
    "{issuer}{path}x", "https://{authority}{path}x", "http://u:p@{authority}{path}x", "HTTP://{authority}",
    "//{authority}{path}x", "{path}../../{neighbour}/plain/x", "{path}%2e%2e/%2e%2e/{neighbour}/plain/x",
    "{path}..%2f..%2f{neighbour}%2fplain%2fx", "{path}..\\..\\{neighbour}\\plain\\x",
    "{path}..%5c..%5c{neighbour}%5cplain%5cx", "{path}..;/..;/{neighbour}/plain/x",
    "{path}%252e%252e/%252e%252e/{neighbour}/plain/x", "{path}./x", "{path}/x", "/{path}x",
    "/{neighbour}/plain/../..{path}x", "/{neighbour}/plain/..%2f..{path}x", "{path}%00x", "{path}x#y",
    "{path}@{authority}/x", ":@{authority}{path}x", "@{authority}{path}x", "{path}\thttp://{authority}/x",
    "{path}x http://{authority}/x", "*", "{authority}", "{path}x%0d%0aHost:%20{authority}",
    "/%2e{path}x", "/{path}../../{neighbour}/plain/x",
)  # fmt: skip
"""Request targets, for a route's path."""

HANDSHAKE = (
    "Host: {proxy}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

HEADS = (
    "Host: {proxy}", "Host: {authority}", "Host: {bare}", "Host: {proxy}\r\nHost: {authority}", "X: no host",
    "Host: u:p@{authority}", "Host: {authority}/x", "Host: {proxy}, {authority}",
    "Host: {proxy}\r\nForwarded: host={authority};proto=http\r\nX-Forwarded-Host: {authority}",
    "Host: {proxy}\r\nX-Forwarded-For: host={authority}\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1",
    "Host: {proxy}\r\nx-zitadel-instance-host: {authority}\r\nx-zitadel-public-host: {authority}",
    "Host: {proxy}\r\nX-Original-URL: /{neighbour}/plain/x\r\nX-Rewrite-URL: {other}/x\r\nX-Host: {authority}",
    "Host: {proxy}\r\nAuthorization: Bearer {foreign}",
    "Host: {proxy}\r\nAuthorization: Bearer {foreign}\r\nAUTHORIZATION: Basic {foreign}",
    "Host: {proxy}\r\nAuthorization : Bearer {foreign}", "Host: {proxy}\r\n Authorization: Bearer {foreign}",
    "Host: {proxy}\r\nX: y\nAuthorization: Bearer {foreign}", "Host: {proxy}\r\nX: y\r\n\tAuthorization: Bearer z",
    "Host: {proxy}\r\nX: y\rAuthorization: Bearer {foreign}", "Host: {proxy}\r\nAuthorization:",
    "Host: {proxy}\r\nConnection: authorization, host, x-do", "Host: {proxy}\r\nConnection: close, Authorization",
    "Host: {proxy}\r\nProxy-Connection: keep-alive\r\nKeep-Alive: authorization",
    HANDSHAKE,
    "Host: {proxy}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP",
    "Host: {proxy}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", "Host: {proxy}\r\nMax-Forwards: 0",
)  # fmt: skip
"""Header sections: who is asked for, and what may confuse somebody."""

BODIES = {
    "GET": b"", "POST": b"Content-Length: 4\r\n\r\nbody", "OPTIONS": b"", "DELETE": b"",
    "PUT": b"Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n4\r\nbody\r\n0\r\n"
    b"Authorization: Bearer " + FOREIGN.encode() + b"\r\n\r\n",
    "CONNECT": b"",
}  # fmt: skip
"""Methods, and what follows the header section."""


class Origin:
    """
    A server that writes down what it gets and answers as X-Do says.

    Attributes:
        users: Those whose tokens it may see.
        requests: Each as it came: head and body.
        raw: Every byte it got.
    """

    def __init__(self, *users: str) -> None:
        self.users = frozenset(users)
        self.requests: list[bytes] = []
        self.raw = bytearray()
        self.met: set[bytes] = set()
        self.authority = ""

    @property
    def url(self) -> str:
        """
        Its origin.
        """
        return f"http://{self.authority}"

    @contextlib.asynccontextmanager
    async def serving(self):
        """
        Listen on a port of its own.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: OriginConnection(self), "127.0.0.1", 0)
        self.authority = "{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield self
        finally:
            server.close()

    def answer(self, request: bytes) -> bytes | None:
        """
        Return what to answer; None to break off.
        """
        self.requests.append(request)
        head = request.partition(b"\r\n\r\n")[0]
        wanted = re.search(rb"(?im)^x-do: *(.*?)\r?$", head)
        manner = wanted[1].decode() if wanted else "200"
        case = re.search(rb"(?im)^x-case: *(.*?)\r?$", head)
        again = case is not None and case[1] in self.met
        if case is not None:
            self.met.add(case[1])
        if manner == "close" or (manner == "close-once" and not again):
            return None
        if manner == "401-once":
            manner = "200" if again else "401"
        if manner == "switch":
            if b"websocket" in head.lower():
                accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                return b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + accept
            manner = "200"
        if manner in {"early", "hints"}:
            code = {"early": 100, "hints": 103}[manner]
            link = f"Link: <{self.url}>; rel=preconnect\r\n"
            return f"HTTP/1.1 {code} x\r\n{link}\r\n".encode() + self.full("200", "")
        if manner == "echo":
            shown = (LINE.search(head) or (b"", b"none"))[1].decode("latin-1")
            return self.full("200", f"X-Debug: {shown}\r\n", shown.encode("latin-1"))
        status, _, where = manner.partition(" ")
        places = ("Location", "Content-Location", "Refresh", "Alt-Svc") if where else ()
        return self.full(status, "".join(f"{name}: {where}\r\n" for name in places))

    def full(self, status: str, lines: str, body: bytes = b"here") -> bytes:
        """
        Return an answer with a body.
        """
        asks = "WWW-Authenticate: Bearer\r\nProxy-Authenticate: Basic realm=x\r\n"
        head = f"HTTP/1.1 {status} x\r\n{asks}{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body


class OriginConnection(asyncio.Protocol):
    """
    One connection to an origin.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.buffer = b""

    def connection_made(self, transport):
        """
        Keep what to answer over.
        """
        self.transport = transport

    def data_received(self, data):
        """
        Write it down, and answer the requests that are complete.
        """
        self.origin.raw += data
        self.buffer += data
        while (end := message_end(self.buffer)) and not self.transport.is_closing():
            request, self.buffer = self.buffer[:end], self.buffer[end:]
            answer = self.origin.answer(request)
            if answer is None:
                self.transport.abort()
            else:
                self.transport.write(answer)


def message_end(data: bytes) -> int:
    """
    Return where the first message in there ends; 0 if it is not complete.
    """
    head, mark, body = data.partition(b"\r\n\r\n")
    if not mark:
        return 0
    start = len(head) + 4
    if b"transfer-encoding: chunked" in head.lower():
        last = LAST_CHUNK.search(body)
        return start + last.end() if last else 0
    length = LENGTH.search(head)
    end = start + (int(length[1]) if length else 0)
    return end if len(data) >= end else 0


def messages(data: bytes) -> Iterator[bytes]:
    """
    Yield the messages in there one by one.
    """
    while end := message_end(data):
        yield data[:end]
        data = data[end:]


class Tap:
    """
    Leads to the issuer and writes down what goes over each connection.

    Attributes:
        sent: What the proxy said on each.
        heard: What the issuer said on each.
    """

    def __init__(self) -> None:
        self.sent: list[bytearray] = []
        self.heard: list[bytearray] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def leading(self, url: str):
        """
        Lead to this origin.
        """
        host, _, port = url.removeprefix("http://").rpartition(":")

        async def serve(reader, writer):
            there_in, there_out = await asyncio.open_connection(host, port)
            sent, heard = bytearray(), bytearray()
            self.sent.append(sent)
            self.heard.append(heard)
            try:
                await asyncio.gather(pump(reader, there_out, sent), pump(there_in, writer, heard))
            finally:
                writer.close()
                there_out.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield self
        finally:
            server.close()

    def requests(self) -> Iterator[tuple[bytes, bytes]]:
        """
        Yield each request with its answer.
        """
        for sent, heard in zip(self.sent, self.heard, strict=True):
            yield from zip(messages(bytes(sent)), messages(bytes(heard)), strict=False)

    def tokens(self) -> Iterator[tuple[bytes, str]]:
        """
        Yield each token it has given out, and to which service user.
        """
        owners = {"jwt-bearer": "provisioner", "client_credentials": "reporter"}
        owners["token-exchange"] = "exchanger"
        for request, answer in self.requests():
            form = parse_qs(request.partition(b"\r\n\r\n")[2].decode())
            if "grant_type" in form and answer.startswith(b"HTTP/1.1 200"):
                token = json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]
                yield token.encode(), owners[form["grant_type"][0].rpartition(":")[2]]


async def pump(reader, writer, record):
    """
    Carry bytes on, and write them down.
    """
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            record += data
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass
class Scene:
    """
    Everything that takes part.

    Attributes:
        jwt: What the caller `laptop` shows.
        answers: Every byte callers got.
        statuses: How often each status was answered; empty: the connection broke off.
        followed: How often a client went on where an answer sent it.
    """

    origins: dict[str, Origin]
    tap: Tap
    jwt: str
    through: Proxy = field(init=False)
    answers: bytearray = field(default_factory=bytearray)
    statuses: Counter[bytes] = field(default_factory=Counter)
    followed: int = 0

    def words(self, user: str, kind: str) -> dict[str, str]:
        """
        Return what stands for the names in `TARGETS`, `HEADS` and `MANNERS`.
        """
        names = list(USERS)
        neighbour = names[(names.index(user) + 1) % len(names)]
        other = self.origins[neighbour]
        return {
            "path": f"/{user}/{kind}/", "own": self.origins[user].url, "neighbour": neighbour,
            "other": other.url, "authority": other.authority, "bare": other.authority.rpartition(":")[0],
            "proxy": self.through.runtime.addresses[0], "issuer": self.tap.url, "foreign": FOREIGN,
        }  # fmt: skip

    def callers(self) -> list[tuple[int, str]]:
        """
        Return the ways to come in: a listener, and the lines that say who it is.
        """
        return [
            (0, ""), (0, f"X-Api-Key: {API_KEY}\r\n"), (0, f"Proxy-Authorization: Bearer {self.jwt}\r\n"),
            (1, f"X-Api-Key: {API_KEY}\r\n"), (1, f"Proxy-Authorization: Bearer {API_KEY}\r\n"),
            (1, f"proxy-authorization: bearer {self.jwt}\r\n"),
            (1, f"Proxy-Authorization: Bearer {self.jwt}\r\nX-Api-Key: {API_KEY}\r\n"),
            (2, f"Authorization: Bearer {API_KEY}\r\n"), (2, f"Authorization: Bearer {self.jwt}\r\n"),
            (2, f"AUTHORIZATION: bearer {self.jwt}\r\nConnection: authorization\r\n"),
        ]  # fmt: skip

    def requests(self) -> Iterator[tuple[int, str, bytes]]:
        """
        Yield every request, with its listener and the lines of its caller.

        Each route meets every target, each of them every second manner, by turns; heads, methods and
        callers come in turn, in numbers that have no common divisor, so that pairs of all meet. Between
        the odd ones stand plain ones: most of what is odd is refused, which hides what comes after.
        """
        heads = itertools.cycle([each for head in HEADS for each in (head, HEADS[0])][:-1])
        callers, plain = itertools.cycle(self.callers()), itertools.cycle((False, False, True))
        methods = itertools.cycle(("GET", "POST", "PUT", "GET", "OPTIONS", "DELETE", "CONNECT"))
        case = itertools.count()
        for user, kind in itertools.product(USERS, KINDS):
            words = self.words(user, kind)
            for target, manner in itertools.islice(itertools.product(TARGETS, MANNERS), 0, None, 2):
                method, (listener, who) = next(methods), next(callers)
                told = f"X-Do: {manner.format(**words)}\r\nX-Case: {next(case)}\r\n"
                place = TARGETS[0] if next(plain) else target
                line = f"{method} {place.format(**words)} HTTP/1.1\r\n"
                head = next(heads).format(**words)
                if manner == "switch":
                    method, head = "GET", HANDSHAKE.format(**words)
                request = f"{line}{who}{told}{head}\r\n".encode()
                yield listener, who, request + (BODIES[method] or b"\r\n")

    async def send(self, requests: Iterator[tuple[int, str, bytes]]) -> None:
        """
        Send requests until there are none left, and follow where the proxy itself is to go on.
        """
        line = Line(self)
        for listener, who, request in requests:
            answer = await line.ask(listener, request)
            onward = ONWARD.search(answer)
            if onward is not None:
                self.followed += 1
                head = f" HTTP/1.1\r\nHost: {self.through.runtime.addresses[listener]}\r\n{who}\r\n"
                await line.ask(listener, b"GET " + onward[1] + head.encode())
        line.close()


class Line:
    """
    A client's connections, one to each listener.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._open: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def ask(self, listener: int, request: bytes) -> bytes:
        """
        Send a request, and return its whole answer.
        """
        if listener not in self._open:
            host, _, port = self._scene.through.runtime.addresses[listener].rpartition(":")
            self._open[listener] = await asyncio.open_connection(host, int(port))
        reader, writer = self._open[listener]
        writer.write(request)
        async with asyncio.timeout(20):
            answer = await read_answer(reader)
        self._scene.answers += answer
        self._scene.statuses[answer[9:12]] += 1
        if b"\nConnection: close" in answer or answer[9:12] in {b"", b"101", b"400"}:
            writer.close()
            del self._open[listener]
        return answer

    def close(self) -> None:
        """
        Hang up.
        """
        for _, writer in self._open.values():
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """
    Return one whole answer, with the interim ones before it; what there is if it breaks off.
    """
    whole = b""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            whole += head
            if head[9:12] == b"101" or not head.startswith(b"HTTP/1.1 1"):
                break
        length = LENGTH.search(head)
        return whole + (await reader.readexactly(int(length[1])) if length else b"")
    except asyncio.IncompleteReadError as error:
        return whole + error.partial
    except ConnectionError:
        return whole


@pytest.fixture
async def scene(sandbox, serve, secrets):
    """
    The proxy with all its routes, before origins and an issuer that write everything down.
    """
    secrets.further += [sandbox.exchanger.secret]
    laptop = sandbox.add_user("laptop", jwt=True)
    jwt = sandbox.issue(laptop, sandbox.backend_scopes).reveal()
    async with contextlib.AsyncExitStack() as stack:
        tap = await stack.enter_async_context(Tap().leading(sandbox.url))
        origins = {
            name: await stack.enter_async_context(Origin(user).serving())
            for name, user in USERS.items()
        }
        scene = Scene(origins, tap, jwt)
        scene.through = await serve(lambda document: configure(document, scene, sandbox))
        yield scene


def configure(document, scene, sandbox):
    """
    Write the configuration: three listeners, four service users, each with a route of every kind.
    """
    document["issuers"]["zitadel"]["connect_to"] = scene.tap.url
    document["service_users"]["exchanger"] = {
        "issuer": "zitadel",
        "method": "token_exchange",
        "client_id": sandbox.exchanger.client_id,
        "client_secret": {"file": EXCHANGER_FILE},
        "subject": {"service_user": "reporter"},
        "scopes": ["openid"],
        "audience": [sandbox.project_id],
    }
    document["callers"] = {
        "ci": {"api_key_sha256": sha256(API_KEY.encode()).hexdigest()},
        "laptop": {"jwt": {"issuer": "zitadel", "audience": sandbox.project_id}},
    }
    known = [{"address": "127.0.0.1:0", "callers": list(document["callers"])} for _ in range(2)]
    known[1]["caller_credential"] = "authorization"
    document["listen"] = [{"address": "127.0.0.1:0"}, *known]
    document["routes"] = [
        {
            "name": f"{name}-{kind}",
            "match": {"path": f"/{name}/{kind}/"},
            "upstream": scene.origins[name].url + str(more.get("base", "")),
            "service_user": user,
            **{key: value for key, value in more.items() if key != "base"},
        }
        for name, user in USERS.items()
        for kind, more in KINDS.items()
    ]


async def test_no_credential_goes_anywhere_but_where_it_belongs(scene, sandbox):
    """
    A token reaches its own routes' origins and no other, in one Authorization line; none reaches the
    token endpoint as Bearer; callers' credentials reach nobody.
    """
    requests = scene.requests()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(24):
            group.create_task(scene.send(requests))

    owners = dict(scene.tap.tokens()) | {sandbox.pat.reveal().encode(): "dev"}
    assert set(owners.values()) == set(USERS.values())
    for origin in scene.origins.values():
        check_origin(origin, owners)
    check_issuer(scene.tap, owners)
    for credential in (API_KEY.encode(), scene.jwt.encode()):
        assert not any(credential in origin.raw for origin in scene.origins.values())
        assert not any(credential in sent for sent in scene.tap.sent)
    assert not any(token in scene.answers for token in owners)
    product = len(USERS) * len(KINDS) * len(TARGETS) * len(MANNERS) // 2
    assert scene.statuses.total() - scene.followed == product
    assert scene.followed > 50
    assert scene.statuses[b"101"] > 0


def check_origin(origin: Origin, owners: dict[bytes, str]) -> None:
    """
    Assert that an origin saw what is its own alone, and enough of it for that to mean something.
    """
    assert len(origin.requests) > 500
    seen = {user for token, user in owners.items() if token in origin.raw}
    assert seen == origin.users
    for request in origin.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        values = LINE.findall(head)
        assert len(values) == 1, head
        kept = b"/keep/" in head and values[0] == b"Bearer " + FOREIGN.encode()
        assert values[0].removeprefix(b"Bearer ") in owners or kept, head
        assert HOST.findall(head) == [origin.authority.encode()], head
        assert not LINE.search(body), request
    assert b"Proxy-Authorization".lower() not in bytes(origin.raw).lower()


def check_issuer(tap: Tap, owners: dict[bytes, str]) -> None:
    """
    Assert that the issuer was shown a token as Bearer where it is asked about its own alone.
    """
    for request, _ in tap.requests():
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ")[1]
        bearers = [value for value in LINE.findall(head) if not value.startswith(b"Basic ")]
        shown = {owner for token, owner in owners.items() if token in request}
        if path == b"/oidc/v1/userinfo":
            assert [value.removeprefix(b"Bearer ") in owners for value in bearers] == [True]
        elif b"token-exchange" in body:
            assert (bearers, shown) == ([], {"reporter"}), request
        else:
            assert (bearers, shown) == ([], set()), request

"""
A token in a response does not reach the caller, wherever it stands and however it is cut.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config.model import Settings
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.generation import compile_generation
from proxy.observe.log import make_logger
from proxy.observe.seldom import AGAIN
from proxy.wire.echo import SHOWN
from tests.fuzz.play import Cut, Play, Reply, bytewise, whole
from tests.fuzz.reference import Stream, read_responses
from tests.fuzz.rig import VIA, Rig

OLD = b"eyJhbGciOi.eyJhbGciOi.old"
NEW = b"eyJhbGciOi.eyJhbGciOi.new"
STARS = b"*" * len(OLD)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLDER = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
UPGRADE = (
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Tokens:
    """
    A keeper with an old token, and a new one after a 401; None for no new one.
    """

    def __init__(self, new: bytes | None, old: bytes) -> None:
        self.old = Token(Secret(old.decode()), 0.0, math.inf, "minted")
        self.new = new and Token(Secret(new.decode()), 0.0, math.inf, "minted")

    def slot(self, _: str) -> Any:
        """
        Return the slot with the old token.
        """
        return SimpleNamespace(token=self.old, used=False, stale=False)

    async def renew(self, _: str, __: Token) -> Any:
        """
        Return the new one.
        """
        return self.new


@dataclass
class Heard:
    """
    What became of it.

    Attributes:
        taken: The caller's bytes.
        stream: The same, read.
        cut: The caller's connection was closed.
        log: What was logged beside the requests' lines.
        records: The requests' lines.
        echoes: What was counted.
        links: Connections to the upstream.
    """

    taken: bytes
    stream: Stream
    cut: bool
    log: list[dict[str, Any]]
    records: list[dict[str, Any]]
    echoes: int
    links: int

    @property
    def messages(self) -> list[Any]:
        """
        What the caller can see of each message.
        """
        return [
            (m.status, m.reason, m.fields, m.body, m.trailers, m.complete)
            for m in self.stream.messages
        ]


@cache
def make_settings(policy: str) -> Settings:
    """
    Return a route for all paths, and one that keeps the caller's Authorization.
    """
    user = {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
    route = {"name": "api", "match": {"path": "/"}, "service_user": "u", "token_echo": policy}
    return Settings.model_validate(
        {
            "version": 1,
            "listen": [{"address": "127.0.0.1:0", "hosts": ["*"], "browsers": "allow"}],
            "issuers": {"z": {"url": "http://127.0.0.1:9"}},
            "service_users": {"u": user},
            "routes": [
                {**route, "upstream": "http://127.0.0.1:8"},
                {
                    **route,
                    "name": "kept",
                    "match": {"path": "/kept"},
                    "authorization": "keep",
                    "upstream": "http://127.0.0.1:8",
                },
            ],
        }
    )


def hear(
    *finals: bytes,
    policy: str = "redact",
    said: bytes = GET,
    cut: Cut = whole,
    high: int = 0,
    new: bytes | None = NEW,
    old: bytes = OLD,
) -> Heard:
    """
    Let a caller ask and an upstream answer the n-th request with the n-th of these, and return what
    came of it. An answer without a length ends with its connection.
    """
    lines: list[bytes] = []
    keeper: Any = Tokens(new, old)
    with Rig(high=high) as rig:
        sink: Any = SimpleNamespace(put=lines.append)
        rig.gateway.log = make_logger(sink, lambda: 0.0)
        rig.gateway.generation = served = compile_generation(
            make_settings(policy), Path(), keeper, via=VIA
        )
        replies = [Reply(final, close=b"Content-Length" not in final) for final in finals]
        stage = Play(rig, said, replies, cut=cut)
        stage.run()
        caller = stage.caller
        closed = caller.ended or caller.is_closing()
        methods = [line.split(b" ")[0] for line in said.split(b"\r\n") if b" HTTP/" in line]
        taken = bytes(caller.taken)
        return Heard(
            taken,
            read_responses(taken, methods, ended=closed and not caller.aborted),
            closed,
            [json.loads(line) for line in lines],
            list(rig.records),
            served.table.routes[0].action.metrics.echoes,
            len(stage.servers),
        )


def sized(body: bytes, fields: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """
    Return a response with a Content-Length.
    """
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), fields, body)


def chunked(*pieces: bytes, trailer: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """
    Return a response in chunks.
    """
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (
        status,
        chunks,
        trailer,
    )


BEARER = b'{"you sent": "Bearer %b"} and eyJhb' % OLD
IN_THE_BODY = [
    pytest.param(sized(BEARER), GET, id="length"),
    pytest.param(sized(BEARER, b"X-A: caf\xe9\r\n"), GET, id="length, head not plain"),
    pytest.param(sized(OLD + OLD), GET, id="nothing but tokens"),
    pytest.param(chunked(BEARER), GET, id="one chunk"),
    pytest.param(chunked(BEARER[:30], BEARER[30:31], BEARER[31:]), GET, id="across chunks"),
    pytest.param(chunked(*bytewise(BEARER)), GET, id="chunks of a byte"),
    pytest.param(chunked(b"x", trailer=b"X-Sum: %b\r\n" % OLD), GET, id="trailer"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + BEARER, GET, id="until close"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + BEARER, OLDER, id="until close, HTTP/1.0"),
    pytest.param(chunked(BEARER), OLDER, id="chunks for HTTP/1.0"),
]
EVERYWHERE = [
    *IN_THE_BODY,
    pytest.param(sized(b"", b"X-Sent: Bearer %b\r\n" % OLD), GET, id="header"),
    pytest.param(sized(b"", b"Set-Cookie: t=%b; Secure\r\n" % OLD), GET, id="cookie"),
    pytest.param(
        sized(b"", b"Location: https://x.example/?t=%b#a\r\n" % OLD, b"302 Found"),
        GET,
        id="location",
    ),
    pytest.param(sized(b"x", status=b"200 " + OLD), GET, id="reason"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: %b\r\n\r\n" % OLD, HEAD, id="HEAD"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: \xe9%b\r\n\r\n" % OLD,
        HEAD,
        id="HEAD, not plain",
    ),
    pytest.param(b"HTTP/1.1 204 No\r\nETag: %b\r\n\r\n" % OLD, GET, id="204"),
    pytest.param(b"HTTP/1.1 304 No\r\nETag: %b\r\nContent-Length: 7\r\n\r\n" % OLD, GET, id="304"),
    pytest.param(
        b"HTTP/1.1 103 %b\r\nLink: <%b>\r\n\r\n" % (OLD, OLD) + sized(BEARER), GET, id="interim"
    ),
    pytest.param(
        b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-A: %b\r\n\r\n" % OLD,
        UPGRADE,
        id="head of a tunnel",
    ),
]


@pytest.mark.parametrize(("final", "said"), EVERYWHERE)
def test_wherever_it_is_cut(final, said):
    """
    Wherever reads part, and byte by byte, the caller gets stars for the token and all else as it is.
    """
    allowed = hear(final, said=said, policy="allow").messages
    expected = starred(allowed)
    assert expected != allowed

    for place, cut in enumerate((whole, bytewise, *map(at, range(1, len(final))))):
        heard = hear(final, said=said, cut=cut, high=place % 3)  # slow callers among them

        assert unshown(heard.messages) == expected
        assert (len(heard.log), heard.echoes) == (1, 1)


def at(place: int) -> Cut:
    """
    Return what cuts once, there.
    """
    return lambda data: [piece for piece in (data[:place], data[place:]) if piece]


def starred(value: Any) -> Any:
    """
    Return messages with stars for the token.
    """
    return _replace(value, {OLD: STARS})


def unshown(value: Any) -> Any:
    """
    Return messages with stars for what may be seen of a token that came in pieces.
    """
    return _replace(value, {OLD[:n] + STARS[n:]: STARS for n in range(1, SHOWN + 1)})


def _replace(value: Any, words: dict[bytes, bytes]) -> Any:
    if isinstance(value, bytes):
        for word, other in words.items():
            value = value.replace(word, other)
        return value
    if isinstance(value, list | tuple):
        return type(value)(_replace(each, words) for each in value)
    return value


CLEAN = [
    pytest.param([sized(OLD[:-1] + b"!" + OLD[:-1])], {}, id="all but the last character"),
    pytest.param([chunked(OLD[:-1], OLD[:-1])], {}, id="the same in chunks"),
    pytest.param([b"HTTP/1.1 200 OK\r\n\r\n" + OLD[:-1]], {}, id="the same until close"),
    pytest.param([sized(OLD)], {"policy": "allow"}, id="allowed"),
    pytest.param([sized(b"0123456789abcde")], {"old": b"0123456789abcde"}, id="short token"),
    pytest.param(
        [sized(b"mine: " + OLD)],
        {"said": b"GET /kept HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n" % OLD},
        id="the caller's own",
    ),
]


@pytest.mark.parametrize(("finals", "options"), CLEAN)
def test_all_else_passes_byte_for_byte(finals, options):
    """
    What is not the token, is not looked for, or is the caller's own passes, wherever it is cut.
    """
    expected = hear(*finals, **{**options, "policy": "allow"}).messages

    for cut in (whole, bytewise, *map(at, range(1, len(finals[0])))):
        heard = hear(*finals, cut=cut, **options)

        assert heard.messages == expected
        assert (heard.log, heard.echoes) == ([], 0)


@pytest.mark.parametrize("cut", [whole, bytewise], ids=["whole", "bytewise"])
def test_pipelined_requests_are_looked_after_each_on_its_own(cut):
    """
    The beginning of a token at one response's end and its rest in the next are no token; each
    response that holds one is counted, and the first is told of.
    """
    finals = [
        sized(OLD[:12]),
        sized(OLD[12:] + OLD),
        sized(b"x", b"X-A: %b\r\n" % OLD),
        sized(b"y"),
    ]
    heard = hear(*finals, said=GET * 4, cut=cut)

    bodies = [message.body for message in unshown_stream(heard)]
    assert bodies == [OLD[:12], OLD[12:] + STARS, b"x", b"y"]
    assert [line["request_id"] for line in heard.log] == ["id-2"]
    assert (heard.echoes, heard.links) == (2, 1)


def unshown_stream(heard: Heard) -> list[Any]:
    """
    Return the messages, bodies `unshown`.
    """
    for message in heard.stream.messages:
        message.body = unshown(message.body)
    return heard.stream.messages


def test_what_is_told():
    """
    The line says which request, route and service user it was and what was done, and no token.
    """
    (line,) = hear(sized(OLD)).log

    del line["timestamp"]
    assert line == {
        "event": "token.echoed",
        "level": "warning",
        "request_id": "id-1",
        "route": "api",
        "service_user": "u",
        "action": "redact",
        "suppressed": 0,
    }


async def test_a_flood_is_told_of_once_in_a_while(proxy, upstream, call):
    """
    An upstream that always repeats the token is a line per route and interval with the number left
    out, while each response is counted.
    """
    proxy.keeper.value = OLD.decode()
    caller = await call()
    peer = None
    for seconds in (0.0, 1.0, 1.0, AGAIN):
        proxy.clock.seconds += seconds
        caller.send(GET)
        peer = peer or await upstream.accept()
        await peer.head()
        peer.send(sized(OLD))
        await caller.head()
        assert await caller.read(len(OLD)) == STARS

    told = [json.loads(line) for line in proxy.events]
    assert [(line["request_id"], line["suppressed"]) for line in told] == [("id-1", 0), ("id-4", 2)]
    assert proxy.generation.table.routes[0].action.metrics.echoes == 4


def test_upstreams_own_request_id_is_looked_through_too():
    """
    That header ends in the log, not at the caller: there it is blotted out as well.
    """
    heard = hear(sized(b"x", b"X-Request-Id: %b\r\n" % OLD))

    assert heard.records[0]["upstream_request_id"] == STARS.decode()


# A held 401


REFUSED = [
    pytest.param(sized(OLD, b"X-A: %b\r\n" % OLD, b"401 No"), id="length"),
    pytest.param(chunked(OLD[:20], OLD[20:], status=b"401 No"), id="chunks"),
]


@pytest.mark.parametrize("cut", [whole, bytewise], ids=["whole", "bytewise"])
@pytest.mark.parametrize("refused", REFUSED)
def test_after_a_replay_both_tokens_are_looked_for(refused, cut):
    """
    The refused token may still be good elsewhere. What the dropped 401 held is not told.
    """
    heard = hear(refused, sized(b"%b, %b" % (OLD, NEW)), cut=cut)
    clean = hear(refused, sized(b"fine"), cut=cut)

    body = heard.stream.messages[-1].body
    assert body.endswith(b"*" * (len(OLD) - SHOWN))
    assert len(body) == 2 * len(OLD) + 2
    assert OLD[:8] not in body
    assert (len(heard.log), heard.echoes, heard.records[0]["replayed"]) == (1, 1, True)
    assert clean.stream.messages[-1].body == b"fine"
    assert (clean.log, clean.echoes) == ([], 0)


@pytest.mark.parametrize("cut", [whole, bytewise], ids=["whole", "bytewise"])
@pytest.mark.parametrize("refused", REFUSED)
def test_a_401_that_is_let_go_is_blotted_out(refused, cut):
    """
    A held 401 that no new token cures goes to the caller with stars.
    """
    heard = hear(refused, new=None, cut=cut)

    assert unshown(heard.messages) == starred(hear(refused, new=None, policy="allow").messages)
    assert (len(heard.log), heard.echoes) == (1, 1)


@pytest.mark.parametrize("refused", REFUSED)
def test_a_401_that_is_let_go_is_blocked(refused):
    """
    Where the route blocks, it is answered with 502 once it is to go; a replay's answer is not.
    """
    assert hear(refused, new=None, policy="block").stream.messages[0].status == 502
    assert hear(refused, sized(b"fine"), policy="block").stream.messages[0].body == b"fine"


# Blocked


@pytest.mark.parametrize(("final", "said"), EVERYWHERE)
def test_blocked_before_anything_went_down(final, said):
    """
    What comes in one read with its head is answered with 502 in the proxy's name, and the caller's
    next request is served over another connection.
    """
    again = said if said in (HEAD, UPGRADE, OLDER) else said + GET
    heard = hear(final, sized(b"next"), policy="block", said=again)

    answer = heard.stream.messages[0]
    assert answer.status == 502
    assert answer.values(b"proxy-status")
    assert OLD[: SHOWN + 1] not in heard.taken
    assert (len(heard.log), heard.echoes, heard.log[0]["action"]) == (1, 1, "block")
    assert heard.records[0]["error"].startswith("upstream_protocol: token_echoed")
    if again != said:
        assert heard.stream.messages[1].body == b"next"
        assert heard.links == 2


@pytest.mark.parametrize(("final", "said"), IN_THE_BODY)
def test_blocked_on_its_way(final, said):
    """
    Once the head is on its way the response ends short, wherever it was cut, and the token is not in
    what came before.
    """
    for place in range(1, len(final), 5):
        heard = hear(final, policy="block", said=said, cut=at(place))

        last = heard.stream.messages[-1] if heard.stream.messages else None
        refused = last is not None and last.status == 502
        assert refused or heard.stream.partial is not None
        assert OLD[: SHOWN + 1] not in heard.taken
        assert len(heard.log) == 1
        assert refused or heard.cut


# Nothing is kept waiting


async def test_what_begins_a_token_waits_and_nothing_else_does(proxy, upstream, call):
    """
    A chunk that ends with the first four characters goes out at once; with one more, that beginning
    waits for what comes next.
    """
    proxy.keeper.value = OLD.decode()
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await caller.head()

    peer.send(b"5\r\naeyJh\r\n")
    assert await caller.read(10) == b"5\r\naeyJh\r\n"
    peer.send(b"6\r\nbeyJhb\r\n")
    assert await caller.read(6) == b"1\r\nb\r\n"
    peer.send(b"1\r\n!\r\n")
    assert await caller.read(11) == b"6\r\neyJhb!\r\n"
    peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(OLD), OLD))
    size = b"%x\r\n" % len(OLD)
    assert await caller.read(len(size + OLD) + 7) == size + STARS + b"\r\n0\r\n\r\n"

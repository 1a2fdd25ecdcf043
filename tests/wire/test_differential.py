"""
nginx and HAProxy as second opinions: behind us they must count what we count, before us as well.

As origin, each gets the very bytes we send upstream, and says how many requests it reads in them. As
front, each gets the caller's bytes, forwards what it likes to us, and writes down what it forwarded;
what arrives behind us must be that, one for one. Requests that one of us refuses and the other
takes are no failures; they are counted and shown by `pytest -rP`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.wire.downstream import Downstream
from tests.fuzz.corpus import REQUESTS, TAIL
from tests.fuzz.daemon import PATIENCE, Daemon, haproxy, nginx
from tests.fuzz.grammar import Grammar
from tests.fuzz.judge import DONE
from tests.fuzz.mutation import damaged
from tests.fuzz.play import Play, Reply
from tests.fuzz.reference import Message, read_requests, read_responses
from tests.fuzz.rig import Rig

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(180)]

DAMAGED = 400
"""Damaged requests beside the odd ones; the same each time."""

AT_ONCE = 16
"""Connections open at the same time."""


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


END = b"GET /end HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
"""Sent behind everything: whoever has miscounted what came before does not read it as this."""


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def daemon(request, tmp_path_factory):
    """
    A Daemon.
    """
    with request.param(tmp_path_factory.mktemp("daemon")) as started:
        yield started


@pytest.fixture(scope="module")
def odd() -> list[bytes]:
    """
    Return odd requests, and damaged ones.
    """
    made = [each + tail for each in REQUESTS for tail in (b"", TAIL)]
    for number in range(DAMAGED):
        pick = random.Random(f"differential/{number}").randrange
        grammar, count = Grammar(pick), 1 + pick(3)
        said = b"".join(grammar.request(n, last=n == count - 1) for n in range(count))
        made.append(damaged(REQUESTS[pick(len(REQUESTS))] + said if pick(2) else said, pick))
    return made


@dataclass
class Sent:
    """
    What one connection of ours to an upstream carried.
    """

    data: bytes
    requests: list[Message] = field(default_factory=list)


def sent_upstream(said: bytes) -> list[Sent]:
    """
    Return what we send upstream, by connection, as far as it is whole.
    """
    with Rig() as rig:
        stage = Play(rig, said, [Reply(DONE + b"\r\n")])
        stage.run()
    assert not stage.faults
    return [
        Sent(bytes(server.link.taken), server.seen.messages)
        for server in stage.servers
        if server.seen.messages and server.seen.partial is None and not server.seen.rest
    ]


@pytest.fixture(scope="module")
def sent(odd: list[bytes]) -> list[Sent]:
    """
    Return what we send upstream for all of them.
    """
    return [each for said in odd for each in sent_upstream(said)]


async def ask(port: int, data: bytes) -> tuple[int, bytes]:
    """
    Send bytes and the end behind them; return our own port, and all that came back.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    mine: int = writer.get_extra_info("sockname")[1]
    got = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data + END)
        async with asyncio.timeout(PATIENCE):
            while piece := await reader.read(65536):
                got += piece
    writer.close()
    return mine, got


async def ask_all(port: int, packets: list[bytes]) -> list[tuple[int, bytes]]:
    """
    Ask with each, a few at a time.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(data: bytes) -> tuple[int, bytes]:
        async with gate:
            return await ask(port, data)

    return await asyncio.gather(*(one(data) for data in packets))


async def test_origin_counts_what_we_sent(daemon, sent):
    """
    In what we send upstream the origin reads as many requests as we meant, with the same targets;
    or it refuses one, and then reads nothing behind it.
    """
    verdicts: Counter[str] = Counter()
    answers = await ask_all(daemon.origin, [each.data for each in sent])
    for each, (_, got) in zip(sent, answers, strict=True):
        meant = [message.method + b" " + message.target for message in each.requests]
        methods = [message.method for message in each.requests]
        stream = read_responses(got, [*methods, b"GET"], ended=True)
        finals = [answer for answer in stream.messages if answer.status >= 200]
        meant.append(b"GET /end")
        assert len(finals) <= len(meant), (each.data, got)
        for answer, mine in zip(finals, meant, strict=False):
            if answer.status == 200:
                assert unabsolute(b"".join(answer.values(b"x-echo"))) == mine, (each.data, got)
        same = [answer.status for answer in finals] == [200] * len(meant)
        verdicts["same" if same else "refused by the origin"] += 1
    print(f"{daemon.name} as origin: {dict(verdicts)}")  # noqa: T201 - for -rP
    assert verdicts["same"] > len(sent) * 0.9


def unabsolute(line: bytes) -> bytes:
    """
    Return a method and target without the authority some put before it.
    """
    method, _, target = line.partition(b" ")
    target = re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", target)
    return b"%b %b%b" % (method, b"" if target.startswith((b"/", b"*")) else b"/", target)


@dataclass
class Recorder:
    """
    An upstream that reads to the letter and answers everything.

    Attributes:
        arrived: What it has read, in order.
        faults: What it could not read.
    """

    arrived: list[Message] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Take a connection.
        """
        data, count = b"", 0
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                data += piece
                stream = read_requests(data)
                self.arrived += stream.messages[count:]
                self.faults += [stream.fault] if stream.fault else []
                writer.write(OK * (len(stream.messages) - count))
                count = len(stream.messages)
        writer.close()


@pytest.fixture
async def recorder(daemon: Daemon, proxy: Any) -> AsyncIterator[Recorder]:
    """
    An upstream, and our proxy before it, where the daemon expects us.
    """
    made = Recorder()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    listen = [{"address": "127.0.0.1:0", "hosts": ["*"], "browsers": "allow"}]
    route = {"name": "api", "match": {"path": "/"}, "upstream": url}
    await proxy.start([route], listen=listen)
    us = await asyncio.get_running_loop().create_server(
        lambda: Downstream(proxy.gateway, 0, proxy.connections), "127.0.0.1", daemon.us
    )
    yield made
    us.close()
    await proxy.stop()
    proxy.port = 0
    server.close()


async def test_front_forwards_what_we_count(daemon, odd, recorder):
    """
    What arrives behind us is what the front says it forwarded, one for one; nothing arrives that it
    knows nothing of.
    """
    answers = await ask_all(daemon.front, odd)
    ports = {port for port, _ in answers}
    said = {port: lines for port, lines in daemon.forwarded().items() if port in ports}
    arrived: dict[int, list[bytes]] = {}
    for message in recorder.arrived:
        (case,) = message.values(b"x-case")
        arrived.setdefault(int(case), []).append(message.method + b" " + message.target)
    assert not recorder.faults
    for port, lines in said.items():
        assert arrived.pop(port, []) == [unabsolute(line) for line in lines]
    # On a busy machine a caller may leave, or the front give up, before the answer
    given_up = daemon.forwarded(b"499", b"502", b"504")
    for port, lines in tuple(arrived.items()):
        if lines == [unabsolute(line) for line in given_up.get(port, [])]:
            del arrived[port]
    assert not arrived, "requests the front knows nothing of"
    statuses = Counter(line.rpartition(b" ")[2][:3].decode() for line in daemon.lines())
    print(f"{daemon.name} as front: {len(odd)} streams, statuses {dict(statuses)}")  # noqa: T201 - for -rP
    assert len(said) > len(odd) // 4

"""
The golden cases in tests/cases/wire: what is sent, byte for byte, and what must come of it.

The cases' format stands in the README beside them. Every case runs in one piece, byte by byte, and
cut in two, each time against a proxy that has just been started; what must come of it is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from proxy import errors
from proxy.core import forward_errors

FOLDER = Path(__file__).parents[1] / "cases" / "wire"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ALIVE = b"GET /alive HTTP/1.1\r\nHost: a\r\nX-Request-Id: alive\r\n\r\n"
PRIVATE = b"Cache-Control: private\r\n"

PATIENCE = 4.0
"""Seconds after which what is waited for does not come any more."""

BRIEF = 0.1
"""The same for a case that is awaited: it is expected to wait in vain."""

PIECES = 400
"""Pieces a long text is cut into instead of single bytes."""

CUTS = (0.5, "blank line", 0.1, "last byte", 0.8)
"""Where bytes are cut in two: a fraction, within a head's empty line, before the last byte."""

CANARY = b"leakcanary"
ECHOES = {CANARY[at : at + 8] for at in range(len(CANARY) - 7)}

ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|\{(.+?)\*(\d+)\}|(.))")
PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
OWN = re.compile(r"(\d{3}(?:\|\d{3})*)(?: (\w+))?")
CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

KINDS = {
    (kind.code, kind.detail): kind
    for kind in (vars(errors) | vars(forward_errors)).values()
    if isinstance(kind, type) and issubclass(kind, errors.ProxyError)
}


@dataclass(frozen=True, slots=True)
class Case:
    """
    One variant of one file.

    Attributes:
        steps: What happens, in order: the step's words, the text below them.
        awaited: Why it still fails; empty if it must pass.
        cuts: Which of the `CUTS` it runs with. Variants take turns; a case on its own has all.
    """

    steps: tuple[tuple[str, str], ...]
    awaited: str
    cuts: tuple[float | str, ...] = CUTS

    def said(self, words: str) -> str:
        """
        Return the text of the step of these words; empty if there is none.
        """
        return next((text for step, text in self.steps if step == words), "")


def unescape(text: str) -> bytes:
    """
    Return the characters, one byte each, that an escaped text stands for.
    """

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2]:
            return ESCAPE.sub(one, found[2]) * int(found[3])
        return PLAIN[found[4]]

    return ESCAPE.sub(one, text).encode("latin-1")


def wire(text: str) -> bytes:
    """
    Return the bytes that the lines of a step stand for.
    """
    ended = (
        (line[:-1], b"") if re.search(r"(?<!\\)(\\\\)*\\\Z", line) else (line, b"\r\n")
        for line in text.splitlines()
    )
    return b"".join(unescape(line) + end for line, end in ended)


def read_cases(path: Path):
    """
    Yield a parameter set for each variant of a file.
    """
    text = "".join(
        line for line in path.read_text("ascii").splitlines(keepends=True) if line[:1] != "#"
    )
    nothing, *parts = re.split(r"^-- ", text, flags=re.MULTILINE)
    assert not nothing.strip(), f"{path.name}: text before the first step"
    steps = [tuple(part.split("\n", 1)) for part in parts]
    assert any(words.startswith("upstream ") for words, _ in steps), f"{path.name}: no upstream"
    assert any(words == "log" for words, _ in steps), f"{path.name}: no log"
    why = next((words[9:] for words, _ in steps if words.startswith("awaited: ")), "")
    marks = [pytest.mark.xfail(strict=True, reason=why)] if why else []
    name = f"{path.parent.name}/{path.stem}"
    if steps[0][0] != "each":
        yield pytest.param(Case(tuple(steps), why), id=name, marks=marks)
        return
    for number, variant in enumerate(steps.pop(0)[1].splitlines(), 1):
        filled = tuple((words, body.replace("{}", variant)) for words, body in steps)
        cuts = (CUTS[number % len(CUTS)],)
        yield pytest.param(
            Case(filled, why, cuts), id=f"{name}-{number} {variant[:32]}", marks=marks
        )


CASES = [case for path in sorted(FOLDER.glob("*/*.case")) for case in read_cases(path)]


def own_words(head: bytes, body: bytes, own: list[bytes]) -> bytes:
    """
    Check an answer of ours against the contract and return it in the words of a case.
    """
    own.append(head + body)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    told = json.loads(body)
    kind = KINDS[told["code"], told["detail"]]
    status = int(head.split()[1])
    assert told == {
        "type": f"urn:zitadel-authproxy:problem:{kind.code}",
        "title": kind.title,
        "status": status,
        "detail": kind.detail,
        "code": kind.code,
        "request_id": lines[b"X-Request-Id"].decode(),
    }
    assert lines[b"Proxy-Status"].startswith(b"authproxy; error=")
    assert status != 503 or b"Retry-After" in lines
    return b"<%d %b>\n" % (status, kind.code.encode())


def chunks(data: bytes) -> tuple[bytes, bytes]:
    """
    Return the joined body of chunks with a mark for its end and its trailers; what follows.
    """
    body = b""
    while found := CHUNK.match(data):
        size = int(found[1], 16)
        if not size:
            trailers, mark, rest = (b"\r\n" + data[found.end() :]).partition(b"\r\n\r\n")
            return (body + b"<end>" + trailers + mark, rest) if mark else (body, b"")
        body += data[found.end() : found.end() + size]
        if data[found.end() + size :][:2] != b"\r\n":
            return body, b""  # not complete
        data = data[found.end() + size + 2 :]
    return body, b""


def told(data: bytes, own: list[bytes], *, private: bool) -> bytes:
    """
    Return messages in the form in which they are compared.

    Args:
        data: What was sent, perhaps not all of it.
        own: Answers of ours are added here.
        private: The case speaks of the line we may add for caches; else it is left out.
    """
    out = b""
    if not private:
        data = data.replace(PRIVATE, b"")
    while b"\r\n\r\n" in data:
        head, mark, data = data.partition(b"\r\n\r\n")
        head += mark
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if b"\r\nProxy-Status: authproxy; " in head:
            out += own_words(head, data[:size], own)
            data = data[size:]
            continue
        out += head
        if CHUNKED.search(head):
            body, data = chunks(data)
            out += body
        else:
            out, data = out + data[:size], data[size:]
    return out + data


class Side:
    """
    One connection of a case: what was sent to it, and what must have been.
    """

    def __init__(self, peer, run: Run) -> None:
        self.peer = peer
        self.run = run
        self.raw = b""
        self.expected = b""
        self.at_most = b""  # what may have come after that
        self.ended = ""
        self.own: list[bytes] = []

    async def send(self, data: bytes, way) -> None:
        """
        Send bytes whole, as single bytes, or cut in two; each piece is on its way before the next is written.
        """
        for piece in cut(data, way):
            if self.peer.writer.transport.is_closing():
                return
            self.peer.send(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the other end is told of it before this returns

    async def read(self) -> None:
        """
        Read once more.
        """
        try:
            async with asyncio.timeout(self.run.patience):
                piece = await self.peer.reader.read(1 << 18)
        except TimeoutError:
            raise AssertionError(f"nothing more came after\n{self.told()!r}") from None
        except ConnectionError:
            self.ended = "reset"
        else:
            self.raw += piece
            if not piece:
                self.ended = "closed"

    def told(self) -> bytes:
        """
        Return what came in the form in which it is compared.
        """
        self.own.clear()
        raw = self.raw.replace(self.run.alias, b"upstream.test")
        return told(raw, self.own, private=self.run.private)

    async def gets(self, more: bytes) -> None:
        """
        Wait until this has come beside all before it.
        """
        self.expected += told(more, [], private=self.run.private)
        while not (got := self.told()).startswith(self.expected):
            assert self.expected.startswith(got)
            assert not self.ended, f"{self.ended} after {got!r} instead of\n{self.expected!r}"
            await self.read()

    async def gets_own(self, statuses: str, code: str | None) -> None:
        """
        Wait for an answer of ours; any code will do if none is given.
        """
        at = len(self.expected)
        while not (found := re.match(rb"<(\d+) (\w+)>\n", self.told()[at:])):
            assert not self.ended, f"{self.ended} after {self.told()!r}"
            assert self.told()[at:] == b"", "this is no answer of ours"
            await self.read()
        assert found[1].decode() in statuses.split("|"), found
        assert code is None or found[2].decode() == code, found
        self.expected += found[0]

    async def gets_local(self, status: str, header: str) -> None:
        """
        Wait for an answer of ours that is no problem.
        """
        at = len(self.expected)
        while b"\r\n\r\n" not in self.told()[at:]:
            assert not self.ended, f"{self.ended} after {self.told()!r}"
            await self.read()
        head = self.told()[at:]
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert f"\r\n{header}: ".encode() in head
        self.expected += head

    async def ends(self) -> None:
        """
        Read to the end: nothing may have come but what was said.
        """
        while not self.ended:
            await self.read()
        got = self.told()
        if self.at_most and got == b"<502 upstream_protocol>\n" and not self.expected:
            return  # what is wrong came before anything had gone down: that can still be said
        assert got[: len(self.expected)] == self.expected
        assert self.at_most[: len(got) - len(self.expected)] == got[len(self.expected) :]


def cut(data: bytes, way) -> list[bytes]:
    """
    Return the pieces in which these bytes are sent.
    """
    if way == "bytes":
        size = max(1, len(data) // PIECES)
        return [data[at : at + size] for at in range(0, len(data), size)]
    if way == "blank line":
        place = data.find(b"\r\n\r\n") + 3
    elif way == "last byte":
        place = len(data) - 1
    else:
        place = 0 if way == "whole" else int(len(data) * way)
    return [piece for piece in (data[:place], data[place:]) if piece]


class Run:
    """
    One case, run in one way against a proxy of its own.
    """

    def __init__(self, case: Case, way, proxy) -> None:
        self.case = case
        self.way = way
        self.patience = BRIEF if case.awaited else PATIENCE
        self.proxy = proxy
        self.upstream = proxy.upstream
        self.first = len(self.upstream.connections)
        while not self.upstream.waiting.empty():
            self.upstream.waiting.get_nowait()  # opened in the last run, and not needed
        self.alias = b"127.0.0.1:%d" % self.upstream.port
        self.private = any(PRIVATE.decode().strip() in text for _, text in case.steps)
        self.sides: dict[int, Side] = {}
        self.up: Side | None = None
        self.at_most = b""
        self.expected_log: list[str] = case.said("log").splitlines()

    async def play(self, caller) -> None:
        """
        Do every step, then see that nothing else happened.
        """
        self.caller = Side(caller, self)
        for words, text in self.case.steps:
            await self.step(words, wire(text) if words not in {"log", "routes"} else b"")
        caller.close()
        await self.proxy.quiet()
        self.proxy.generation.retire()
        await self.caller.ends()
        for number in range(self.first, len(self.upstream.connections)):
            side = self.side(number)
            side.at_most = self.at_most
            await side.ends()
        self.check_log()

    def side(self, number: int) -> Side:
        """
        Return the side for the upstream's connection of this number.
        """
        peer = self.upstream.connections[number]
        return self.sides.setdefault(number, Side(peer, self))

    async def accept(self) -> Side:
        """
        Return the next connection to the upstream.
        """
        async with asyncio.timeout(self.patience):
            peer = await self.upstream.accept()
        self.up = self.side(self.upstream.connections.index(peer))
        return self.up

    async def step(self, words: str, data: bytes) -> None:
        """
        Do one step.
        """
        who, _, does = words.partition(" ")
        if who == "caller":
            await self._step_caller(does, data)
        elif who == "upstream":
            await self._step_upstream(does, data)
        elif words == "both stay open":
            await self.alive(self.up)
        else:
            assert words in {"log", "routes"} or who == "awaited:", f"no such step: {words}"

    async def _step_caller(self, does: str, data: bytes) -> None:
        caller = self.caller
        verb, _, what = does.partition(" ")
        if does == "sends":
            await caller.send(data, self.way)
        elif does == "ends":
            caller.peer.writer.write_eof()
        elif does == "gets":
            await caller.gets(data)
        elif does == "gets at most":
            caller.at_most = told(data, [], private=self.private)
            await caller.ends()
        elif what.startswith("ok "):
            head, mark, body = OK.partition(b"\r\n\r\n")
            await caller.gets(b"%b\r\nX-Request-Id: %b%b%b" % (head, what[3:].encode(), mark, body))
        elif " with " in what:
            await caller.gets_local(*what.split(" with "))
        elif verb == "gets" and (own := OWN.fullmatch(what)):
            await caller.gets_own(own[1], own[2])
        elif does == "stays open":
            await self.alive(None)
        else:
            assert does in {"is closed", "is reset"}, f"no such step: caller {does}"
            await caller.ends()
            assert does == "is closed" or caller.ended == "reset"

    async def _step_upstream(self, does: str, data: bytes) -> None:
        if does == "gets nothing":
            return  # nor anything but what is said; seen to at the end
        if does == "gets at most":
            self.at_most = told(data, [], private=False)  # on whatever connection
            return
        if does == "gets on a new connection" or self.up is None:
            await self.accept()
        up = self.up
        assert up is not None
        if does in {"gets", "gets on a new connection"}:
            await up.gets(data)
        elif does == "answers":
            await up.send(data, self.way)
        elif does == "answers ok":
            await up.send(OK, self.way)
        elif does == "is dropped":
            await up.ends()
        else:
            assert does in {"closes", "resets"}, f"no such step: upstream {does}"
            up.peer.close() if does == "closes" else up.peer.reset()

    async def alive(self, same: Side | None) -> None:
        """
        Have one more request served, over the same connection to the upstream or a new one.
        """
        self.caller.peer.send(ALIVE)
        up = await self.accept() if same is None else same
        await up.gets(
            b"GET /alive HTTP/1.1\r\nHost: upstream.test\r\nX-Request-Id: alive\r\n"
            b"Authorization: Bearer tok-1\r\nVia: 1.1 authproxy-test\r\n\r\n"
        )
        answer = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n%b\r\n"
        up.peer.send(answer % b"")
        await self.caller.gets(answer % b"X-Request-Id: alive\r\n")
        self.expected_log.append("200")

    def check_log(self) -> None:
        """
        The log has the lines the case says, each with its reason, and repeats nothing it must not.
        """
        records = []
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                records.append(self.proxy.records.get_nowait())
        lines = []
        for record in records:
            code, _, reason = (record["error"] or "").partition(": ")
            assert not code or reason or code == "caller_left"
            lines.append(f"{record['status']} {code}".rstrip())
        assert len(lines) == len(self.expected_log), lines
        for line, expected in zip(lines, self.expected_log, strict=True):
            status, _, code = expected.partition(" ")
            assert line.split()[0] in status.split("|"), lines
            assert "|" in status or line.partition(" ")[2] == code or code == "*", lines
        texts = [*self.caller.own, *self.proxy.events, *(repr(one).encode() for one in records)]
        for text in texts:
            assert not any(echo in text.lower() for echo in ECHOES), text
            assert b"tok-1" not in text


@pytest.mark.parametrize("case", CASES)
async def test_what_is_sent_gives_what_the_case_says(case, proxy, call):
    """
    Both sides get exactly these bytes, the log says why, and cutting into packets changes nothing.
    """
    for way in ("whole", "bytes", *case.cuts):
        proxy.events.clear()
        proxy.keeper.slots.clear()
        await proxy.start(yaml.safe_load(case.said("routes")))
        try:
            await Run(case, way, proxy).play(await call())
        except BaseException as error:
            error.add_note(f"sent in this way: {way}")
            raise
        await proxy.stop()


def test_there_are_enough_cases():
    """
    The cases are found: a glob that matches nothing would pass every test of its own.
    """
    assert len(CASES) >= 1000

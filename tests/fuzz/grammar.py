"""
Valid exchanges: what RFC 9110 and RFC 9112 let clients and servers say, picked number by number.

`pick(n)` gives a number from 0 to n - 1: of `random.Random.randrange`, or of Hypothesis, which then
shrinks towards the first of each choice; so the plainest stands first everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

from tests.fuzz.play import Reply

T = TypeVar("T")
Pick = Callable[[int], int]

METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
TAILS = (b"", b"?", b"?a=b&&c=%20+", b"/a%2Fb//c", b"/;v=1", b"/a|b", b"/~%c3%a9?x=/../y")
BODIES = (
    b"", b"abc", b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff\0\n",
    b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 300,
)  # fmt: skip

REQUEST_NAMES = (
    b"Accept", b"Cookie", b"X-A", b"X_Under", b"User-Agent", b"Content-Type", b"Range",
    b"Authorization", b"X-Api-Key", b"X-Forwarded-For", b"Forwarded", b"X-Request-Id", b"TE",
    b"Keep-Alive", b"Proxy-Connection", b"X-Original-Url", b"Transfer_Encoding",
)  # fmt: skip
RESPONSE_NAMES = (
    b"Content-Type", b"Set-Cookie", b"X-A", b"Server", b"ETag", b"Proxy-Status", b"X-Request-Id",
    b"Keep-Alive", b"Cache-Control", b"WWW-Authenticate", b"Via", b"Trailer",
)  # fmt: skip
REQUEST_VALUES = (b"b", b"", b"a, b;q=0.1", b"id-7", b'"q\\""', b"a:b", b"a \t b", b"%0d%0a")
RESPONSE_VALUES = (*REQUEST_VALUES, b"caf\xc3\xa9", b"\xff \x80", b"chunked")
BLANKS = (b" ", b"", b"\t", b"  \t ")
CONNECTIONS = (
    b"Connection: x-a\r\n",
    b"Connection: keep-alive, X-A\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: \r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nHTTP2-Settings: AAMA\r\n",
)
EXTENSIONS = (b"", b"", b";a", b";a=b", b';a="b;\\"c"')
TRAILERS = (b"", b"", b"X-Sum: 1\r\n", b"Host: b\r\nAuthorization: c\r\n")
REASONS = (b"OK", b"", b"Not Found at all", b"caf\xe9")
STATUSES = (200, 200, 201, 204, 206, 301, 304, 401, 404, 500)


@dataclass(frozen=True)
class Asked:
    """
    One request and how the upstream answers it.
    """

    request: bytes
    reply: Reply


@cache
def below(most: int) -> st.SearchStrategy[int]:
    """
    Numbers from 0 to one below *most*.
    """
    return st.integers(0, most - 1)


@st.composite
def exchanges(draw: st.DrawFn, most: int = 4) -> list[Asked]:
    """
    Requests pipelined on one connection, and their answers.
    """
    return Grammar(lambda count: draw(below(count))).exchanges(most)


class Grammar:
    """
    Makes valid messages out of numbers.
    """

    def __init__(self, pick: Pick) -> None:
        self._pick = pick

    def exchanges(self, most: int) -> list[Asked]:
        """
        Return one request at least and *most* at most, each with its reply.
        """
        count = 1 + self._pick(most)
        made = []
        for number in range(count):
            request = self.request(number, last=number == count - 1)
            made.append(Asked(request, self.reply(request.split(b" ")[0])))
        return made

    def request(self, number: int, *, last: bool) -> bytes:
        """
        Return a request; only the last on a connection may end it.
        """
        http10 = last and self._maybe(6)
        head = [self._line(REQUEST_NAMES, REQUEST_VALUES) for _ in range(self._pick(5))]
        body, framing = self._of(BODIES), self._pick(3)
        if framing == 2 and not http10:
            body = self._chunks(body)
            head.append(self._spelt(b"Transfer-Encoding") + b": chunked\r\n")
        elif framing:
            head.append(b"%b: %d\r\n" % (self._spelt(b"Content-Length"), len(body)))
        else:
            body = b""
        if body and self._maybe(5):
            head.append(b"Expect: 100-continue\r\n")
        if self._maybe(6):
            head.append(self._of(CONNECTIONS))
        if last and self._maybe(3):
            head.append(b"Connection: close\r\n")
        head.append(b"%b:%ba.example\r\n" % (self._spelt(b"Host"), self._of(BLANKS)))
        authority = b"http://A.example:80" if self._maybe(5) else b""
        target = authority + b"/%d" % number + self._of(TAILS)
        line = b"%b %b HTTP/1.%d\r\n" % (self._of(METHODS), target, not http10)
        return line + b"".join(self._mixed(head)) + b"\r\n" + body

    def reply(self, method: bytes) -> Reply:
        """
        Return how a server may answer a request of this method.
        """
        status = self._of(STATUSES)
        head = [self._line(RESPONSE_NAMES, RESPONSE_VALUES) for _ in range(self._pick(5))]
        version, close = self._of(((1, False), (1, False), (1, True), (0, True)))
        if close:
            head.append(b"Connection: close\r\n")
        framing, body = self._pick(3), self._of(BODIES)
        bodyless = method == b"HEAD" or status in (204, 304)
        if framing == 1 and version == 1:
            body = self._chunks(body)
            head.append(b"Transfer-Encoding: Chunked\r\n" if status != 204 else b"")
        elif framing == 0:
            head.append(b"Content-Length: %d\r\n" % len(body) if status != 204 else b"")
        else:
            close = close or not bodyless
        final = b"HTTP/1.%d %d %b\r\n" % (version, status, self._of(REASONS))
        final += b"".join(self._mixed(head)) + b"\r\n" + (b"" if bodyless else body)
        interim = [self._interim() for _ in range(self._of((0, 0, 0, 1, 2)))]
        return Reply(final, b"".join(interim), close)

    def _interim(self) -> bytes:
        line = self._line((b"Link", b"X-A"), RESPONSE_VALUES)
        return b"HTTP/1.1 %d \r\n%b\r\n" % (self._of((100, 102, 103)), line)

    def _chunks(self, body: bytes) -> bytes:
        out = b""
        while body:
            size = 1 + self._pick(len(body))
            form = self._of((b"%x", b"%X", b"0%x", b"000%X"))
            out += form % size + self._of(EXTENSIONS) + b"\r\n" + body[:size] + b"\r\n"
            body = body[size:]
        return out + self._of((b"0", b"00", b"0;last")) + b"\r\n" + self._of(TRAILERS) + b"\r\n"

    def _line(self, names: Sequence[bytes], values: Sequence[bytes]) -> bytes:
        name, value = self._spelt(self._of(names)), self._of(values)
        return b"%b:%b%b%b\r\n" % (name, self._of(BLANKS), value, self._of((b"", b"", b" ", b"\t")))

    def _spelt(self, name: bytes) -> bytes:
        return self._of((name, name, name.lower(), name.upper()))

    def _mixed(self, things: list[bytes]) -> list[bytes]:
        mixed = []
        while things:
            mixed.append(things.pop(self._pick(len(things))))
        return mixed

    def _of(self, choices: Sequence[T]) -> T:
        return choices[self._pick(len(choices))]

    def _maybe(self, once_in: int) -> bool:
        return self._pick(once_in) == once_in - 1

from __future__ import annotations

import random

import httptools
import pytest

from proxy.core.headers import looked_at
from proxy.wire.plain import END, cut_fields, cut_request_line, cut_status_line
from proxy.wire.request import read_request
from proxy.wire.roles import REQUEST_ROLES, Roles

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nA: b c\r\nContent-Length: 0\r\n\r\n"

PIECES = (
    *(b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\r", b" ", b"\t", b":", b": ", b"_", b"X"),
    *(b"\0", b"\x0b", b"\x7f", b"\x80", b""),
)


class Parsed:
    """
    What llhttp makes of a head.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Keep a header.
        """
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """
        Keep that all were seen.
        """
        self.complete = True


def parsed(head: bytes) -> list[bytes] | None:
    """
    Return the field lines llhttp finds in a head; None if it refuses it.
    """
    found = Parsed()
    try:
        httptools.HttpRequestParser(found).feed_data(head)
    except httptools.HttpParserError:
        return None
    return [b"%b: %b" % field for field in found.fields] if found.complete else None


def plain(data: bytes) -> tuple[bytes, list[bytes]] | None:
    """
    Return a plain head and its field lines; None if it would go to the parser.
    """
    at = data.find(b"\r")
    line = cut_request_line(data[:at])
    block = data[at : data.find(END, at) + 4]
    if line is None or b"\t" in line[1] or not line[1].startswith(b"/") or len(block) <= 4:
        return None  # other targets are refused by `core.target`, whoever cut the line
    lines = cut_fields(block)
    if lines is None or read_request(lines, ROLES, plain=True) is None:
        return None
    return data[: at + len(block)], lines


ROLES = Roles(REQUEST_ROLES, looked_at(frozenset()))


def mutated(data: bytes) -> list[bytes]:
    """
    Return all that differ by one piece inserted, or put in a byte's place.
    """
    return [
        data[:at] + piece + data[at + cut :]
        for at in range(len(data) + 1)
        for piece in PIECES
        for cut in (0, 1)
    ]


def test_the_head_itself_is_plain():
    """
    Or nothing below would be tested.
    """
    assert plain(HEAD) == (HEAD, [b"Host: a", b"A: b c", b"Content-Length: 0"])


def test_what_is_plain_the_parser_reads_the_same_way():
    """
    Every head one mutation away, and many two away: plain only if llhttp finds the same lines in it.
    """
    once = mutated(HEAD)
    chance = random.Random(1)
    twice = [chance.choice(mutated(each)) for each in once for _ in range(3)]
    accepted = 0
    for data in (*once, *twice):
        if (found := plain(data)) is not None:
            accepted += 1
            assert parsed(found[0]) == found[1], data
    assert accepted > 300


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\rAfoo: x\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:  a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    ],
)
def test_anything_odd_goes_to_the_parser(head):
    """
    It is the parser, or what reads its lines, that refuses.
    """
    assert plain(head) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"HTTP/1.1 200 OK", (200, b"OK")),
        (b"HTTP/1.1 204 ", (204, b"")),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.0 200 OK", None),
        (b"HTTP/1.1 101 Switching Protocols", None),
        (b"HTTP/1.1 600 X", None),
        (b"HTTP/1.1 200 \x01", None),
        (b"HTTP/1.1  200 OK", None),
    ],
)
def test_status_line(line, found):
    """
    Final statuses of HTTP/1.1 with a readable reason are plain.
    """
    assert cut_status_line(line) == found

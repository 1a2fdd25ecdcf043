"""
Valid messages, damaged: bytes flipped, put in, cut out; lines doubled and moved; numbers changed.

As the grammar, it takes its decisions from `pick`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.fuzz.grammar import Pick

WORDS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff",
    b"\r\n\r\n", b"\r\n ", b"\n\n", b"\r\r\n", b",", b";", b"=", b'"', b"#", b"%", b"%00", b"\\",
    b"+", b"-", b"_", b"0x", b"0", b"1", b"f", b"18446744073709551616", b"\xc2\xb3", b"chunked",
    b"identity", b"gzip, ", b"close", b"keep-alive", b"100-continue", b"HTTP/1.1", b"HTTP/1.0",
    b" HTTP/1.1\r\n", b"HTTP/2.0", b"http://b", b"//", b"/../", b"*", b"b:80", b"u@", b"/", b"?",
    b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"TRACE ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Content-Length:\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\r\n", b"Transfer-Encoding: identity\r\n",
    b"transfer_encoding: chunked\r\n", b"Content_Length: 3\r\n", b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Connection: content-length, host\r\n",
    b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n", b"Host:\r\n",
    b"X: y\r\n", b"X : y\r\n", b" X: y\r\n", b": y\r\n", b"X\r\n", b"X:\r\n y\r\n", b"Via: 1.1 x\r\n",
    b"0\r\n\r\n", b"3\r\nabc\r\n", b"GET /w HTTP/1.1\r\nHost: w\r\n\r\n", b"GET /w HTTP/1.0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nw", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n",
)  # fmt: skip
"""What parsers have been known to read differently."""

FRAMING = re.compile(rb"(?i)content-length|transfer-encoding|chunked|connection|host|expect")
NUMBER = re.compile(rb"[0-9A-Fa-f]+(?=[\r; ])|(?<=: )[0-9]+|(?<=HTTP/)[0-9.]+")
LINE = re.compile(rb"[^\r\n]*\r\n")


def damaged(data: bytes, pick: Pick, *, most: int = 3) -> bytes:
    """
    Return *data* with one to *most* things wrong in it; now and then nothing is.
    """
    for _ in range(1 + pick(most)):
        if data:
            data = WAYS[pick(len(WAYS))](data, pick)
    return data


def _put(data: bytes, pick: Pick) -> bytes:
    at = pick(len(data) + 1)
    return data[:at] + WORDS[pick(len(WORDS))] + data[at:]


def _put_at_border(data: bytes, pick: Pick) -> bytes:
    """
    Put a word where a word, a line or a head begins or ends.
    """
    borders = [at.start() for at in re.finditer(rb"\b|\r\n|(?<=\n)", data)]
    at = borders[pick(len(borders))] if borders else 0
    return data[:at] + WORDS[pick(len(WORDS))] + data[at:]


def _replace(data: bytes, pick: Pick) -> bytes:
    at, size = pick(len(data)), pick(6)
    return data[:at] + WORDS[pick(len(WORDS))] + data[at + size :]


def _delete(data: bytes, pick: Pick) -> bytes:
    at, size = pick(len(data)), 1 + pick(8)
    return data[:at] + data[at + size :]


def _flip(data: bytes, pick: Pick) -> bytes:
    at, bit = pick(len(data)), 1 << pick(8)
    return data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]


def _set(data: bytes, pick: Pick) -> bytes:
    at, byte = pick(len(data)), pick(256)
    return data[:at] + bytes((byte,)) + data[at + 1 :]


def _break_line(data: bytes, pick: Pick) -> bytes:
    """
    Make something else of a line's end, or a line's end of something else.
    """
    ends = (b"\r", b"\n", b"\rA", b"A\n", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"")
    found = list(re.finditer(rb"\r\n| |:", data))
    if not found:
        return data
    start, end = found[pick(len(found))].span()
    return data[:start] + ends[pick(len(ends))] + data[end:]


def _double_line(data: bytes, pick: Pick) -> bytes:
    """
    Repeat a line, there or elsewhere.
    """
    lines: list[bytes] = LINE.findall(data) or [data]
    line = lines[pick(len(lines))]
    at = data.find(lines[pick(len(lines))])
    return data[:at] + line + data[at:]


def _swap_case(data: bytes, pick: Pick) -> bytes:
    found = list(FRAMING.finditer(data))
    if not found:
        return data
    start, end = found[pick(len(found))].span()
    at = start + pick(end - start)
    return data[:at] + data[at:end].swapcase() + data[end:]


def _change_number(data: bytes, pick: Pick) -> bytes:
    found = list(NUMBER.finditer(data))
    if not found:
        return data
    start, end = found[pick(len(found))].span()
    numbers = (b"0", b"1", b"2", b"3", b"9", b"00", b"0x3", b"+3", b"-1", b"1e1", b"7fffffff", b"3 3",
               b"ffffffffffffffff", b"10000000000000000", b"9" * 20, b"3,3", b"3, 3", b"1_0", b"0.9")  # fmt: skip
    return data[:start] + numbers[pick(len(numbers))] + data[end:]


def _cut_off(data: bytes, pick: Pick) -> bytes:
    return data[: pick(len(data)) + 1]


def _splice(data: bytes, pick: Pick) -> bytes:
    """
    Go on elsewhere in the same bytes.
    """
    one, other = pick(len(data) + 1), pick(len(data) + 1)
    return data[:one] + data[other:]


Way = Callable[[bytes, Pick], bytes]
WAYS: tuple[Way, ...] = (
    _put, _put_at_border, _put_at_border, _replace, _delete, _flip, _set, _break_line, _break_line,
    _double_line, _swap_case, _change_number, _cut_off, _splice,
)  # fmt: skip

"""
Heads in the form nearly all have: cut into lines without a parser.

What every well-behaved client and server sends is a small part of what HTTP/1.1 allows: one space
after the colon, ASCII throughout, lines that end in CRLF, the whole head in one read. Such a head
is cut here, by a handful of operations that each look at all of its bytes. Whatever differs in the
least is not judged here but left to the parser (llhttp), which also reads all chunked bodies. So
everything accepted here the parser would accept too, with the same outcome (held by
`tests/fuzz`), and everything refused is refused by the parser or by `wire.message`.
"""

from __future__ import annotations

import re
from functools import lru_cache

CRLF = b"\r\n"
END = b"\r\n\r\n"

TEXT = bytes((9, *range(0x20, 0x7F)))
"""Bytes a plain line is made of: tab, space and visible ASCII."""

# The methods the parser knows and a gateway forwards without a second look
METHODS = frozenset((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"))

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t -~]*)\Z")

LONGEST_KNOWN = 4096
"""Bytes of a header section worth remembering: a thousand idle connections remember as many."""

STATUSES = 256
"""Status lines remembered with what they mean; upstreams choose the reason phrase."""


def cut_request_line(line: bytes) -> tuple[bytes, bytes] | None:
    """
    Return method and target of a request line without its CRLF; None if it is not plain.
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        return None
    method, target, version = parts
    if version != b"HTTP/1.1" or method not in METHODS or not target:
        return None
    if line.translate(None, TEXT):
        return None
    return method, target


@lru_cache(maxsize=STATUSES)
def cut_status_line(line: bytes) -> tuple[int, bytes] | None:
    """
    Return status and reason of a status line without its CRLF; None if it is not plain.
    """
    found = STATUS_LINE.match(line)
    return None if found is None else (int(found[1]), found[2])


def cut_fields(block: bytes) -> list[bytes] | None:
    """
    Return the field lines of a head, without CRLF; None if it is not plain.

    Args:
        block: From the CRLF that ends the head's first line to its empty line, included.
    """
    if not block.startswith(CRLF):
        return None
    lines = block[2:-4].split(CRLF)
    # What is left without the text must be the line ends and nothing else: as many CRs and LFs as
    # were cut away, at the start, between the lines and at the end, leave none of them bare.
    if block.translate(None, TEXT) != CRLF * (len(lines) + 2):
        return None
    return lines

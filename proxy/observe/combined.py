r"""
Requests in the Combined Log Format of Apache and nginx, for what reads nothing else.

    192.0.2.7 - ci [31/Jan/2026:07:50:52 +0000] "GET /orders/42 HTTP/1.1" 200 512 "-" "-"

The user is the caller. Referer and User-Agent are a caller's words, and stay out as the query does:
both are `-`. The version is always given as 1.1. What does not print, quotes, backslashes and blanks
of a path are written as `\xHH`, so nothing that is sent ends a field or a line.
"""

from __future__ import annotations

import re
from time import gmtime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English, whatever the locale."""

FOUL = re.compile(rb'[^!-~]|["\\]')


def stamp(second: int) -> str:
    """
    Return seconds since the epoch as the format has them, in UTC.
    """
    at = gmtime(second)
    day = f"{at.tm_mday:02d}/{MONTHS[at.tm_mon - 1]}/{at.tm_year:04d}"
    return f"{day}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"


def request(moment: str, record: Mapping[str, Any]) -> bytes:
    """
    Return the line of a request that has ended, without a line break.

    Args:
        moment: When, from `stamp`.
        record: As the JSON log has it.
    """
    address, _, port = record["client"].rpartition(":")
    host = address if address and port.isdecimal() else record["client"]
    asked = "-"
    if record["method"]:
        asked = f"{_plain(record['method'])} {_plain(record['path'] or '-')} HTTP/1.1"
    line = (
        f"{_plain(host)} - {_plain(record['caller'] or '-')} [{moment}]"
        f' "{asked}" {record["status"]} {record["bytes_out"]} "-" "-"'
    )
    return line.encode("ascii")


def _plain(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    return FOUL.sub(lambda found: b"\\x%02x" % found[0][0], raw).decode("ascii") or "-"

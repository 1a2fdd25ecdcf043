"""
What the value of a fault may be, read from the text a person writes after `NAME=`.

A `Kind` turns that text into what the fault works with, or says in words what to write instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable

# Longest hold, in seconds, and farthest a clock is set off: ten years.
LONGEST_HOLD = 3_600.0
FARTHEST_CLOCK = 3_660 * 86_400.0
LONGEST_LIFE = 366 * 86_400.0

# Shortest time between the bytes of a dripping answer, in seconds.
SHORTEST_DRIP = 0.001

# Ours: longest text of a value, in characters; a body larger than that is `token-huge`.
LONGEST_TEXT = 65_536


class FaultValueError(ValueError):
    """
    A fault's value makes no sense; the message says what to write.
    """

    def __init__(self, name: str, instead: str) -> None:
        super().__init__(f"{name}: {instead}")


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of value.

    Attributes:
        what: What it is, as descriptions call it.
        read: Returns what the text means; raises ValueError with words that say what to write.
    """

    what: str
    read: Callable[[str], object]


def _seconds(low: float, high: float, *, what: str = "seconds") -> Kind:
    def read(text: str) -> float:
        instead = f"write a number of seconds from {low:g} to {high:.0f}"
        try:
            number = float(text)
        except ValueError:
            raise ValueError(instead) from None
        if not low <= number <= high:  # also refuses nan
            raise ValueError(instead)
        return number

    return Kind(what, read)


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"write at most {LONGEST_TEXT} characters")
    return text


def _json_or_text(text: str) -> object:
    try:
        return json.loads(_text(text))
    except (ValueError, RecursionError):
        return _text(text)


def _retry_after(text: str) -> str:
    # RFC 9110 §10.2.3: seconds, or an HTTP date.
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return text
    try:
        parsed = parsedate_to_datetime(text) if text.isascii() and text.isprintable() else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValueError("write whole seconds, or a date like 'Fri, 15 Jan 2027 08:00:00 GMT'")
    return text


def _url(text: str) -> str:
    instead = "write an absolute URL, such as https://elsewhere.invalid/token"
    try:
        url = URL(text)
    except ValueError:
        raise ValueError(instead) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(instead)
    return text


HOLD = _seconds(0.0, LONGEST_HOLD)
CLOCK = _seconds(0.0, FARTHEST_CLOCK)
LIFE = _seconds(0.0, LONGEST_LIFE)
DRIP = _seconds(SHORTEST_DRIP, LONGEST_HOLD, what="seconds between bytes")
RETRY_AFTER = Kind("its Retry-After", _retry_after)
ENDPOINT = Kind("its URL", _url)
BODY = Kind("the body", _text)
TYPE = Kind("the type instead", _text)
ANYTHING = Kind("what instead, JSON or text", _json_or_text)

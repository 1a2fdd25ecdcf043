"""
Lines for a person at a terminal: one shape for requests and for everything else.

    07:50:52 200 GET /orders/42 → orders as reporter token=cached 1.5 ms
    07:50:52 info token.minted service_user=reporter seconds=0.061

What comes from outside is quoted or escaped: nothing a caller or an issuer sends moves the cursor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import TextIO

    from structlog.typing import WrappedLogger

# ECMA-48, select graphic rendition
DIM = 2
RED = 31
GREEN = 32
YELLOW = 33

LEVELS = {"debug": DIM, "info": GREEN, "warning": YELLOW, "error": RED, "critical": RED}
"""The colour of each level."""

LISTS = (list, tuple, set, frozenset)


def wants_console(stream: TextIO | None = None) -> bool:
    """
    Return whether a person reads: *stream*, or standard output, is a terminal.
    """
    return (stream or sys.stdout).isatty()


def wants_colour(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """
    Return whether colours are welcome: a terminal reads and NO_COLOR is not set (no-color.org).
    """
    return wants_console(stream) and not (os.environ if environ is None else environ).get(
        "NO_COLOR"
    )


def paint(text: str, code: int, *, colour: bool) -> str:
    """
    Return *text* in a colour, or as it is where none are welcome.
    """
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def printable(text: str) -> str:
    """
    Return *text* with everything that is not printable escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class ConsoleRenderer:
    """
    The last processor of a structlog chain: makes one line of an event, its traceback below.

    Args:
        colour: Whether to use colours.
    """

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(
        self, _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> str:
        """
        Return the line: clock, level, event, then what it says, without what it leaves open.
        """
        facts = dict(event)
        clock = facts.pop("timestamp")[11:19]
        level = facts.pop("level")
        name = facts.pop("event")
        traceback = facts.pop("exception", None)
        words = [
            paint(clock, DIM, colour=self._colour),
            paint(level, LEVELS.get(level, RED), colour=self._colour),
            printable(str(name)),
        ]
        for key, value in facts.items():
            if text := value_text(value):
                words.append(paint(f"{printable(key)}=", DIM, colour=self._colour) + text)
        line = " ".join(words)
        return f"{line}\n{_traceback(traceback)}" if traceback else line


def value_text(value: object) -> str:
    """
    Return a value as a person reads it; empty if it says nothing.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, LISTS):
        return ", ".join(text for item in value if (text := value_text(item)))
    if isinstance(value, Mapping):
        inner = {str(key): text for key, item in value.items() if (text := value_text(item))}
        return ", ".join(f"{_quoted(key)}:{text}" for key, text in inner.items())
    return _quoted(value if isinstance(value, str) else str(value))


def _quoted(text: str) -> str:
    """
    Return a word as it is; in quotes what has spaces or quotes, or would not print.
    """
    if not text.isprintable():
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text


def _traceback(text: str) -> str:
    return "\n".join(printable(line) for line in text.splitlines())

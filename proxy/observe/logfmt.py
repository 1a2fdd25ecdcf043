"""
Lines of `key=value`, as logfmt parsers read them.

    timestamp=2026-01-31T07:50:52.114Z level=info event=token.minted service_user=reporter seconds=0.061

A value stands bare if it is plain; all others are quoted as JSON quotes a text, so nothing that a
caller or an issuer sends begins another pair or another line. What is left open is left out; parts
of a structure are keys of their own, joined by dots.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = re.compile(r"[!#-<>-\[\]-~]+\Z")
"""ASCII that prints, without blanks, quotes, equals signs and backslashes."""

FOUL = re.compile(r"[^!#-<>-~]")
"""What must not stand in a key."""

LISTS = (list, tuple, set, frozenset)


def line(facts: Mapping[str, Any]) -> bytes:
    """
    Return the line of an event, in the order of its facts, without a line break.
    """
    words: list[str] = []
    for key, value in facts.items():
        kind = type(value)
        plain = kind is int or kind is float or (kind is str and PLAIN.match(value) is not None)
        if plain and key.isidentifier():  # nearly all that a request's line says
            words.append(f"{key}={value}")
        else:
            words.extend(_pairs({key: value}))
    return " ".join(words).encode("utf-8", "replace")


def _pairs(facts: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in facts.items():
        name = f"{above}{FOUL.sub('_', str(key)) or '_'}"
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{name}.")
        elif value is not None:
            yield f"{name}={_value(value)}"


def _value(value: object) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, LISTS):
        value = json.dumps([each if isinstance(each, str) else str(each) for each in value])
    return quoted(value if isinstance(value, str) else str(value))


def quoted(text: str) -> str:
    """
    Return a text as it is if that is plain; else in quotes, and in ASCII if it would not print.
    """
    if PLAIN.match(text):
        return text
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return json.dumps(text).replace("\x7f", "\\u007f")

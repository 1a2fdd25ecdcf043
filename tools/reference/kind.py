"""
A setting's type in words, from its JSON Schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PATTERNS: Final = (
    ("(ms|s|m|h)$", "time"),
    ("(B|KiB|MiB|GiB)$", "size"),
    ("/(s|m|h)$", "rate"),
    ("{64}$", "64 hex digits"),
    ("^(off|unix:", "address or `off`"),
    ("^(unix:", "address"),
    ("^(off|[Hh]", "URL or `off`"),
    ("(/[^?#]*)?$", "URL"),
    ("^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", "name"),
    ("[0-9]{4}-[0-9]{2}-[0-9]{2}", "date"),
    ("(?:/[0-9]{1,3})?$", "network"),
    ("#$%&'*+.^_`|~-]{1,200}$", "header name"),
    ("(?:\\*\\.)?[A-Za-z0-9_-]", "host"),
    ("^/(?:", "path"),
    ("{1,2000}$", "URI"),
    ("{1,500}$", "scope"),
)
"""What tells a pattern of the models, and what its values are called; the first that fits counts."""

MANY: Final = 8
"""More words to choose from than these are not listed."""


def kind(schema: Mapping[str, Any]) -> str:
    """
    Return what may be written, in a few words.
    """
    if "$ref" in schema:
        return "settings below"
    if "anyOf" in schema:
        return _choice(schema["anyOf"])
    if "oneOf" in schema:
        return "settings below" if "discriminator" in schema else "secret"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        words = schema["enum"]
        return "one of many words" if len(words) > MANY else _or([f"`{word}`" for word in words])
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    match schema.get("type"):
        case "integer":
            most = f" to {schema['maximum']}" if "maximum" in schema else " or more"
            return f"whole number, {schema['minimum']}{most}"
        case "boolean":
            return "`true` or `false`"
        case "array":
            items = schema["items"]
            inner = "HTTP methods" if "GET" in items.get("enum", ()) else kind(items)
            return f"list: {inner}"
        case "object":
            return _table(schema)
        case "number":
            return f"number, {schema['minimum']} to {schema['maximum']}"
        case _:
            pattern = schema.get("pattern", "")
            return next((word for part, word in PATTERNS if part in pattern), "text")


def _table(schema: Mapping[str, Any]) -> str:
    inside = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    values = next((each for each in inside if isinstance(each, dict)), {})
    what = kind(values) if values else "text"
    return "settings below, by name" if what == "settings below" else f"names with {what}"


def _choice(options: list[dict[str, Any]]) -> str:
    words: list[str] = []
    for option in options:
        word = kind(option)
        if option.get("type") == "array" and words and word == f"list: {words[-1]}":
            words.append("a list of them")
        elif word not in words:
            words.append(word)
    return _or(words)


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

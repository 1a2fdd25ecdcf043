"""
What is different between two configurations, for people: names, no values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.model import Settings

AT_START = ("log", "traces")
"""Sections that are read at the start only; a change of theirs asks for a restart."""

MOST = 20
"""Names that are listed of a kind; the rest are counted."""


def differences(before: Settings, after: Settings) -> tuple[str, ...]:
    """
    Return what has changed, a sentence each, in the order of the settings.
    """
    return tuple(
        f"{section}: {'; '.join(said)}{_later(section)}"
        for section in type(after).model_fields
        if (said := tuple(_said(getattr(before, section), getattr(after, section))))
    )


def _later(section: str) -> str:
    return " (from the next start on)" if section in AT_START else ""


def _said(before: object, after: object) -> Iterator[str]:
    if before == after:
        return
    old, new = _named(before), _named(after)
    if old is None or new is None:
        yield "changed" + _fields(before, after)
        return
    if added := [name for name in new if name not in old]:
        yield f"added {_listed(added)}"
    if removed := [name for name in old if name not in new]:
        yield f"removed {_listed(removed)}"
    changed = [name for name in new if name in old and old[name] != new[name]]
    if changed:
        yield f"changed {_listed([name + _fields(old[name], new[name]) for name in changed])}"
    if not added and not removed and not changed:
        yield "in another order"


def _named(value: object) -> Mapping[str, object] | None:
    """
    Return the entries of a section by name; None if it has none.
    """
    match value:
        case BaseModel() | str():
            return None
        case tuple() | list():
            return {_name(index, entry): entry for index, entry in enumerate(value)}
        case _ if hasattr(value, "items"):
            return {str(name): entry for name, entry in value.items()}
        case _:
            return None


def _name(index: int, entry: object) -> str:
    return str(getattr(entry, "name", None) or getattr(entry, "address", None) or index)


def _fields(before: object, after: object) -> str:
    """
    Name the settings of one entry that differ.
    """
    if not isinstance(before, BaseModel) or not isinstance(after, BaseModel):
        return ""
    if type(before) is not type(after):
        return " (method)"
    names = [
        name for name in type(after).model_fields if getattr(before, name) != getattr(after, name)
    ]
    return f" ({', '.join(names)})" if names else ""


def _listed(names: list[str]) -> str:
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{', '.join(names[:MOST])} and {len(names) - MOST} more"

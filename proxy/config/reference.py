"""
Names that must be declared elsewhere, looked up in the settings as they were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.draft import Finding, Place, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def written(
    data: Mapping[str, object], section: str
) -> Iterator[tuple[str | int, dict[str, object]]]:
    """
    Yield the entries of *section* that are groups of settings, by name or index.
    """
    found = data.get(section)
    pairs: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(found, dict):
        pairs = iter(found.items())
    elif isinstance(found, list):
        pairs = iter(enumerate(found))
    for key, settings in pairs:
        if isinstance(settings, dict):
            yield key, settings


def check_name(
    data: Mapping[str, object], place: Place, name: object, section: str, noun: str
) -> Iterator[Finding]:
    """
    Yield that *name*, found at *place*, is not declared.

    Args:
        data: All settings.
        place: The setting that names it.
        name: What stands there; what is no text is not judged here.
        section: Where it should be declared.
        noun: What an entry of that section is called.
    """
    known = data.get(section, {})
    if not isinstance(name, str) or not isinstance(known, dict) or name in known:
        return
    close = near(name, known)
    if close:
        yield Finding(place, f'no {noun} "{name}"', f'did you mean "{close}"?')
    elif known:
        yield Finding(place, f"no such {noun}", f"declare it under {section}")
    else:
        yield Finding(place, f"no such {noun}", f"there are none under {section} yet")

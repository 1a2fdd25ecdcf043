"""
A configuration not yet believed: its data, where each part stands, and what is wrong so far.

The same `Draft` comes out of a file (positions are lines and columns) and out of the environment
(positions are variable names), so that every check is written once.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from proxy.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

V = TypeVar("V")

Place = tuple[str | int, ...]
"""The way to a setting: names of mappings and indices (from 0) of lists."""

SECRET_SETTINGS = frozenset({"client_secret", "hmac_key", "token"})
"""Settings whose value, or whose inner names when mistyped, may be a secret."""

SECRET_FORMS = ("file", "env", "credential")
"""The one name a secret's mapping may hold; any other name under it is not shown."""

NAMED_SECTIONS = frozenset({"issuers", "service_users", "callers"})
"""Sections whose entries have names the user chose."""

# What stands in messages of names in the file: words, and the names users chose for their entries.
# Anything longer or stranger may be a pasted secret (rule of ours).
_WORD = re.compile(
    r"(?=.{1,32}$)[A-Za-z]?[a-z]+(?:[_-][A-Za-z]?[a-z]+){0,4}|(?:api|admin)_key_sha256"
)
_CHOSEN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}")


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A position in the file: line and column, both from 1.
    """

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing wrong or doubtful at one place; becomes a `Problem` once the draft adds where it is.

    Attributes:
        place: The setting.
        what: What is wrong, without the value found there.
        instead: What to write instead; empty if `what` says it.
        mark: Where it stands, if not where *place* or the nearest place around it does.
    """

    place: Place
    what: str
    instead: str = ""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """
    What is to be checked.

    Attributes:
        data: The settings as plain data, nulls left out.
        origin: What the source is called in messages.
        base: Absolute folder that relative paths start from.
        marks: Line and column per place; empty if the settings came from the environment.
        variables: Environment variable per place; empty if they came from a file.
        findings: What reading it already found.
    """

    data: dict[str, object]
    origin: str
    base: Path
    marks: Mapping[Place, Mark] = field(default_factory=dict)
    variables: Mapping[Place, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def mark(self, place: Place) -> Mark | None:
        """
        Return where *place* stands, or the nearest place around it that exists.
        """
        return _nearest(self.marks, place)

    def problem(self, finding: Finding) -> Problem:
        """
        Say *finding* with its position, or with the variable it came from.
        """
        place = self._written(finding.place)
        mark = finding.mark or self.mark(place)
        return Problem(
            _nearest(self.variables, place) or dotted(place),
            finding.what,
            instead=finding.instead,
            file=self.origin,
            line=mark.line if mark else 0,
            column=mark.column if mark else 0,
        )

    def _written(self, place: Place) -> Place:
        """
        Return *place* up to where one value stands for a list of one, which has no index.
        """
        for depth, part in enumerate(place):
            if isinstance(part, int) and not isinstance(look(self.data, place[:depth]), list):
                return place[:depth]
        return place

    def problems(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """
        Say all *findings* in the order of the file, each once.
        """
        unique = {str(problem): problem for problem in map(self.problem, findings)}
        return tuple(sorted(unique.values(), key=lambda each: (each.line, each.column, each.path)))


def dotted(place: Place) -> str:
    """
    Return *place* as people write it: `routes[2].match.path`; a name that may be a secret is `?`.
    """
    text = ""
    for depth, part in enumerate(place):
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _showable(part, place[:depth]) else "?")
    return text or "file"


def _showable(part: str, above: Place) -> bool:
    if len(above) == 1 and above[0] in NAMED_SECTIONS:
        return chosen_name(part)
    chosen = len(above) == 2 and above[0] in NAMED_SECTIONS  # an entry may be called "token"
    names = [each for each in above if isinstance(each, str)]
    if names and names[-1] in SECRET_SETTINGS and not chosen:
        return part in SECRET_FORMS
    return _WORD.fullmatch(part) is not None


def look(data: object, place: Place) -> object:
    """
    Return what stands at *place*; None if nothing does.
    """
    for part in place:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def chosen_name(name: str) -> bool:
    """
    Tell whether *name* looks like one a user chose, so that messages may show it.
    """
    return _CHOSEN.fullmatch(name) is not None


def near(name: str, known: Iterable[str]) -> str:
    """
    Return the one of *known* that *name* was probably meant to be; empty if none is close.
    """
    found = difflib.get_close_matches(name[:64], list(known), n=1, cutoff=0.7)
    return found[0] if found else ""


def _nearest(found: Mapping[Place, V], place: Place) -> V | None:
    for length in range(len(place), -1, -1):
        if place[:length] in found:
            return found[place[:length]]
    return None

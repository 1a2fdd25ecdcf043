"""
One question asked of every configuration, and one place where the answer is yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Place

Severity = Literal["high", "medium", "low", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("high", "medium", "low", "note")
"""
The worst first. high: whoever finds it can use it today. medium: one more mistake or one leak is
needed. low: worth a ticket. note: worth knowing.
"""


class Hit(NamedTuple):
    """
    A place where a rule applies.

    Attributes:
        place: The setting.
        what: What is the case; names from the configuration may stand in it, no other values.
        instead: What to write instead.
    """

    place: Place
    what: str
    instead: str


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One question.

    Attributes:
        id: `AP` and three digits. Given once: never another meaning, never used again.
        name: The same in words, for people and for SARIF.
        severity: How bad a hit is.
        title: What is the case, in general.
        why: Why it matters, in one sentence.
        look: Finds the hits, in the order of the file.
    """

    id: str
    name: str
    severity: Severity
    title: str
    why: str
    look: Callable[[Evidence], Iterator[Hit]]


def at_least(severity: Severity, bar: Severity) -> bool:
    """
    Tell whether *severity* is as bad as *bar* or worse.
    """
    return SEVERITIES.index(severity) <= SEVERITIES.index(bar)

"""
The findings of one configuration: each hit with its rule, its position, and a name that lasts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.audit.evidence import STDIN
from proxy.audit.registry import RULES
from proxy.audit.rule import SEVERITIES, Hit, Rule, Severity, at_least
from proxy.config.draft import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Mark, Place
    from proxy.config.load import Loaded
    from proxy.config.model import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One hit with all there is to say of it.

    Attributes:
        rule: The rule.
        path: Dotted path of the setting.
        what: What is the case.
        instead: What to write instead.
        line: Line from 1 of the setting, or of the nearest one around it; 0 if it has none.
        column: Column from 1; 0 likewise.
        identity: Tells this finding from the configuration's others; stays the same when lines move
            and when routes or listeners change their order.
    """

    rule: Rule
    path: str
    what: str
    instead: str
    line: int
    column: int
    identity: str

    def facts(self) -> dict[str, Any]:
        """
        Return the same for scripts.
        """
        return {
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": self.rule.severity,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "what": self.what,
            "why": self.rule.why,
            "instead": self.instead,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """
    What an audit found.

    Attributes:
        origin: What the configuration is called: the file as given, `stdin` or `environment`.
        is_file: It is a file, which findings can point into.
        findings: The worst first, then in the order of the file.
    """

    origin: str
    is_file: bool
    findings: tuple[Finding, ...]

    def counts(self) -> dict[Severity, int]:
        """
        Return how many findings there are of each severity.
        """
        counted = Counter(finding.rule.severity for finding in self.findings)
        return {severity: counted[severity] for severity in SEVERITIES}

    def reaches(self, bar: Severity) -> bool:
        """
        Tell whether a finding is as bad as *bar* or worse.
        """
        return any(at_least(finding.rule.severity, bar) for finding in self.findings)


def audit(loaded: Loaded, evidence: Evidence, rules: Iterable[Rule] = RULES) -> Report:
    """
    Ask every rule; return what they find.
    """
    found = [_finding(loaded, rule, hit) for rule in rules for hit in rule.look(evidence)]
    found.sort(key=_order)
    is_file = bool(loaded.marks) and loaded.origin != STDIN
    return Report(loaded.origin, is_file, tuple(found))


def _order(finding: Finding) -> tuple[int, int, int, str]:
    severity = SEVERITIES.index(finding.rule.severity)
    return severity, finding.line, finding.column, finding.rule.id


def _finding(loaded: Loaded, rule: Rule, hit: Hit) -> Finding:
    place = _written(loaded, hit.place)
    mark = _mark(loaded, place)
    return Finding(
        rule,
        dotted(place),
        hit.what,
        hit.instead,
        mark.line if mark else 0,
        mark.column if mark else 0,
        f"{rule.id} {dotted(_lasting(loaded.settings, place))} {_named(loaded.settings, place)}",
    )


def _written(loaded: Loaded, place: Place) -> Place:
    """
    Return *place* up to where one value stands for a list of one, which has no index.

    Without positions, as from the environment, only entries of sections have an index.
    """
    for depth, part in enumerate(place):
        if isinstance(part, int):
            indexed = place[: depth + 1] in loaded.marks if loaded.marks else depth == 1
            if not indexed:
                return place[:depth]
    return place


def _mark(loaded: Loaded, place: Place) -> Mark | None:
    spots = (loaded.marks.get(place[:length]) for length in range(len(place), -1, -1))
    return next((spot for spot in spots if spot), None)


def _lasting(settings: Settings, place: Place) -> Place:
    """
    Return *place* without what changes when entries change their order.
    """
    return place if _named(settings, place) == "" else (place[0], *place[2:])


def _named(settings: Settings, place: Place) -> str:
    """
    Return what an entry without a name of its own is known by: a route's name, where a listener
    listens; empty for all else.
    """
    match place:
        case ("routes", int(index), *_):
            return settings.routes[index].name
        case ("listen", int(index), *_):
            return str(settings.listen[index].address)
        case _:
            return ""

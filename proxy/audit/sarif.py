"""
A report as SARIF 2.1.0, which code hosts and editors show beside the lines.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0 (section numbers below are its).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from proxy.audit.registry import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.audit.report import Finding, Report
    from proxy.audit.rule import Rule, Severity

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

# §3.27.10. Hosts of code rank security findings by a number beside it (CVSS bands).
_LEVELS: Final[Mapping[Severity, tuple[str, str]]] = {
    "high": ("error", "8.0"),
    "medium": ("warning", "5.5"),
    "low": ("note", "3.0"),
    "note": ("note", "1.0"),
}

FINGERPRINT: Final = "authproxyFinding/v1"
"""Name and version of how a finding is recognised from one run to the next (§3.27.17)."""


def document(report: Report, version: str) -> dict[str, Any]:
    """
    Return the SARIF log of one run.

    Args:
        report: The findings.
        version: This program's.
    """
    places = {rule.id: index for index, rule in enumerate(RULES)}
    driver = {
        "name": "authproxy",
        "version": version,
        "rules": [_rule(rule) for rule in RULES],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, each, places[each.rule.id]) for each in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    level, number = _LEVELS[rule.severity]
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": f"{rule.title}. {rule.why}"},
        "help": {"text": rule.why},
        "defaultConfiguration": {"level": level},
        "properties": {
            "security-severity": number,
            "severity": rule.severity,
            "tags": ["security"],
        },
    }


def _result(report: Report, finding: Finding, index: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.rule.severity][0],
        "message": {"text": f"{finding.path}: {finding.what}; {finding.instead}."},
        "locations": [_location(report, finding)],
        "partialFingerprints": {FINGERPRINT: sha256(finding.identity.encode()).hexdigest()[:32]},
    }


def _location(report: Report, finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": finding.path, "kind": "member"}]
    }
    if report.is_file:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(report.origin)},
            "region": {"startLine": max(finding.line, 1), "startColumn": max(finding.column, 1)},
        }
    return location


def _uri(origin: str) -> str:
    """
    Return a file's name as a URI: relative as it was given, else from the root (§3.4.3).
    """
    if Path(origin).is_absolute():
        return Path(origin).as_uri()
    # A colon in the first segment would read as a scheme (RFC 3986 §4.2).
    return quote(str(PurePosixPath(origin)), safe="/")

from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import pytest

from proxy.audit.registry import RULES
from proxy.audit.report import Report
from proxy.audit.sarif import FINGERPRINT, document
from tests.audit.parts import BAD, CANARY


def closed(required, **properties):
    """
    Return the schema of an object with these properties and no others, as the published one is.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def several(items, least=0):
    """
    Return the schema of a list without repetitions.
    """
    return {"type": "array", "items": items, "minItems": least, "uniqueItems": True}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = closed(["text"], text=TEXT)
RULE = closed(
    ["id"],
    id=TEXT,
    name={"type": "string", "pattern": "^([A-Z][a-z]+)+$"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=closed([], level=LEVEL),
    properties={"type": "object", "properties": {"tags": several(TEXT)}},
)
PHYSICAL = closed(
    ["artifactLocation"],
    artifactLocation=closed(
        [], uri={"type": "string", "pattern": "^(file:///|[^:/ ][^: ]*$)[^ ]*$"}
    ),
    region=closed([], startLine=COUNT, startColumn=COUNT),
)
LOGICAL = closed([], fullyQualifiedName=TEXT, kind=TEXT)
RESULT = closed(
    ["message"],
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=several(closed([], physicalLocation=PHYSICAL, logicalLocations=several(LOGICAL)), 1),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
)
RUN = closed(
    ["tool"],
    tool=closed(["driver"], driver=closed(["name"], name=TEXT, version=TEXT, rules=several(RULE))),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": RESULT},
)
SARIF = closed(
    ["version", "runs"],
    **{"$schema": {"type": "string"}, "version": {"const": "2.1.0"}, "runs": several(RUN)},
)
"""What SARIF 2.1.0 says of the properties used here (§3.13 to §3.50)."""


def test_it_is_sarif(bad):
    """
    Shape and required properties are those of SARIF 2.1.0.
    """
    jsonschema.validate(json.loads(json.dumps(document(bad, "1.2.3"))), SARIF)


def test_each_result_points_at_its_rule_and_line(bad):
    """
    Every finding is a result with its rule, its line and column, and its setting.
    """
    (run,) = document(bad, "1.2.3")["runs"]
    rules = run["tool"]["driver"]["rules"]

    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert len(run["results"]) == len(bad.findings) > 40
    for result, finding in zip(run["results"], bad.findings, strict=True):
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule.id
        assert (region["startLine"], region["startColumn"]) == (finding.line, finding.column)
        assert location["logicalLocations"][0]["fullyQualifiedName"] == finding.path
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "proxy.yaml"


def test_fingerprints_outlive_an_edit(audited, bad):
    """
    Lines above, and another order of routes, change no fingerprint; no two are the same.
    """
    head, routes = BAD.split("routes:\n")
    first, *rest = ("\n" + routes).split("\n  - ")[1:]
    moved = "# one line more\n" + head + "routes:\n"
    moved += "".join(f"  - {each.rstrip()}\n" for each in (*rest, first))

    def fingerprints(report: Report) -> list[str]:
        results = document(report, "1")["runs"][0]["results"]
        return sorted(result["partialFingerprints"][FINGERPRINT] for result in results)

    before, after = fingerprints(bad), fingerprints(audited(moved, mode=0o660))

    assert before == after
    assert len(set(before)) == len(before)


def test_no_secret_is_in_it(bad):
    """
    Neither what stands in the file nor what it points at.
    """
    assert CANARY not in json.dumps(document(bad, "1"))
    assert CANARY not in repr(bad)


@pytest.mark.parametrize(
    ("origin", "uri"),
    [
        ("proxy.yaml", "proxy.yaml"),
        ("./deploy/my proxy.yaml", "deploy/my%20proxy.yaml"),
        ("../proxy.yaml", "../proxy.yaml"),
        ("c:proxy.yaml", "c%3Aproxy.yaml"),
        ("/etc/authproxy/proxy.yaml", "file:///etc/authproxy/proxy.yaml"),
        ("naïve.yaml", "na%C3%AFve.yaml"),
    ],
)
def test_a_file_is_a_uri(bad, origin, uri):
    """
    Relative names stay relative, so that a code host finds the file in the repository.
    """
    result = document(Report(origin, is_file=True, findings=bad.findings), "1")["runs"][0][
        "results"
    ][0]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_without_a_file_there_is_no_line(bad):
    """
    Standard input and the environment have settings, and no place in a repository.
    """
    log = document(Report("stdin", is_file=False, findings=bad.findings), "1")

    jsonschema.validate(log, SARIF)
    assert "physicalLocation" not in log["runs"][0]["results"][0]["locations"][0]

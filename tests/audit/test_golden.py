from __future__ import annotations

from collections import Counter

from proxy.audit.registry import RULES
from tests.audit.parts import BAD, CASES


def test_every_rule_finds_something(bad, audited):
    """
    The bad configuration is bad in every way there is a rule for, its admin listener in turns.
    """
    admin = "admin: 0.0.0.0:9090"
    keyed = audited(BAD.replace(admin, f"{admin}\nadmin_key_sha256: {'ab' * 32}"), mode=0o660)
    local = audited(BAD.replace(admin, "admin: 127.0.0.1:9090"), mode=0o660)
    reports = (bad, keyed, local)

    found = {finding.rule.id for report in reports for finding in report.findings}

    assert found == {rule.id for rule in RULES}


def test_the_findings_are_these(bad):
    """
    Each finding stands at its line and in these words, the worst first.
    """
    lines = [
        f"{each.rule.severity} {each.rule.id} {each.line}:{each.column} {each.path}  {each.what}; {each.instead}"
        for each in bad.findings
    ]

    assert lines == (CASES / "bad.txt").read_text().splitlines()


def test_each_finding_is_told_apart(bad):
    """
    No two findings have one identity.
    """
    counted = Counter(finding.identity for finding in bad.findings)

    assert [identity for identity, count in counted.items() if count > 1] == []

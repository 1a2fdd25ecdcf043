"""
The golden cases in tests/cases/config: input, a line of dashes, what is said about it.

A line per problem; `accepted` and a `warning` line each if there is none. A new case is a new file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.errors import ConfigError

CASES = sorted((Path(__file__).parents[1] / "cases" / "config").glob("*.case"))
NOW = 1_800_000_000.0


def said(path: Path, environ) -> str:
    """
    Return all that is said about the file at *path*.
    """
    try:
        loaded = load(path, environ, now=NOW)
    except ConfigError as error:
        return str(error)
    return "\n".join(["accepted", *(f"warning  {warning}" for warning in loaded.warnings)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_configuration_is_judged_in_these_words(case, folder, environ, canary, monkeypatch):
    """
    Every problem is told at once, at its position, in the words of the case, without a secret.
    """
    text, expected = case.read_text().split("\n----------\n")
    monkeypatch.chdir(folder)
    Path("proxy.yaml").write_text(text)

    told = said(Path("proxy.yaml"), environ)

    assert told == expected.strip("\n")
    assert canary not in told


def test_there_are_enough_cases():
    """
    The cases are found: a glob that matches nothing would pass every test of its own.
    """
    assert len(CASES) >= 25

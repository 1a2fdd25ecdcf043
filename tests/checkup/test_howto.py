from __future__ import annotations

import re
from pathlib import Path

import pytest

import proxy

PACKAGE = Path(proxy.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "howto" / "check-online.md").read_text()

SAID_IN = (
    "checkup/course.py",
    "checkup/diagnosis.py",
    "checkup/verdict.py",
    "checkup/way.py",
    "core/key.py",
    "core/refusal.py",
    "tokens/line.py",
    "tokens/metadata.py",
)


def findings():
    """
    Return the phrases the page's table of findings quotes.
    """
    table = PAGE.partition("## What it finds")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    return [phrase for row in rows[2:] for phrase in re.findall("`([^`]+)`", row[2])]


@pytest.mark.parametrize("phrase", findings())
def test_the_page_quotes_what_is_said(phrase):
    """
    A finding a reader searches the page for stands there as it is printed.
    """
    source = "\n".join((PACKAGE / name).read_text() for name in SAID_IN)
    joined = re.sub(r'"\s*\n\s*f?"', "", source)

    assert phrase in joined


def test_the_table_is_found():
    """
    The page has a table of findings.
    """
    assert len(findings()) > 20

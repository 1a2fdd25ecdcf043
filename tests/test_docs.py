"""
What the documents say is there, is there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.observe.events import EVENTS

ROOT = Path(__file__).parent.parent
TOKENS = (ROOT / "docs/explanation/tokens.md").read_text()
THREATS = (ROOT / "docs/explanation/threat-model.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TOKENS + THREATS)))
PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def test_every_event_is_told_as_it_is_declared():
    """
    The table of events is the registry's, row by row.
    """
    rows = [f"| `{event.name}` | {event.level} | {event.help} |" for event in EVENTS]

    assert re.findall(r"^\| `\w+\.\w+` \|.*$", TOKENS, re.MULTILINE) == rows


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name for _, name in TESTS])
def test_every_test_that_is_named_exists(file, name):
    """
    The tables of what is tested name tests that are there.
    """
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_within_the_project_leads_somewhere(page):
    """
    A file that was moved takes its links along.
    """
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in inside if not (ROOT / page.parent / link).exists()] == []

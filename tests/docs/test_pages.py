"""
What the documents say is there, is there.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest

from proxy.cli.command import VERBS, main
from proxy.config.words import SECTIONS
from proxy.observe.events import EVENTS
from proxy.observe.metrics import FAMILIES
from tools.reference.events import groups

ROOT = Path(__file__).parents[2]
TOKENS = (ROOT / "docs/explanation/tokens.md").read_text()
THREATS = (ROOT / "docs/explanation/threat-model.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TOKENS + THREATS)))
PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
DOCS = [page for page in PAGES if page.parts[0] == "docs"]


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


@cache
def marks(page: Path) -> frozenset[str]:
    """
    Return what a link to a page may say behind its #: its headings as GitHub writes them, and its
    own marks.
    """
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return frozenset((*slugs, *re.findall(r'<a id="([^"]+)">', text)))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_within_the_project_leads_somewhere(page):
    """
    A file that was moved takes its links along, and so does a heading.
    """
    text = re.sub(
        r"^ *```.*?^ *```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL
    )
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, mark = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = ROOT / page.parent / path if path else ROOT / page
        if not target.exists() or (mark and mark not in marks(target.resolve())):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_verb_and_option_a_page_names_exists(page):
    """
    `authproxy VERB --option`, in a sentence or a block, is something that can be typed.
    """
    unknown = []
    for verb, rest in re.findall(r"\bauthproxy ([a-z]+)\b([^`\n|;#]*)", _code(page)):
        if verb not in VERBS:
            unknown.append(verb)
            continue
        command = main.get_command(click.Context(main), verb)
        assert command is not None
        if verb in {"curl", "exec"}:
            continue  # what follows may be another program's
        known = {"--help", *(option for each in command.params for option in each.opts)}
        unknown += [
            f"{verb} {each}" for each in re.findall(r"(?<!\S)--[a-z-]+", rest) if each not in known
        ]

    assert unknown == []


def _code(page: Path) -> str:
    """
    Return a page's inline code and commands.
    """
    text = (ROOT / page).read_text()
    fenced = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    bare = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    typed = [line for line in lines if re.match(r"\s*(\$ )?authproxy ", line)]
    return "\n".join([*typed, *re.findall(r"`([^`]+)`", bare)])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_setting_and_metric_a_page_names_exists(page):
    """
    `limits.body` or `authproxy_mints_total` in a sentence is what the program calls it.
    """
    text = (ROOT / page).read_text()
    bare = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    models = {place[-1]: model for place, model in SECTIONS.items() if place and place[-1] != "*"}
    settings = re.findall(r"`((?:limits|pools|timeouts|log|traces|shutdown)\.[a-z_]+)", bare)
    metrics = re.findall(r"\b(?:authproxy|http_server|http_client)_[a-z_]+\b", text)
    declared = {event.name for group in groups().values() for event in group}
    known = {family.name for family in FAMILIES}

    unknown = [
        setting
        for setting in sorted(set(settings) - declared)
        if setting.partition(".")[2] not in models[setting.partition(".")[0]].model_fields
    ]
    assert unknown == []
    assert {re.sub(r"_(count|sum|bucket)$", "", name) for name in metrics} - known == set()


def test_every_page_is_reached_from_the_index():
    """
    Whoever begins at docs/README.md finds every page.
    """
    reached, ahead = set(), [Path("docs/README.md")]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#:\s]+\.md)", (ROOT / page).read_text())
        ahead += [(ROOT / page.parent / link).resolve().relative_to(ROOT) for link in links]

    assert [page for page in DOCS if page not in reached] == []

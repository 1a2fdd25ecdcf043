from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import click
import pytest

from proxy.admin.server import Admin
from proxy.cli.command import VERBS, main
from proxy.config import environment as variables
from proxy.config.schema import json_schema
from proxy.core.problem import PROXY_STATUS
from proxy.observe.access import no_request
from proxy.observe.metrics import FAMILIES
from tools.reference import environment, errors, events
from tools.reference.__main__ import FOLDER, PAGES
from tools.reference.advice import ADVICE

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "proxy").rglob("*.py"))
README = (ROOT / "README.md").read_text()

LOGGING = frozenset(
    ("debug", "info", "warning", "error", "exception", "tell", "_tell", "on_event", "_on_event")
)
"""Functions that take an event's name first."""


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_reference_says_what_the_program_says(name):
    """
    A page that has drifted from the program is made anew.
    """
    path = FOLDER / name

    assert path.exists(), "run make docs"
    assert path.read_text() == PAGES[name](), "run make docs"


def test_the_folder_holds_nothing_else():
    """
    A page nobody makes any more is gone; three are written by hand.
    """
    by_hand = {"admin.md", "admin-api.yaml", "glossary.md"}

    assert {path.name for path in FOLDER.iterdir()} == {*PAGES, *by_hand}


def test_every_path_of_the_admin_listener_is_told():
    """
    What can be asked of a running proxy is on the page, and nothing else is.
    """
    page = (FOLDER / "admin.md").read_text()
    some: Any = object()
    admin = Admin(some, some, some, switch=some, reloads=some, loaded=some)
    there = {
        (route.method, route.resource.canonical)
        for route in admin.application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }

    told = set(re.findall(r"`(GET|POST) (/[^`?]*)`", page))

    assert told | {("GET", "/")} == there


def logged() -> dict[str, str]:
    """
    Return every event's name that stands in the source, with a file that has it.
    """
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for text in names(node):
                found[text] = str(path.relative_to(ROOT))
    return found


def names(node: ast.AST) -> list[str]:
    """
    Return the names of events a call, a constant EVENT or an argument `event` holds.
    """
    held: list[ast.AST] = []
    if isinstance(node, ast.Call):
        called = node.func
        last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        held += [*node.args[:1]] if last in LOGGING else []
        held += [word.value for word in node.keywords if word.arg == "event"]
    if isinstance(node, ast.Assign) and any(
        getattr(target, "id", "") == "EVENT" for target in node.targets
    ):
        held.append(node.value)
    if isinstance(node, ast.FunctionDef) and any(
        argument.arg == "event" for argument in node.args.kwonlyargs
    ):
        held += [default for default in node.args.kw_defaults if default is not None]
    texts = [
        each.value
        for top in held
        for each in ast.walk(top)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return [text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)]


def test_every_event_that_is_logged_is_declared():
    """
    Whatever the log may say stands in observe.events, and nothing else stands there.
    """
    declared = [event.name for group in events.groups().values() for event in group]
    found = logged()

    assert {
        each: where for each, where in found.items() if each not in {*declared, "credential.used"}
    } == {}
    assert len(declared) == len(set(declared))
    text = "\n".join(path.read_text() for path in SOURCES if path.name != "events.py")
    assert [name for name in declared if f'"{name}"' not in text] == []


def test_every_key_of_a_requests_line_is_told():
    """
    The keys of request.done and credential.used are those the program writes, in its order.
    """
    always = list(no_request("", client="", status=400, error=""))
    account = (ROOT / "proxy" / "account.py").read_text()
    audited = (ROOT / "proxy" / "audited.py").read_text().partition("def _line")[2]
    audited = audited.partition("\n\n\n")[0]

    assert [key for key in events.DONE if key in always] == always
    assert set(re.findall(r'(?:line\[|^ +)"(\w+)"[\]:]', account, re.MULTILINE)) == set(events.DONE)
    assert re.findall(r'^ +"(\w+)":', audited, re.MULTILINE) == list(events.USED)


def test_every_error_code_has_advice():
    """
    Whoever sees a code finds what to do about it; no advice outlives its code.
    """
    assert set(errors.codes()) == set(ADVICE)
    assert set(PROXY_STATUS) < set(ADVICE)


@pytest.mark.parametrize("code", ADVICE)
def test_advice_is_sentences(code):
    """
    Each tells the operator something; a caller too, where there is one.
    """
    advice = ADVICE[code]
    said = (advice.meaning, advice.operator, *([advice.caller] if advice.caller else []))

    assert all(len(each) > 8 and each.endswith(".") for each in said)
    assert bool(advice.caller) is (code in PROXY_STATUS)


def test_every_variable_is_told():
    """
    Each AUTHPROXY_ variable the program looks at is on the page, in the right half.
    """
    text = "\n".join(path.read_text() for path in SOURCES)
    read = set(re.findall(r'"(AUTHPROXY_[A-Z0-9_]*[A-Z0-9])"', text))

    assert set(environment.ALONE) == set(variables.VARIABLES)
    assert {*environment.ALONE, *environment.ALWAYS, *environment.SET} == read
    assert set(variables.KNOWN) == read
    assert [name for name in environment.OTHERS if f'"{name}"' not in text] == []


def test_every_setting_metric_verb_and_option_is_in_the_reference():
    """
    Nothing can be written, scraped or typed that is not documented.
    """
    configuration, metrics, commands = (
        PAGES[name]() for name in ("configuration.md", "metrics.md", "commands.md")
    )
    schema = json_schema()
    settings = {
        name for group in (schema, *schema["$defs"].values()) for name in group["properties"]
    }
    options = {
        option
        for verb in VERBS
        for parameter in _command(verb).params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }

    assert [name for name in settings if f"`{name}`" not in configuration] == []
    assert [each.name for each in FAMILIES if f"`{each.name}`" not in metrics] == []
    assert [verb for verb in VERBS if f"\n## {verb}\n" not in commands] == []
    assert [each for each in options if not re.search(rf"[` ]{each}\b", commands)] == []


def _command(verb: str) -> click.Command:
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    return command


def test_every_group_of_settings_has_an_example():
    """
    Whoever looks a top-level setting up can copy it.
    """
    schema = json_schema()
    page = PAGES["configuration.md"]()
    groups = [name for name in schema["properties"] if name not in {"version", "service_users"}]
    methods = re.findall(r"^## service_users\.NAME, method: (\w+)$", page, re.MULTILINE)

    assert [each for each in groups if not re.search(rf"^{each}:", page, re.MULTILINE)] == []
    assert len(methods) > 4
    assert [
        each for each in methods if not re.search(rf"^    method: {each}$", page, re.MULTILINE)
    ] == []


def test_the_readme_names_every_verb_and_every_code():
    """
    The two tables of the first page are complete.
    """
    commands = README.partition("## Commands")[2].partition("\n## ")[0]
    table = README.partition("## What a caller gets")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", table))

    assert [verb for verb in VERBS if not re.search(rf"`(?:authproxy )?{verb}\b", commands)] == []
    assert set(PROXY_STATUS) - told == set()


def test_the_readme_names_no_event_that_is_not_logged():
    """
    Whoever greps the log for an event of the first page finds it.
    """
    section = README.partition("## The log")[2].partition("\n## ")[0]
    declared = {event.name for group in events.groups().values() for event in group}
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", section)) - {"request.done"}

    assert len(named) > 10
    assert named - declared == set()

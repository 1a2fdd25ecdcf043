"""
The dashboard and the alert rules: they ask for metrics that there are, by labels those have.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from proxy.observe.metrics import FAMILIES

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana/authproxy.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

OF_SCRAPING = {"job", "instance"}
"""Labels that Prometheus adds to all."""

OTHERS = dict.fromkeys(
    (
        "up",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ),
    OF_SCRAPING,
)
"""What Prometheus itself and prometheus_client have."""

EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    },
    **{note["name"]: note["expr"] for note in DASHBOARD["annotations"]["list"]},
}


def series() -> dict[str, set[str]]:
    """
    Return every series' name with its labels.
    """
    found = dict(OTHERS)
    for family in FAMILIES:
        labels = {*family.labels} | OF_SCRAPING
        if family.kind == "histogram":
            found |= {f"{family.name}_{part}": labels for part in ("count", "sum")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name] = labels
    return found


SERIES = series()


def parsed(expression: str) -> promql_parser.Expr:
    """
    Return an expression, with Grafana's variables filled in.
    """
    return promql_parser.parse(expression.replace("$__rate_interval", "5m").replace("$", ""))


def used(expression: promql_parser.Expr) -> tuple[dict[str, set[str]], set[str]]:
    """
    Return the labels each series is chosen by, and those that are summed up by.
    """
    chosen: dict[str, set[str]] = {}
    kept: set[str] = set()

    def visit(part: promql_parser.Expr) -> bool:
        if isinstance(part, promql_parser.MatrixSelector):
            part = part.vector_selector
        if isinstance(part, promql_parser.VectorSelector):
            names = {matcher.name for matcher in part.matchers.matchers}
            chosen.setdefault(part.name or "", set()).update(names)
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            kept.update(part.modifier.labels)
        return True

    promql_parser.walk(expression, visit)
    return chosen, kept


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(expression):
    """
    Its metrics are declared, or the process's, and have the labels it names.
    """
    chosen, kept = used(parsed(expression))

    assert chosen
    assert chosen.keys() <= SERIES.keys()
    for name, labels in chosen.items():
        assert labels <= SERIES[name]
    assert kept <= set.union(*(SERIES[name] for name in chosen))


def test_a_metric_that_is_not_there_is_noticed():
    """
    The check of the expressions sees names and labels inside of everything.
    """
    chosen, kept = used(
        parsed('sum by (b) (rate(gone{a="1"}[5m])) / on (c) (up unless gone{d!=""})')
    )

    assert chosen == {"gone": {"a", "d"}, "up": set()}
    assert kept == {"b"}


def test_every_metric_is_on_the_dashboard():
    """
    What is counted can be seen.
    """
    shown = {name for text in EXPRESSIONS.values() for name in used(parsed(text))[0]}
    parts = re.compile(r"_(?:bucket|count|sum)$")

    assert {family.name for family in FAMILIES} <= {parts.sub("", name) for name in shown}


def test_legends_and_words_name_labels_that_are_left():
    """
    A legend or an alert's text fills in labels its expression has.
    """
    legends = [
        (target["expr"], target["legendFormat"]) for panel in PANELS for target in panel["targets"]
    ]
    words = [(rule["expr"], " ".join(rule["annotations"].values())) for rule in RULES]
    for expression, text in legends + words:
        chosen, kept = used(parsed(expression))
        left = kept or set.union(*(SERIES[name] for name in chosen))
        named = re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", text)
        assert {*named} - {"value"} <= left, text


def test_panels_are_whole():
    """
    Each has an id of its own, words, and a place that is nobody else's.
    """
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(set(ids)) == len(ids)
    assert len(set(taken)) == len(taken)
    assert all(panel["title"] and panel["description"] for panel in PANELS)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$(\w+)", " ".join(EXPRESSIONS.values()))) <= variables


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule):
    """
    A severity, a summary, and a sentence or more of what to look at.
    """
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 80


@pytest.mark.heavy
def test_prometheus_takes_the_rules_and_they_fire_when_they_should():
    """
    Its own check, and its own test of what fires over made-up series.
    """
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    for words in (
        ["check", "rules", DEPLOY / "prometheus/alerts.yaml"],
        ["test", "rules", Path(__file__).parent / "alerts.test.yaml"],
    ):
        made = subprocess.run(
            ["promtool", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
        )
        assert made.returncode == 0, made.stdout + made.stderr


def test_every_alert_is_seen_to_fire():
    """
    The rules' own test has each of them.
    """
    text = (Path(__file__).parent / "alerts.test.yaml").read_text()

    assert set(re.findall(r'alertname="(\w+)"', text)) == {rule["alert"] for rule in RULES}

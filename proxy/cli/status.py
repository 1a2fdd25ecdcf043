"""
`authproxy status`: how a running proxy fares, for people.

It draws what /status.json tells and leaves out what is not told: a proxy of another version may say
less, or more.
"""

from __future__ import annotations

import math
import shutil
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from proxy.cli.admin import (
    admin_address,
    admin_key,
    answer,
    as_object,
    ask,
    key_option,
    line,
    no_answer,
)
from proxy.cli.table import bar, narrowed, rows, span
from proxy.cli.terminal import config_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.network import Address
    from proxy.core.secret import Secret

INTERVAL = 2.0
"""Seconds between two looks with --watch."""

CLEAR = "\x1b[H\x1b[2J"
"""ECMA-48: cursor home, erase the display."""

NOTABLE = 0.05
"""The share of errors from which it is red."""

COLOURS = {"ready": "green", "idle": "green", "cold": None, "stale": "yellow"}
"""Of the conditions; red for all others."""


@click.command("status")
@config_option
@key_option
@click.option("--json", "as_json", is_flag=True, help="Print all the proxy tells, as JSON.")
@click.option("--watch", is_flag=True, help="Draw it anew every 2 s, until Ctrl-C.")
@click.pass_context
def command(
    ctx: click.Context, config: str | None, key_file: str | None, *, as_json: bool, watch: bool
) -> None:
    """
    Show how a running proxy fares: its service users and their tokens, its routes, what is wrong.

    \b
      authproxy status --watch
      authproxy status --json | jq '.service_users[] | select(.condition != "ready")'

    The address is the configuration's `admin`. Exit code 1 if nobody answers there.
    """
    if as_json and watch:
        raise click.UsageError("--json prints once, --watch draws: use one of them")
    address, key = admin_address(config, lenient=True), admin_key(key_file)
    if watch:
        _watch(address, key)
        return
    status, text = answer(ctx, address, "/status.json", key=key)
    told = as_object(text)
    if status != 200 or not told:
        click.secho(_refused(status, text), fg="red", err=True)
        ctx.exit(1)
    click.echo(text.rstrip() if as_json else "\n".join(picture(told)))


def _watch(address: Address, key: Secret | None) -> None:
    """
    Draw again and again, also while nobody answers: it may come back.
    """
    start = CLEAR if sys.stdout.isatty() else ""
    never = threading.Event()
    while True:
        try:
            status, text = ask(address, "/status.json", key=key)
            told = as_object(text)
            lines = [*picture(told)] if status == 200 and told else [_refused(status, text)]
        except OSError as error:
            lines = [click.style(no_answer(address, error), fg="red")]
        click.echo(start + "\n".join(lines))
        try:
            never.wait(INTERVAL)
        except KeyboardInterrupt:
            return


def _refused(status: int, text: str) -> str:
    hint = "; write --key-file" if status == 401 else ""
    return f"no status ({status}): {line(text)}{hint}"


def picture(told: dict[str, Any]) -> Iterator[str]:
    """
    Yield the lines for what a proxy tells.
    """
    yield _first(told)
    config = _object(told.get("config"))
    if config:
        yield _config(config, told.get("at"))
    users = [_object(each) for each in _items(told, "service_users")]
    for trouble in _items(told, "troubles") if "troubles" in told else _errors(users):
        yield click.style(f"! {line(str(trouble))}", fg="yellow")
    if users:
        yield ""
        head = ("SERVICE USER", "CONDITION", "TOKEN", "", "RENEWS", "MINTS")
        yield rows(head, [_user(user) for user in users], right=(5,))
    routes = [_object(each) for each in _items(told, "routes")]
    if routes:
        yield ""
        yield from _routes(routes)


def _first(told: dict[str, Any]) -> str:
    bad = told.get("draining") or not told.get("ready")
    state = (
        "shutting down" if told.get("draining") else "ready" if told.get("ready") else "not ready"
    )
    parts = [click.style(state, fg="red" if bad else "green", bold=True)]
    if told.get("version"):
        parts.insert(0, f"authproxy {_word(told['version'])}")
    summary = _word(told.get("summary"))
    if summary and summary.lower().rstrip(".") != state:
        parts.append(summary)
    for name, noun in (("active", "requests now"), ("connections", "connections")):
        if isinstance(told.get(name), int):
            parts.append(f"{told[name]} {noun}")
    return "  ".join(parts)


def _config(config: dict[str, Any], now: object) -> str:
    last = _object(config.get("last"))
    at = last.get("at")
    ago = f" {span(now - at)} ago" if _number(now) and _number(at) else ""
    outcome = _word(last.get("outcome"))
    text = f"{_word(config.get('origin'))}: generation {config.get('generation')}, {outcome}{ago}"
    return click.style(text, fg="red") if outcome == "rejected" else click.style(text, dim=True)


def _user(user: dict[str, Any]) -> tuple[str, ...]:
    condition = _word(user.get("condition"))
    left, age, renews = user.get("expires_in"), user.get("age"), user.get("renews_in")
    life, text = "", "no end" if user.get("fingerprint") else "none"
    if _number(left):
        text = span(left) if left > 0 else "ended"
        if _number(age) and left + age > 0:
            share = left / (left + age)
            life = click.style(bar(share), fg="green" if share > 0.2 else "yellow")
    return (
        _word(user.get("name")),
        click.style(condition, fg=COLOURS.get(condition, "red")),
        life,
        text,
        _renewal(user, renews),
        str(user.get("mints", "")),
    )


def _renewal(user: dict[str, Any], renews: object) -> str:
    """
    Return when a token is renewed: not while nobody uses it.
    """
    if _number(renews):
        return f"in {span(renews)}" if renews > 0 else "now"
    ends = _number(user.get("expires_in")) and user.get("condition") == "ready"
    if user.get("method") == "personal_access_token":  # nothing is minted in its place
        return ""
    return "once used" if ends else ""


def _errors(users: list[dict[str, Any]]) -> list[str]:
    """
    Return why service users have no token, for a proxy that tells no troubles.
    """
    return [f"{user.get('name')}: {user['last_error']}" for user in users if user.get("last_error")]


def _routes(routes: list[dict[str, Any]]) -> Iterator[str]:
    """
    Yield the routes: where requests were told of, those that had some.
    """
    busy = [route for route in routes if route.get("requests")]
    shown = busy or routes[:10]
    head = ("ROUTE", "MATCHES", "AS", "RATE", "ERRORS", "P50", "P90", "P99")
    table = [_route(route) for route in shown]
    if sys.stdout.isatty():
        table = narrowed(head, table, 1, shutil.get_terminal_size().columns)
    yield rows(head, table, right=(3, 4, 5, 6, 7))
    more = len(routes) - len(shown)
    if more > 0:
        quiet = " without requests" if busy else ""
        yield click.style(f"and {more} more{quiet}", dim=True)


def _route(route: dict[str, Any]) -> tuple[str, ...]:
    share = route.get("error_share")
    errors = f"{share:.1%}" if _number(share) else ""
    rate = route.get("rate")
    return (
        _word(route.get("name")) or "(no route)",
        _word(route.get("match")),
        _word(route.get("service_user")),
        f"{rate:.1f}/s" if _number(rate) else "",
        click.style(errors, fg="red") if _number(share) and share >= NOTABLE else errors,
        *(_milliseconds(route.get(name)) for name in ("p50", "p90", "p99")),
    )


def _milliseconds(seconds: object) -> str:
    return f"{seconds * 1e3:.1f} ms" if _number(seconds) else ""


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _word(value: object) -> str:
    """
    Return a text of the proxy's, fit for a line that is not wider than most terminals.
    """
    text = line(value) if isinstance(value, str) else ""
    most = max(shutil.get_terminal_size().columns, 60)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(told: dict[str, Any], name: str) -> list[Any]:
    value = told.get(name)
    return value if isinstance(value, list) else []

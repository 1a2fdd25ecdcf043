"""
`authproxy check`: is this configuration right?
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.terminal import config_option, load_config, run_async, show_problems
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.load import Loaded
    from proxy.core.credential import ServiceUser
    from proxy.problem import Problem


@click.command("check")
@config_option
@click.option(
    "--online",
    is_flag=True,
    help="Ask the issuers too: mint for each service user, say what fails.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def command(ctx: click.Context, config: str | None, *, online: bool, as_json: bool) -> None:
    """
    Validate the configuration: every problem at once, each with its place and what to write.

    Exit code 0 if it can be used, 2 if not. Nothing is sent anywhere, unless with --online: then
    the issuers are asked whether each service user can get a token, and exit code 1 says that one
    cannot.
    """
    users: tuple[ServiceUser, ...] = ()
    try:
        loaded = load_config(config)
        if online:
            from proxy.cli.online import read_users

            users = read_users(loaded)
    except ConfigError as error:
        if as_json:
            click.echo(_json(ok=False, problems=error.problems, warnings=()))
        else:
            show_problems(error.problems)
            count = len(error.problems)
            click.secho(f"{count} problem{'s' if count > 1 else ''}", fg="red", err=True)
        ctx.exit(2)
    if not as_json:
        _show_good(loaded)
    if online:
        ctx.exit(_ask(loaded, users, as_json=as_json))
    if as_json:
        click.echo(_json(ok=True, problems=(), warnings=loaded.warnings))


def _show_good(loaded: Loaded) -> None:
    for problem in loaded.warnings:
        click.secho(f"warning  {problem}", fg="yellow", err=True)
    settings = loaded.settings
    parts = (
        (len(settings.listen), "listener"),
        (len(settings.issuers), "issuer"),
        (len(settings.service_users), "service user"),
        (len(settings.routes), "route"),
    )
    counts = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in parts)
    click.echo(f"{click.style('ok', fg='green')}  {loaded.origin}: {counts}")


def _ask(loaded: Loaded, users: tuple[ServiceUser, ...], *, as_json: bool) -> int:
    """
    Ask the issuers, print what they say, return the exit code.
    """
    from proxy.cli.online import ask_all, facts, nothing, sheet, sum_up

    if as_json:
        done = run_async(ask_all(loaded, users, nothing, nothing))
    else:
        paper = sheet()
        done = run_async(ask_all(loaded, users, paper.begin, paper.tell))
    well = all(checked.ok for checked in done)
    if as_json:
        rows = [facts(checked) for checked in done]
        click.echo(_json(ok=well, problems=(), warnings=loaded.warnings, online=rows))
    else:
        click.echo(f"\n{sum_up(done)}")
    return 0 if well else 1


def _json(
    *,
    ok: bool,
    problems: Iterable[Problem],
    warnings: Iterable[Problem],
    online: list[dict[str, Any]] | None = None,
) -> str:
    def rows(found: Iterable[Problem]) -> list[dict[str, object]]:
        keys = ("file", "line", "column", "path", "what", "instead")
        return [{key: getattr(problem, key) for key in keys} for problem in found]

    said: dict[str, Any] = {"ok": ok, "problems": rows(problems), "warnings": rows(warnings)}
    return json.dumps(said if online is None else said | {"online": online}, indent=2)

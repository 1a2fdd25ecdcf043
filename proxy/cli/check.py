"""
`authproxy check`: is this configuration right?
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from proxy.cli.terminal import config_option, load_config, show_problems
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.errors import Problem


@click.command("check", short_help="Say everything that is wrong with the configuration.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def command(ctx: click.Context, config: str | None, *, as_json: bool) -> None:
    """
    Validate the configuration: every problem at once, each with its place and what to write.

    Exit code 0 if it can be used, 2 if not. Nothing is sent anywhere.
    """
    try:
        loaded = load_config(config)
    except ConfigError as error:
        if as_json:
            click.echo(_json(ok=False, problems=error.problems, warnings=()))
        else:
            show_problems(error.problems)
            count = len(error.problems)
            click.secho(f"{count} problem{'s' if count > 1 else ''}", fg="red", err=True)
        ctx.exit(2)
    if as_json:
        click.echo(_json(ok=True, problems=(), warnings=loaded.warnings))
        return
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


def _json(*, ok: bool, problems: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    def rows(found: Iterable[Problem]) -> list[dict[str, object]]:
        keys = ("file", "line", "column", "path", "what", "instead")
        return [{key: getattr(problem, key) for key in keys} for problem in found]

    return json.dumps({"ok": ok, "problems": rows(problems), "warnings": rows(warnings)}, indent=2)

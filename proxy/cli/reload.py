"""
`authproxy reload`: have a running proxy read its configuration again.
"""

from __future__ import annotations

import click

from proxy.cli.admin import admin_address, admin_key, answer, as_object, key_option, line
from proxy.cli.terminal import config_option

SAID = {
    "reloaded": "reloaded: generation {generation} serves",
    "unchanged": "nothing has changed: generation {generation} goes on serving",
    "rejected": "refused: generation {generation} goes on serving",
}


@click.command("reload")
@config_option
@key_option
@click.option("--json", "as_json", is_flag=True, help="Print the proxy's answer as JSON.")
@click.pass_context
def command(ctx: click.Context, config: str | None, key_file: str | None, *, as_json: bool) -> None:
    """
    Have the running proxy read its configuration again, and say what came of it.

    \b
      authproxy check && authproxy reload

    Exit code 1 if the proxy refuses it, for a problem in the configuration; what served before goes
    on. It also reloads by itself when its files change.
    """
    address = admin_address(config, lenient=True)
    status, text = answer(ctx, address, "/reload", "POST", admin_key(key_file))
    told = as_object(text)
    if status not in {200, 422} or "outcome" not in told:
        older = "; this proxy is of a version that does not reload" if status == 404 else ""
        click.secho(f"not done ({status}): {line(text)}{older}", fg="red", err=True)
        ctx.exit(1)
    if as_json:
        click.echo(text.rstrip())
    else:
        _show(told)
    ctx.exit(1 if told["outcome"] == "rejected" else 0)


def _show(told: dict[str, object]) -> None:
    """
    Print the outcome, then what changed, or why it was refused.
    """
    outcome = str(told["outcome"])
    refused = outcome == "rejected"
    words = SAID.get(outcome, f"{line(outcome)}: generation {{generation}}")
    for problem in _lines(told.get("problems")):
        click.echo(problem, err=refused)
    for warning in _lines(told.get("warnings")):
        click.secho(f"warning  {warning}", fg="yellow", err=True)
    summary = words.format(generation=line(str(told.get("generation", "?"))))
    click.secho(summary, fg="red" if refused else "green", err=refused)
    for change in _lines(told.get("changes")):
        click.echo(f"  {change}")


def _lines(value: object) -> list[str]:
    return [line(str(each)) for each in value] if isinstance(value, list) else []

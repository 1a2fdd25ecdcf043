"""
`authproxy explain`: what would happen to a request, and why; nothing is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from proxy.cli.names import callers
from proxy.cli.terminal import config_option, label, load_config
from proxy.config.key_user import PrivateKeyJwt
from proxy.explanation.question import Unclear, ask, check_caller
from proxy.explanation.story import tell
from proxy.explanation.words import facts, head, rows

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.explanation.story import Story
    from proxy.explanation.words import Row

COLOURS = {"good": "green", "doubtful": "yellow", "bad": "red"}


@click.command("explain")
@click.argument("method")
@click.argument("url")
@config_option
@click.option(
    "--caller",
    metavar="NAME",
    shell_complete=callers,
    help="Who calls: a name under `callers`.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of the request; may be repeated.",
)
@click.option(
    "--forward",
    is_flag=True,
    help="The caller has the proxy as its http_proxy and asks it for the whole URL (forward mode).",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(  # noqa: PLR0913 - one parameter per option
    ctx: click.Context,
    config: str | None,
    method: str,
    url: str,
    caller: str | None,
    headers: tuple[str, ...],
    *,
    forward: bool,
    as_json: bool,
) -> None:
    """
    Say which route METHOD URL takes, why the others lost, as whom it goes, and what is sent.

    URL is what the caller would ask for, or a path alone. Without --forward the URL's host is a
    name the caller reaches the proxy by; with it, it is the API's own. Exit code 1 if the request
    would be refused. Sends nothing.
    """
    loaded = load_config(config)
    try:
        check_caller(caller, loaded)
        question = ask(method, url, headers, caller, forward=forward)
    except Unclear as unclear:
        raise click.UsageError(str(unclear)) from None
    story = tell(loaded, question)
    told = facts(story, loaded, _key_id(story, loaded))
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for row in rows(told):
            _show(row)
        for line in head(told):
            click.echo(line if line.startswith(" ") else click.style(line, dim=True))
    ctx.exit(0 if story.refused is None else 1)


def _show(row: Row) -> None:
    if row.label == "headers":
        added = click.style(row.main, fg="green")
        removed = f"   {click.style(row.aside, fg='red')}" if row.aside else ""
        click.echo(f"{label(row.label)}{added}{removed}")
        return
    main = click.style(row.main, fg=COLOURS.get(row.tone), bold=row.label == "route")
    aside = f"   {click.style(row.aside, dim=row.tone == 'good')}" if row.aside else ""
    click.echo(f"{label(row.label)}{main}{aside}")


def _key_id(story: Story, loaded: Loaded) -> str | None:
    """
    Return what the issuer calls the key of the route's service user, as far as its file says.
    """
    if story.route is None:
        return None
    user = loaded.settings.service_users[story.route.action.service_user]
    if not isinstance(user, PrivateKeyJwt) or user.key_file is None:
        return getattr(user, "key_id", None)
    try:
        told = json.loads((loaded.base / user.key_file[0]).read_bytes())["keyId"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # `check` says what is wrong with it
    return told if isinstance(told, str) and told.isalnum() and len(told) < 100 else None

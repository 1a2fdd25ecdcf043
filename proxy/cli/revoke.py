"""
`authproxy revoke`: take a service user's tokens away from a running proxy, now.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from proxy.cli.admin import admin_address, answer
from proxy.cli.terminal import config_option
from proxy.config.secret_source import SecretFile
from proxy.config.secrets import read
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.secret import Secret

    Function = Callable[..., None]

KEY_FILE = "AUTHPROXY_ADMIN_KEY_FILE"


def key_option(function: Function) -> Function:
    """
    Add `--key-file`.
    """
    return click.option(
        "--key-file",
        metavar="FILE",
        help=f"File with the admin key, if the proxy asks for one. Else ${KEY_FILE}.",
    )(function)


@click.command("revoke", short_help="Take a service user's tokens away, now.")
@click.argument("name")
@click.option("--cut", is_flag=True, help="Cut its open responses and WebSockets, too.")
@config_option
@key_option
@click.pass_context
def command(
    ctx: click.Context, name: str, config: str | None, key_file: str | None, *, cut: bool
) -> None:
    """
    Take a service user's tokens away from the running proxy, and mint no more.

    Requests as this service user are answered 503 until `authproxy allow`. The issuer is not told:
    a token that leaked stays good there until it ends, or is taken back there.
    """
    streams = "?streams=cut" if cut else ""
    said = change(ctx, config, key_file, name, f"revoke{streams}")
    ended = said.get("requests_ended", 0)
    click.echo(f"{name} is revoked; {ended} request{'' if ended == 1 else 's'} ended")


def change(
    ctx: click.Context, config: str | None, key_file: str | None, name: str, what: str
) -> dict[str, Any]:
    """
    Have the running proxy change a service user; return what it says. Ends with code 1 if it does
    not do so.
    """
    address = admin_address(config)
    key = _key(key_file or os.environ.get(KEY_FILE))
    path = f"/service-users/{quote(name, safe='')}/{what}"
    status, text = answer(ctx, address, path, "POST", key)
    if status != 200:
        said = "".join(char for char in text.strip()[:500] if char.isprintable())
        click.secho(f"not done ({status}): {said}", fg="red", err=True)
        ctx.exit(1)
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


def _key(path: str | None) -> Secret | None:
    if not path:
        return None
    try:
        return read(SecretFile(Path(path)), Path.cwd(), {})
    except CredentialInvalid as error:
        raise click.UsageError(f"the admin key: {error.reason}") from error

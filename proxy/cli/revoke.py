"""
`authproxy revoke`: take a service user's tokens away from a running proxy, now.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from proxy.cli.admin import admin_address, admin_key, answer, as_object, key_option, line
from proxy.cli.names import service_users
from proxy.cli.terminal import config_option


@click.command("revoke")
@click.argument("name", shell_complete=service_users)
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
    address = admin_address(config, lenient=True)
    key = admin_key(key_file)
    path = f"/service-users/{quote(name, safe='')}/{what}"
    status, text = answer(ctx, address, path, "POST", key)
    if status != 200:
        click.secho(f"not done ({status}): {line(text)}", fg="red", err=True)
        ctx.exit(1)
    return as_object(text)

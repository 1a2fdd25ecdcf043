"""
`authproxy allow`: undo `authproxy revoke`.
"""

from __future__ import annotations

import click

from proxy.cli.admin import key_option
from proxy.cli.names import service_users
from proxy.cli.revoke import change
from proxy.cli.terminal import config_option


@click.command("allow")
@click.argument("name", shell_complete=service_users)
@config_option
@key_option
@click.pass_context
def command(ctx: click.Context, name: str, config: str | None, key_file: str | None) -> None:
    """
    Have the running proxy get tokens for a revoked service user again, the first at once.
    """
    change(ctx, config, key_file, name, "allow")
    click.echo(f"{name} is allowed")

"""
`authproxy health`: ask a running proxy whether it is ready; made for health checks.
"""

from __future__ import annotations

import click

from proxy.cli.admin import admin_address, answer
from proxy.cli.terminal import config_option
from proxy.observe.console import printable


@click.command("health")
@config_option
@click.option("--live", is_flag=True, help="Ask only whether it is alive, not whether it is ready.")
@click.pass_context
def command(ctx: click.Context, config: str | None, *, live: bool) -> None:
    """
    Ask a running proxy whether it is ready; exit code 0 or 1.

    The address is the configuration's `admin`.
    """
    address = admin_address(config)
    status, text = answer(ctx, address, "/livez" if live else "/readyz?verbose")
    for said in text.rstrip().splitlines():
        click.echo(printable(said))
    ctx.exit(0 if status == 200 else 1)

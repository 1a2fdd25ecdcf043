"""
`authproxy health`: ask a running proxy whether it is ready; made for health checks.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

import click

from proxy.cli.terminal import config_option, load_config
from proxy.config.network import UnixAddress

if TYPE_CHECKING:
    from proxy.config.network import Address

PATIENCE = 5.0
"""Seconds to wait for an answer."""


class UnixConnection(http.client.HTTPConnection):
    """
    HTTP over a Unix socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """
        Connect to the socket.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


@click.command("health", short_help="Ask a running proxy whether it is ready.")
@config_option
@click.option("--live", is_flag=True, help="Ask only whether it is alive, not whether it is ready.")
@click.pass_context
def command(ctx: click.Context, config: str | None, *, live: bool) -> None:
    """
    Ask a running proxy whether it is ready; exit code 0 or 1.

    The address is the configuration's `admin`.
    """
    loaded = load_config(config)
    if loaded.settings.admin is None:
        raise click.UsageError("the configuration says admin: off; there is nobody to ask")
    address = loaded.settings.admin
    try:
        status, text = ask(address, "/livez" if live else "/readyz?verbose")
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        click.secho(f"no answer from the admin listener {address}: {reason}", fg="red", err=True)
        click.echo("Is the proxy running, with this configuration?", err=True)
        ctx.exit(1)
    click.echo(text.rstrip())
    ctx.exit(0 if status == 200 else 1)


def ask(address: Address, path: str) -> tuple[int, str]:
    """
    Return status and text of one GET to an admin listener.

    Raises:
        OSError: Nobody answers.
    """
    connection: http.client.HTTPConnection
    if isinstance(address, UnixAddress):
        connection = UnixConnection(str(address.path))
    else:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
        connection = http.client.HTTPConnection(host, address.port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(65536).decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"not HTTP ({type(error).__name__})") from error
    finally:
        connection.close()

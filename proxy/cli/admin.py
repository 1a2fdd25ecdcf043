"""
Talking to the admin listener of a running proxy, which the configuration names.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

import click

from proxy.cli.terminal import load_config
from proxy.config.network import UnixAddress

if TYPE_CHECKING:
    from proxy.config.network import Address
    from proxy.core.secret import Secret

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


def admin_address(config: str | None) -> Address:
    """
    Return where the configuration's admin listener is; a usage error if there is none.
    """
    address = load_config(config).settings.admin
    if address is None:
        raise click.UsageError("the configuration says admin: off; there is nobody to ask")
    return address


def answer(
    ctx: click.Context, address: Address, path: str, method: str = "GET", key: Secret | None = None
) -> tuple[int, str]:
    """
    Return status and text of one request to an admin listener. Ends with code 1, in words, if
    nobody answers.
    """
    try:
        return _ask(address, path, method, key)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        click.secho(f"no answer from the admin listener {address}: {reason}", fg="red", err=True)
        click.echo("Is the proxy running, with this configuration?", err=True)
        ctx.exit(1)


def _ask(address: Address, path: str, method: str, key: Secret | None) -> tuple[int, str]:
    connection: http.client.HTTPConnection
    if isinstance(address, UnixAddress):
        connection = UnixConnection(str(address.path))
    else:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
        connection = http.client.HTTPConnection(host, address.port, timeout=PATIENCE)
    headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(65536).decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"not HTTP ({type(error).__name__})") from error
    finally:
        connection.close()

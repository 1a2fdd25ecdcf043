"""
Talking to the admin listener of a running proxy, which the configuration names.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic_core import PydanticCustomError

from proxy.cli.names import written
from proxy.cli.terminal import load_config
from proxy.config.network import UnixAddress, parse_admin
from proxy.config.secret_source import SecretFile
from proxy.config.secrets import read
from proxy.errors import ConfigError, CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.network import Address
    from proxy.core.secret import Secret

    Function = Callable[..., None]

PATIENCE = 5.0
"""Seconds to wait for an answer."""

LONGER = 30.0
"""Seconds to wait for what changes something: it reads files, or waits for requests to end."""

MOST = 4 * 1024 * 1024
"""Bytes of an answer that are read: a status has a few hundred for each route."""

KEY_FILE = "AUTHPROXY_ADMIN_KEY_FILE"


def key_option(function: Function) -> Function:
    """
    Add `--key-file`.
    """
    return click.option(
        "--key-file",
        metavar="FILE",
        type=click.Path(),
        help=f"File with the admin key, if the proxy asks for one. Else ${KEY_FILE}.",
    )(function)


def admin_key(path: str | None) -> Secret | None:
    """
    Return the key operators show: from this file, or the one the variable names; None without.
    """
    path = path or os.environ.get(KEY_FILE)
    if not path:
        return None
    try:
        return read(SecretFile(Path(path)), Path.cwd(), {})
    except CredentialInvalid as error:
        raise click.UsageError(f"the admin key: {error.reason}") from error


def line(text: str) -> str:
    """
    Return the beginning of what an admin listener says, fit for one line of a terminal.
    """
    return "".join(each for each in text.strip()[:500] if each.isprintable())


def as_object(text: str) -> dict[str, Any]:
    """
    Return a JSON object; an empty one if the text is none.
    """
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


class UnixConnection(http.client.HTTPConnection):
    """
    HTTP over a Unix socket.
    """

    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        """
        Connect to the socket.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def admin_address(config: str | None, *, lenient: bool = False) -> Address:
    """
    Return where the configuration's admin listener is; a usage error if there is none.

    Args:
        config: What `--config` said.
        lenient: Whether a configuration that cannot be used will do, if only its `admin` can: the
            proxy that runs was started with an earlier one, and must be within reach.
    """
    try:
        address = load_config(config).settings.admin
    except ConfigError:
        said = written(config).get("admin") if lenient else None
        try:
            address = parse_admin(said)
        except PydanticCustomError:
            address = None
        if address is None:
            raise
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
        return ask(address, path, method, key)
    except OSError as error:
        click.secho(no_answer(address, error), fg="red", err=True)
        click.echo(
            "Is the proxy running, with this configuration? An `admin` that has just changed in it "
            "is taken over within seconds, without being asked.",
            err=True,
        )
        ctx.exit(1)


def no_answer(address: Address, error: OSError) -> str:
    """
    Say that nobody answers, and why.
    """
    reason = error.strerror or str(error) or type(error).__name__
    return f"no answer from the admin listener {address}: {reason}"


def ask(
    address: Address, path: str, method: str = "GET", key: Secret | None = None
) -> tuple[int, str]:
    """
    Return status and text of one request to an admin listener.

    Raises:
        OSError: Nobody answers, or not in HTTP.
    """
    patience = PATIENCE if method == "GET" else LONGER
    connection: http.client.HTTPConnection
    if isinstance(address, UnixAddress):
        connection = UnixConnection(str(address.path), patience)
    else:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
        connection = http.client.HTTPConnection(host, address.port, timeout=patience)
    headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MOST).decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"not HTTP ({type(error).__name__})") from error
    finally:
        connection.close()

"""
`authproxy sandbox`: an in-memory ZITADEL stand-in and a protected backend.
"""

from __future__ import annotations

import asyncio
import math
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic_core import PydanticCustomError

from proxy.cli.terminal import label, run_async
from proxy.config.network import parse_address, parse_admin
from proxy.sandbox.fault_list import FAULTS
from proxy.sandbox.fault_values import FaultValueError
from proxy.sandbox.faults import UnknownFaultError, parse_fault
from proxy.sandbox.options import DEFAULT_TOKEN_LIFETIME, SandboxOptions
from proxy.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable


PORT = click.IntRange(0, 65535)

LINE = 80
"""Characters of a fault's value that are shown."""

MAX_TOKEN_LIFETIME = 366 * 86_400.0
"""A year, in seconds; it also keeps out `inf`."""


def _number(_: click.Context, __: click.Parameter, value: float) -> float:
    """
    Refuse `nan`, which is in every range for click.
    """
    if math.isnan(value):
        raise click.BadParameter("write seconds")
    return value


def _address(
    parse: Callable[[object], object],
) -> Callable[[click.Context, click.Parameter, str], str]:
    """
    Return a callback that refuses what *parse* refuses, in its words.
    """

    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        try:
            parse(value)
        except PydanticCustomError as error:
            said = error.context or {}
            raise click.BadParameter(f"{said.get('what')}; {said.get('instead')}") from None
        return value

    return check


def _faults(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """
    Refuse a fault that does not exist, and a value that makes no sense for it.
    """
    for value in values:
        try:
            parse_fault(value)
        except UnknownFaultError as error:
            raise click.BadParameter(f"{error}; --list-faults shows all") from None
        except FaultValueError as error:
            raise click.BadParameter(str(error)) from None
    return values


def _list_faults(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted and not ctx.resilient_parsing:
        width = max(map(len, FAULTS)) + 2
        for name, text in FAULTS.items():
            click.echo(f"{click.style(f'{name:<{width}}', bold=True)}{text}")
        ctx.exit()


@click.command("sandbox")
@click.option(
    "--port",
    type=PORT,
    default=0,
    help="Port of the issuer and its APIs; 0: any free one.",
)
@click.option("--backend-port", type=PORT, default=0, help="Port of the backend; 0: any free one.")
@click.option(
    "--token-lifetime",
    callback=_number,
    type=click.FloatRange(min=1, max=MAX_TOKEN_LIFETIME),
    default=DEFAULT_TOKEN_LIFETIME,
    show_default=True,
    help="Seconds a minted token lives.",
)
@click.option(
    "--era",
    type=click.Choice(["400", "500"]),
    default="400",
    show_default=True,
    help="How a bad assertion is answered: as ZITADEL 4.14 and later do, or as earlier ones did.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_faults,
    metavar="NAME[=VALUE]",
    help="A fault that is on from the start; may be repeated. See --list-faults.",
)
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_faults,
    help="List the faults and exit.",
)
@click.option(
    "--client-assertions",
    is_flag=True,
    help="Take signed client assertions for client_credentials, which ZITADEL refuses.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where credential files and a proxy.yaml are written. Default: a temporary folder.",
)
@click.option(
    "--listen",
    callback=_address(parse_address),
    default="127.0.0.1:8080",
    show_default=True,
    help="The proxy's address in the written proxy.yaml.",
)
@click.option(
    "--admin",
    callback=_address(parse_admin),
    default="127.0.0.1:9090",
    show_default=True,
    help="The admin listener's address in the written proxy.yaml, or off.",
)
def command(directory: Path | None, listen: str, admin: str, **options: object) -> None:
    """
    Run a ZITADEL stand-in and a protected backend, in memory, until Ctrl-C.

    It truly verifies assertions, secrets and tokens, holds one service user per method, and writes
    their credentials and a proxy.yaml that uses them.
    """
    chosen = SandboxOptions(**options)  # type: ignore[arg-type]
    if directory is not None:
        run_async(_serve(chosen, directory, listen, admin))
        return
    with tempfile.TemporaryDirectory(prefix="authproxy-sandbox-") as made:
        run_async(_serve(chosen, Path(made), listen, admin))


async def _serve(options: SandboxOptions, directory: Path, listen: str, admin: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Sandbox(options) as sandbox:
            config = _write(sandbox, directory, listen, admin)
            click.echo(f"{label('issuer')}{sandbox.url}")
            click.echo(f"{label('backend')}{sandbox.backend_url}")
            click.echo(f"{label('config')}{config}")
            click.echo(f"{label('state')}curl {sandbox.url}/sandbox/state")
            click.echo(f"{label('faults')}curl -X POST {sandbox.url}/sandbox/faults/token-500")
            for fault in options.faults:
                click.echo(f"{label('on')}{_shown(fault)}")
            click.echo(f"{label('proxy')}authproxy run --config {config}")
            click.echo("Ctrl-C ends it; nothing is kept.")
            await stop.wait()
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error.strerror or error}") from error


def _shown(fault: str) -> str:
    """
    Return a fault of the command line as one line fit for a terminal.
    """
    line = fault if fault.isprintable() else ascii(fault)[1:-1]
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def _write(sandbox: Sandbox, directory: Path, listen: str, admin: str) -> Path:
    try:
        return sandbox.write(directory, listen=listen, admin=admin)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"cannot write to {directory}: {reason}") from error

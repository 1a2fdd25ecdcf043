"""
`authproxy run`: serve until told to stop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from proxy.cli.terminal import config_option, load_config, run_async
from proxy.observe.log import wants_console
from proxy.observe.sink import Sink
from proxy.runtime import Runtime, Surroundings

if TYPE_CHECKING:
    from proxy.config.load import Loaded


@click.command("run")
@config_option
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    default="auto",
    show_default=True,
    help="auto: console if standard output is a terminal, else json.",
)
def command(config: str | None, log_format: str) -> None:
    """
    Serve until SIGTERM or Ctrl-C, then let requests in flight end.
    """
    loaded = load_config(config)
    console = wants_console() if log_format == "auto" else log_format == "console"
    sink = Sink(sys.stdout.fileno())
    try:
        run_async(serve(loaded, Surroundings(sink, os.environ, console=console)))
    finally:
        sink.close()


async def serve(loaded: Loaded, around: Surroundings) -> None:
    """
    Serve until SIGTERM or SIGINT; a second one ends the process at once.
    """
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with Runtime(loaded, around) as runtime:
        for problem in loaded.warnings:
            runtime.log.warning("config.warning", problem=str(problem))
        await stop.wait()

"""
`authproxy run`: serve until told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from proxy import hygiene
from proxy.cli.terminal import config_option, load_config, run_async
from proxy.memory import keep_memory
from proxy.observe.log import loss_notice, wants_console
from proxy.observe.sink import Sink
from proxy.runtime import Runtime, Surroundings, real_clock

if TYPE_CHECKING:
    from proxy.config.load import Loaded

RESERVE = 64
"""File descriptors for everything but connections that are served: files, sockets that listen, the
issuers, callers just being turned away."""


@click.command("run", short_help="Serve until SIGTERM or Ctrl-C.")
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
    Serve until SIGTERM or Ctrl-C, then let requests in flight end, for up to 30 s.

    A second signal ends the process at once.
    """
    loaded = load_config(config)
    environ = hygiene.take_secrets(os.environ, loaded.settings)
    dumps = hygiene.forbid_core_dumps() if environ.get(hygiene.COREDUMPS) != "1" else "asked for"
    keep_memory()
    console = wants_console() if log_format == "auto" else log_format == "console"
    notice = loss_notice(real_clock().wall, console=console)
    sink = Sink(sys.stdout.fileno(), notice=notice)
    try:
        around = Surroundings(sink, environ, console=console, connections=connections())
        run_async(serve(loaded, around, sink, dumps=dumps))
    finally:
        sink.close()


async def serve(loaded: Loaded, around: Surroundings, sink: Sink, *, dumps: str) -> None:
    """
    Serve until SIGTERM or SIGINT; a second one ends the process at once.

    Args:
        loaded: The configuration.
        around: What the proxy is given.
        sink: Where log lines go.
        dumps: Why a core dump may be written; empty if none is.
    """
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            sink.close()
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with Runtime(loaded, around) as runtime:
        loop.add_signal_handler(signal.SIGHUP, partial(on_hangup, runtime))
        if dumps:
            runtime.log.debug("coredumps.on", reason=dumps)
        for problem in loaded.warnings:
            runtime.log.warning("config.warning", problem=str(problem))
        await stop.wait()


def on_hangup(runtime: Runtime) -> None:
    """
    Open files that are written to anew, as logrotate asks.
    """
    runtime.reopen_files()
    runtime.log.warning(
        "config.reload_skipped", reason="this version reads its files at start; restart it"
    )


def connections() -> int:
    """
    Return how many callers' connections there are file descriptors for, one for each connection's
    other end included; 0 if the system sets no limit.

    The soft limit of open files is raised to the hard one first: shells set it low for programs
    that still use select(2).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    return max(1, (soft - RESERVE) // 2)

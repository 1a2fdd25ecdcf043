"""
`authproxy run`: serve until told to stop.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from proxy import hygiene
from proxy.cli.life import Life
from proxy.cli.terminal import config_option, load_config, run_async
from proxy.memory import keep_memory, uncollected
from proxy.observe import formats
from proxy.observe.log import loss_notice
from proxy.observe.sink import Sink
from proxy.runtime import Runtime
from proxy.supervision.handover import HandOverFailed, hand_over, own_command
from proxy.supervision.inheritance import inherit
from proxy.supervision.notify import take_notify
from proxy.surroundings import Surroundings, real_clock

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from proxy.config.load import Loaded
    from proxy.supervision.notify import Notify

RESERVE = 64
"""File descriptors for everything but connections that are served: files, sockets that listen, the
issuers, callers just being turned away."""


@click.command("run")
@config_option
@click.option(
    "--log-format",
    type=click.Choice(list(formats.CHOICES)),
    help="auto: console if standard output is a terminal, else json. Default: "
    "$AUTHPROXY_LOG_FORMAT, else log.format of proxy.yaml, else auto.",
)
def command(config: str | None, log_format: str | None) -> None:
    """
    Serve until SIGTERM or Ctrl-C, then let requests in flight end, for as long as `shutdown` says.

    A second signal ends the process at once. SIGHUP reads the configuration again. SIGUSR2 starts
    this command once more, with the same sockets, to take this process's place.
    """
    loaded = load_config(config)
    environ = hygiene.take_secrets(os.environ, loaded.settings)
    notify = take_notify(os.environ, os.getpid())
    inherited = inherit(os.environ, os.getpid())
    dumps = hygiene.forbid_core_dumps() if environ.get(hygiene.COREDUMPS) != "1" else "asked for"
    keep_memory()
    style = formats.choose(log_format, environ, loaded.settings.log.format)
    notice = loss_notice(real_clock().wall, style=style)
    sink = Sink(sys.stdout.fileno(), notice=notice)
    try:
        around = Surroundings(
            sink,
            environ,
            style=style,
            connections=connections(),
            inherited=inherited,
            hide=partial(hygiene.take_secrets, os.environ),
        )
        run_async(serve(loaded, around, sink, notify, dumps=dumps))
    finally:
        sink.close()


async def serve(
    loaded: Loaded, around: Surroundings, sink: Sink, notify: Notify, *, dumps: str
) -> None:
    """
    Serve until SIGTERM or SIGINT, or until another process has taken over.

    Args:
        loaded: The configuration.
        around: What the proxy is given.
        sink: Where log lines go.
        notify: The service manager.
        dumps: Why a core dump may be written; empty if none is.
    """

    def end_now() -> None:
        sink.close()
        os._exit(1)

    async def start_successor(
        sockets: Sequence[tuple[str, socket.socket]], revoked: Sequence[str]
    ) -> int:
        if os.getpid() == 1:
            raise HandOverFailed("process 1 cannot be replaced; replace its container")
        if loaded.source == "-":
            raise HandOverFailed("the configuration came from standard input, which has ended")
        return await hand_over(own_command(), around.environ, sockets, revoked=revoked)

    life = Life(notify, around.inherited, start_successor, end_now)
    life.listen()
    starting = contextlib.ExitStack()
    try:
        starting.enter_context(uncollected())
        async with Runtime(loaded, around) as runtime:
            starting.close()
            if dumps:
                runtime.log.debug("coredumps.on", reason=dumps)
            for problem in loaded.warnings:
                runtime.log.warning("config.warning", problem=str(problem))
            await life.live(runtime)
    finally:
        starting.close()
        await life.close()


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

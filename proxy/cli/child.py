"""
A program run by a verb: the terminal is its own, signals reach it, its end is the verb's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from proxy import hygiene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.private.opening import Private

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
"""Exit codes of a shell whose command cannot be started (POSIX, Shell Command Language §2.8.2)."""

PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

KEYBOARD: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
"""Signals the terminal sends to every program in front, and so to the child by itself."""


async def run_child(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """
    Run a program with this process's terminal until it ends.

    Args:
        command: The program and its arguments.
        environ: Its environment.

    Returns:
        Its exit code as a shell would have it: 128 and the number of a signal that ended it.
    """
    loop = asyncio.get_running_loop()
    waiting: list[signal.Signals] = []
    child: asyncio.subprocess.Process | None = None

    def on_signal(number: signal.Signals) -> None:
        if child is None:
            waiting.append(number)
        elif number not in KEYBOARD or not in_front():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    for number in (*PASSED_ON, *KEYBOARD):
        loop.add_signal_handler(number, partial(on_signal, number))
    try:
        child = await asyncio.create_subprocess_exec(*command, env=dict(environ))
    except OSError as error:
        return _not_started(command[0], error)
    for number in waiting:
        child.send_signal(number)
    code = await child.wait()
    return code if code >= 0 else 128 - code


def _not_started(name: str, error: OSError) -> int:
    missing = isinstance(error, FileNotFoundError)
    why = "there is no such program" if missing else error.strerror or type(error).__name__
    shown = "".join(each if each.isprintable() else "?" for each in name[:200])
    say(f"{shown}: {why}")
    return NOT_FOUND if missing else NOT_RUNNABLE


def in_front() -> bool:
    """
    Return whether the terminal sends its signals to this process's group: the child has had them.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def keep_secrets() -> None:
    """
    See that the child cannot read this process's secrets, as from /proc/PPID/environ; say so if it
    can. A debugger is let in as `run` lets it in.
    """
    if os.environ.get(hygiene.COREDUMPS) == "1":
        return
    problem = hygiene.keep_to_itself()
    if problem:
        say(f"the program can read this process's secrets: {problem}")


def warn_of_others(proxy: Private) -> None:
    """
    Say that other users of this machine can use a private proxy, if they can.
    """
    if not proxy.guarded:
        say(
            "this system does not tell whose a connection is: other users of this machine can "
            f"use {proxy.url} while the program runs"
        )


def say(sentence: str) -> None:
    """
    Say a sentence of our own among what the child prints.
    """
    text = "".join(each if each.isprintable() else " " for each in sentence)
    click.secho(f"authproxy: {text}", fg="yellow", err=True)

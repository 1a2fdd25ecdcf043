"""
Hot restart: the same command started once more, with this process's listening sockets.

Theory of operation
-------------------
1. The command this process was started by is started again, in the same folder and with the same
   environment (the secrets in it too, which this process has taken out of its own), so that it
   reads a configuration, certificates and program files as they are now.
2. It inherits the listening sockets (`supervision.inheritance`), so none of them is ever closed and
   nobody who connects is refused or reset: whoever of the two accepts, serves.
3. On a pipe it says that it serves and has its tokens. Then this process accepts nothing more, ends
   what is in flight, and exits.
4. If it ends before that, or takes too long, it is ended, and this process goes on as if nothing
   had been asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from proxy.supervision.inheritance import FIRST, HANDOVER, READY, REVOKED

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

BOUND = 60.0
"""Seconds the new process has until it serves: twice what tokens are waited for at start."""

PATIENCE = 5.0
"""Seconds it has to end once it was asked to, before it is killed."""

POLL = 0.02
"""Seconds between two looks at whether it has ended."""

NOT_PASSED_ON = frozenset(
    ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", HANDOVER, REVOKED)
)
"""Variables that were meant for this process alone. `WATCHDOG_USEC` without a process id is for
whoever reads it (sd_watchdog_enabled(3))."""


class HandOverFailed(Exception):
    """
    The new process does not serve; this one goes on.

    Attributes:
        reason: Why, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def own_command() -> tuple[str, ...]:
    """
    Return what this process was started by, with the interpreter's own options.
    """
    return (sys.executable, *sys.orig_argv[1:])


async def hand_over(
    command: Sequence[str],
    environ: Mapping[str, str],
    sockets: Sequence[tuple[str, socket.socket]],
    *,
    revoked: Sequence[str] = (),
    bound: float = BOUND,
) -> int:
    """
    Start *command* with these sockets, and return its process id once it serves.

    Cancelled, it ends what it has started.

    Args:
        command: The program, by its path, and its arguments.
        environ: Its environment, but for what tells it of the sockets.
        sockets: By name; they stay open here.
        revoked: The service users that are to be revoked there, too.
        bound: Seconds it has.

    Raises:
        HandOverFailed: It does not serve, and has ended.
    """
    hearing, speaking = os.pipe()
    try:
        try:
            pid = _start(command, environ, sockets, (speaking, revoked))
        finally:
            os.close(speaking)
        try:
            async with asyncio.timeout(bound):
                said = await _heard(hearing)
        except TimeoutError:
            await _end(pid)
            raise HandOverFailed(f"the new process did not serve within {bound:g} s") from None
        except BaseException:
            await asyncio.shield(_end(pid))
            raise
        if said != READY:
            raise HandOverFailed(_words(await _end(pid, signal.SIG_DFL)))
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise HandOverFailed(f"the new process cannot be started: {what}") from error
    else:
        return pid
    finally:
        os.close(hearing)


def _start(
    command: Sequence[str],
    environ: Mapping[str, str],
    sockets: Sequence[tuple[str, socket.socket]],
    said: tuple[int, Sequence[str]],
) -> int:
    """
    Start *command* with the sockets as file descriptors from 3 on and the pipe behind them; *said*
    is the pipe, and who is revoked.
    """
    pipe, revoked = said
    given = [each.fileno() for _, each in sockets] + [pipe]
    variables = {name: text for name, text in environ.items() if name not in NOT_PASSED_ON}
    variables["LISTEN_FDS"] = str(len(sockets))
    variables["LISTEN_FDNAMES"] = ":".join(quote(name, safe="/.[]") for name, _ in sockets)
    variables[HANDOVER] = str(FIRST + len(sockets))
    variables[REVOKED] = ",".join(revoked)
    with contextlib.ExitStack() as stack:
        actions: list[tuple[int, int, int]] = []
        for place, number in enumerate(given):
            # Out of the way first: one socket's old number may be another's new one
            aside = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST + len(given))
            stack.callback(os.close, aside)
            actions.append((os.POSIX_SPAWN_DUP2, aside, FIRST + place))
        return os.posix_spawn(
            command[0], list(command), variables, file_actions=actions, setsigmask=()
        )


async def _heard(pipe: int) -> bytes:
    """
    Return what is said on the pipe; empty if its other end is closed without a word.
    """
    loop = asyncio.get_running_loop()
    something = asyncio.Event()
    loop.add_reader(pipe, something.set)
    try:
        await something.wait()
    finally:
        loop.remove_reader(pipe)
    return os.read(pipe, len(READY))


async def _end(pid: int, number: int = signal.SIGTERM) -> int:
    """
    End a process with this signal, or SIGKILL in the end; SIG_DFL for none. Return its exit code.
    """
    if number:
        _send(pid, number)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
        except ChildProcessError:
            return 0  # somebody else has seen it end
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            _send(pid, signal.SIGKILL)
        await asyncio.sleep(POLL)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _words(code: int) -> str:
    if code == 2:
        return "the new process cannot use its configuration; authproxy check says why"
    if code < 0:
        return f"the new process was ended by signal {-code} before it served"
    return f"the new process ended with code {code} before it served"

"""
What a service manager is told: ready, reloading, stopping, still alive.

A message is one datagram of `NAME=value` lines to the socket named by `NOTIFY_SOCKET`
(sd_notify(3)). Whether it arrives is not this process's concern: it is sent without waiting, and a
socket nobody reads, or that is gone, is passed over. The socket to send from is opened once, at
start: a process that runs out of file descriptors must still be able to say that it is alive.

The variables are taken out of the environment, so that what this process starts does not speak in
its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

LONGEST = 1000
"""Characters of a status line."""

MOST_BEAT = 3600.0
"""Seconds between two signs of life, however long the service manager would wait."""


def microseconds() -> int:
    """
    Return CLOCK_MONOTONIC, which the start of a reload is told by, in microseconds.
    """
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


class Notify:
    """
    The way to the service manager.

    Args:
        address: The socket: a path, or a name in the abstract namespace after an `@`; empty for
            nobody to tell.
        every: Seconds between two signs of life; 0 for none.
        now: CLOCK_MONOTONIC in microseconds.
    """

    def __init__(
        self, address: str = "", *, every: float = 0.0, now: Callable[[], int] = microseconds
    ) -> None:
        self.every = every
        self._now = now
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            with contextlib.suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)

    def ready(self, status: str) -> None:
        """
        Say that it serves: after its start, after a reload.
        """
        self._tell("READY=1", f"STATUS={_one_line(status)}")

    def reloading(self) -> None:
        """
        Say that a reload begins; `ready` ends it.
        """
        self._tell("RELOADING=1", f"MONOTONIC_USEC={self._now()}", "STATUS=reloading")

    def stopping(self, status: str) -> None:
        """
        Say that it is on its way down.
        """
        self._tell("STOPPING=1", f"STATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """
        Say how it fares, for people.
        """
        self._tell(f"STATUS={_one_line(status)}")

    def successor(self, pid: int) -> None:
        """
        Say that another process is the service from now on.

        Said by the old one: a service manager that listens to the main process alone
        (`NotifyAccess=main`) hears nothing of the new one before.
        """
        self._tell(f"MAINPID={pid}", "READY=1")

    def took_over(self, pid: int, status: str) -> None:
        """
        Say that this process has taken another one's place.
        """
        self._tell(f"MAINPID={pid}", "READY=1", f"STATUS={_one_line(status)}")

    async def beat_forever(self) -> None:
        """
        Give signs of life as long as the loop turns, until cancelled.
        """
        while self.every:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.every)

    def close(self) -> None:
        """
        Tell nothing more.
        """
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):  # it must never hurt
                self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)


def take_notify(environ: MutableMapping[str, str], pid: int) -> Notify:
    """
    Return the way to the service manager that *environ* names, and take it out of there.

    Args:
        environ: The process's environment.
        pid: This process: signs of life may be asked of another one.

    Source: sd_notify(3), sd_watchdog_enabled(3).
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    whose, period = environ.pop("WATCHDOG_PID", ""), environ.pop("WATCHDOG_USEC", "")
    every = 0.0
    if period.isascii() and period.isdecimal() and whose in {"", str(pid)}:
        every = min(int(period[:18]) / 1e6 / 2, MOST_BEAT)
    return Notify(address, every=every)


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST])

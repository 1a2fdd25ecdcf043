"""
Log lines on their way out.

Theory of operation
-------------------
Whoever logs hands over bytes and goes on: a thread of its own writes them, so a slow terminal or a
full pipe never holds up the event loop. What waits is bounded; beyond that lines are dropped and
counted, because a proxy that stands still over its log is worse than a gap in it.

A gap is told twice. When it begins, one line goes to standard error, at most once a minute; a
thread that lives no longer than that line writes it, for the writing thread may stand still in its
own write, and standard error may be a full pipe as well. When writing works again, the number of
lines lost is written where they are missing.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class LineSink(Protocol):
    """
    Takes log lines; `Sink` is the one that writes them.
    """

    def put(self, piece: bytes) -> None:
        """
        Take whole lines, at once.
        """
        ...


BOUND = 8 * 1024 * 1024
"""Bytes that may wait: some ten thousand lines."""

QUIET = 60.0
"""Seconds between two complaints on standard error."""

UNREAD = "nobody reads standard output"


class Sink:
    """
    A file descriptor with a thread that writes to it.

    Args:
        descriptor: Where lines go.
        bound: Bytes that may wait.
        notice: Makes a line of the number of lines lost, for when writing works again.
        stderr: The descriptor for complaints.
        now: Seconds since some start, never backwards.
        what: What lines are called in complaints.

    Attributes:
        dropped: Lines that found the queue full, or the descriptor closed.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        bound: int = BOUND,
        notice: Callable[[int], bytes] | None = None,
        stderr: int = 2,
        now: Callable[[], float] = monotonic,
        what: str = "log lines",
    ) -> None:
        self._descriptor = descriptor
        self._bound = bound
        self._notice = notice
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = threading.Condition()
        self._closing = False
        self._broken = False
        self._torn = False
        self._lost = 0
        self._complaints = Complaints(stderr, now, what)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """
        Hand over whole lines; returns at once.
        """
        with self._wake:
            if self._closing:
                self.dropped += _lines(piece)
            elif self._size + len(piece) > self._bound:
                self._lose(_lines(piece), UNREAD)
            else:
                self._waiting.append(piece)
                self._size += len(piece)
                self._wake.notify()

    def close(self, timeout: float = 2.0) -> None:
        """
        Write what waits, for at most *timeout* seconds, and stop.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._closing or self._owes_notice()):
                    self._wake.wait()
                if not (self._waiting or self._owes_notice()):
                    return
                pieces = tuple(self._waiting)
                self._waiting.clear()
                lost, self._lost = self._lost, 0
            line = self._notice(lost) if self._notice and lost else b""
            data = b"".join((b"\n" if self._torn else b"", *pieces, line))
            left, reason = self._write(data)
            with self._wake:
                self._size -= sum(map(len, pieces))
                self._broken = bool(left)
                if left:
                    self._torn = self._torn if left == len(data) else data[-left - 1] != 0x0A
                    self._lost += lost
                    own = data[-left:].removesuffix(line)
                    self._lose(_lines(own) if pieces else 0, reason)
                else:
                    self._torn = False
                    if not self._lost:
                        self._complaints.over()

    def _owes_notice(self) -> bool:
        """
        Return whether lines are missing that could be told of: after a failure, lines come first.
        """
        return self._lost > 0 and not self._broken and self._notice is not None

    def _lose(self, lines: int, reason: str) -> None:
        """
        Count lines that are lost and complain of it; with the lock held.
        """
        self.dropped += lines
        self._lost += lines
        self._complaints.tell(reason)

    def _write(self, data: bytes) -> tuple[int, str]:
        """
        Write all of it; else return how many bytes are left, and why.

        That is when nobody reads any more: EPIPE, a closed descriptor, a full disk.
        """
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except BlockingIOError:  # whoever shares it has made it so
                    select.select((), (self._descriptor,), ())
        except OSError as error:
            return len(view), error.strerror or type(error).__name__
        return 0, ""


class Complaints:
    """
    Tells standard error of lost lines: once for each gap, at most once a minute, never waiting.

    Args:
        descriptor: Standard error.
        now: Seconds since some start, never backwards.
        what: What lines are called.
    """

    def __init__(self, descriptor: int, now: Callable[[], float], what: str = "log lines") -> None:
        self._what = what
        self._descriptor = descriptor
        self._now = now
        self._told = False
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def tell(self, reason: str) -> None:
        """
        Say that lines are being lost, unless that was said of this gap, or a moment ago.
        """
        if self._told or self._now() < self._next:
            return
        if self._thread is not None and self._thread.is_alive():  # nobody reads that one either
            return
        line = f"authproxy: {self._what} are being lost: {reason}\n".encode("utf-8", "replace")
        thread = threading.Thread(target=self._write, args=(line,), name="log-loss", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had: the next loss tries again
            thread.start()
            self._thread = thread
            self._told = True
            self._next = self._now() + QUIET

    def over(self) -> None:
        """
        Take it that the gap has ended.
        """
        self._told = False

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line)


def _lines(piece: bytes) -> int:
    return max(1, piece.count(b"\n"))

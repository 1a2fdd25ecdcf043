"""
Log lines on their way out.

Theory of operation
-------------------
Whoever logs hands over bytes and goes on: a thread of its own writes them, so a slow terminal or a
full pipe never holds up the event loop. What waits is bounded; beyond that lines are dropped and
counted, because a proxy that stands still over its log is worse than a gap in it.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import Protocol


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


class Sink:
    """
    A file descriptor with a thread that writes to it.

    Attributes:
        dropped: Pieces that found the queue full, or the descriptor closed.
    """

    def __init__(self, descriptor: int, *, bound: int = BOUND) -> None:
        self._descriptor = descriptor
        self._bound = bound
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = threading.Condition()
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """
        Hand over whole lines; returns at once.
        """
        with self._wake:
            if self._closing or self._size + len(piece) > self._bound:
                self.dropped += 1
                return
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
                while not self._waiting and not self._closing:
                    self._wake.wait()
                pieces = tuple(self._waiting)
                self._waiting.clear()
            if not pieces:
                return
            written = self._write(b"".join(pieces))
            with self._wake:
                self._size -= sum(map(len, pieces))
                if not written:
                    self.dropped += len(pieces)

    def _write(self, data: bytes) -> bool:
        """
        Write all of it; False if nobody reads any more (EPIPE, a closed descriptor, a full disk).
        """
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except BlockingIOError:  # whoever shares it has made it so
                    select.select((), (self._descriptor,), ())
        except OSError:
            return False
        return True

"""
Lines on their way to a file of their own.

As in `observe.sink`, whose thread does all of this. Before each writing the file is looked at: if it
has been renamed away, as logrotate does, the next lines begin a new one.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from proxy.observe.sink import BOUND, Sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FileSink(Sink):
    """
    A file that is appended to, made with mode 0600, and made anew once it was renamed away.

    Args:
        path: The file.
        bound: As for `Sink`.
        notice: As for `Sink`.
        stderr: As for `Sink`.
        what: As for `Sink`.

    Raises:
        OSError: It cannot be appended to.
    """

    def __init__(
        self,
        path: Path,
        *,
        bound: int = BOUND,
        notice: Callable[[int], bytes] | None = None,
        stderr: int = 2,
        what: str = "log lines",
    ) -> None:
        self._path = path
        self._again = False
        super().__init__(open_lines(path), bound=bound, notice=notice, stderr=stderr, what=what)

    def reopen(self) -> None:
        """
        Open the file anew before the next line, whatever has become of it.
        """
        self._again = True

    def close(self, timeout: float = 2.0) -> None:
        """
        Write what waits, for at most *timeout* seconds, and close the file.
        """
        super().close(timeout)
        if not self._thread.is_alive():  # else it still writes there
            os.close(self._descriptor)

    def _write(self, data: bytes) -> tuple[int, str]:
        try:
            if self._again or self._gone():
                self._again = False
                fresh, old = open_lines(self._path), self._descriptor
                self._descriptor = fresh
                os.close(old)
                data = data[self._torn :]  # a new file has no line to be ended
        except OSError as error:
            # The old file may still be written to, but nobody would look for the lines there
            self._again = True
            return len(data), error.strerror or type(error).__name__
        return super()._write(data)

    def _gone(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True


def open_lines(path: Path) -> int:
    """
    Open a file to append lines to, and return its descriptor.

    Raises:
        OSError: It cannot be had, or is no regular file.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for its reader
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor

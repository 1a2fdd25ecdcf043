"""
Standard input, output and error as the verbs need them, whatever a process was started with.

- A process may be started without them (`>&-`, some service managers). Then the first files and
  sockets it opens get their numbers, and whatever is printed goes there: uvloop ends the process
  rather than let it come to that. They are opened on the null device instead.
- A terminal or pipe may have an encoding that lacks a character the verbs print, such as `→`. It is
  replaced by `?`; nothing fails by it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Final

STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""In the order of their numbers, 0 to 2 (POSIX, <unistd.h>)."""

FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO))
"""Why nothing more can be written anywhere; nothing that this program could do about it."""


def prepare() -> None:
    """
    Make the three streams usable.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            made = open(number, mode, closefd=False, encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, made)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # another file has taken its number since
                stream.reconfigure(errors="replace")


def drop_output() -> None:
    """
    Forget what could not be written, so that the end of the process does not try it again.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)

"""
How this process's memory is kept: by the C library, and by Python's search for garbage.

A read from a socket makes room for up to 256 KiB. By default glibc gives room of that size back to
the system as soon as it is free and asks for it anew with the next read, page by page: half of the
processor time of 1 MiB bodies went there (`python -m bench bodies`).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names and numbers as in malloc.h, see mallopt(3)
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

TRIM = 16 * 1024 * 1024
"""Bytes of free memory at the heap's end that are kept."""

MAPPED = 4 * 1024 * 1024
"""Bytes from which on a piece of memory is asked of the system by itself, and given back."""


def keep_memory() -> None:
    """
    Have the C library keep some free memory; does nothing where it is not glibc.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """
    Look for no garbage meanwhile: imports and a start make hardly any, and looking for it took a
    sixth of their time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

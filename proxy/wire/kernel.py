"""
What the kernel does and tells beyond what a transport of the event loop says.

A connection that is not read does not tell its end, nor whether more has come: the kernel is asked
for both.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# What poll(2) tells of a connection that is not read. Linux tells a caller that only said that
# nothing more comes from one that is gone; elsewhere the first is not told, the second is an error.
READABLE = select.POLLIN
ENDED = getattr(select, "POLLRDHUP", 0)
GONE = select.POLLERR | (select.POLLHUP if ENDED else 0)

# SO_LINGER for no time at all: the kernel sends a reset, and nothing that is still unsent
RESET = struct.pack("ii", 1, 0)


def ask(number: int, events: int) -> int:
    """
    Return what is known of a socket at this moment, as poll(2) has it.

    Args:
        number: Its file descriptor.
        events: What to tell, beside errors and the end of both sides.
    """
    poll = select.poll()
    poll.register(number, events)
    found = poll.poll(0)
    return found[0][1] if found else 0


def reset(transport: asyncio.Transport) -> None:
    """
    Close so that the other end cannot take it for an orderly end (RFC 9112 §8).
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()

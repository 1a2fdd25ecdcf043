"""
Closing a listening socket without resetting those who have connected already.

Theory of operation
-------------------
To a caller, a connection stands once the kernel has taken it; the kernel keeps it in the socket's
backlog until it is accepted, and resets it, with the request that may be in it, if the socket is
closed before. So whoever waits there is accepted first.

On Linux the kernel is then told to pass over new attempts to connect, so that nobody slips into
the backlog between the last look and the end; handshakes on their way across a network get a
moment to end. Who is passed over tries again a second later and is refused. Elsewhere, and on Unix
sockets, that gap stays: some microseconds.

A socket that another process listens on as well needs none of this: closing it here resets nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any, TypeAlias

    Adopt: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, object]]

SETTLE = 0.1
"""Seconds for handshakes that are on their way across a network."""

MOST = 65_536
"""Connections taken from one backlog; the kernel's own limit is lower."""

# linux/filter.h: a packet of which this leaves nothing is dropped. Byte 13 of a TCP header holds its
# flags (RFC 9293 §3.1); SYN is 2.
_SO_ATTACH_FILTER = 26
_NO_SYN = struct.pack(
    "HBBI" * 4,
    *(0x30, 0, 0, 13),  # A = the byte at 13
    *(0x45, 0, 1, 0x02),  # if A & SYN: go on, else pass over the next
    *(0x06, 0, 0, 0),  # keep nothing of it
    *(0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)


async def stop_accepting(
    servers: Iterable[tuple[asyncio.AbstractServer, Adopt]],
    owner: set[asyncio.Task[Any]],
    *,
    shared: bool = False,
) -> None:
    """
    Close servers; those who wait in their backlogs are adopted.

    Args:
        servers: Each with what makes a connection of an accepted socket.
        owner: The set that holds the tasks in which they are adopted: a TLS handshake takes time.
        shared: Another process goes on accepting on these sockets.
    """
    doors: list[tuple[socket.socket, Adopt]] = []
    with contextlib.ExitStack() as stack:
        for server, adopt in servers:
            for each in () if shared else getattr(server, "sockets", ()):
                door = stack.enter_context(each.dup())
                door.setblocking(False)
                doors.append((door, adopt))
            server.close()
        settling = [_turn_away(door) for door, _ in doors]
        if any(settling):
            await asyncio.sleep(SETTLE)
        for door, adopt in doors:
            _take_all(door, adopt, owner)


def _take_all(door: socket.socket, adopt: Adopt, owner: set[asyncio.Task[Any]]) -> None:
    """
    Accept whoever waits.
    """
    for _ in range(MOST):
        try:
            accepted, _address = door.accept()
        except ConnectionAbortedError:
            continue  # gone while it waited
        except OSError:
            return  # nobody waits, or no file descriptor is left
        accepted.setblocking(False)
        _ = spawn(owner, _adopt(accepted, adopt), name="backlog")


async def _adopt(accepted: socket.socket, adopt: Adopt) -> None:
    try:
        await adopt(accepted)
    except (OSError, asyncio.CancelledError):  # a failed handshake among them
        accepted.close()


def _turn_away(door: socket.socket) -> bool:
    """
    Have new attempts to connect passed over, where that can be; return whether some may be on
    their way.
    """
    if sys.platform != "linux" or door.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    program = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
    filter_ = struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(program))
    try:
        door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
    except OSError:  # forbidden, as in some containers
        return False
    return not ip_address(door.getsockname()[0]).is_loopback

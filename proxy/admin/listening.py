"""
Where the admin application listens: at an address, or on a socket that is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.network import UnixAddress
from proxy.sockets import serve

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from proxy.config.network import TcpAddress

BACKLOG = 128
"""Connections that may wait to be accepted."""


async def listen(
    handle: Callable[[], asyncio.BaseProtocol],
    address: TcpAddress | UnixAddress,
    sock: socket.socket | None,
) -> asyncio.Server:
    """
    Listen.

    Args:
        handle: Makes a connection's protocol.
        address: Where.
        sock: A socket that listens there already; None to open one.

    Raises:
        OSError: The address cannot be had.
    """
    given = () if sock is None else (sock,)
    (server,) = await serve(address, handle, given, backlog=BACKLOG)
    if isinstance(address, UnixAddress) and sock is None:
        address.path.chmod(0o660)
    return server

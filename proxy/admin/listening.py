"""
Where the admin application listens: at an address, or on a socket that is there already.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from proxy.config.network import TcpAddress, UnixAddress

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

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
    loop = asyncio.get_running_loop()
    if isinstance(address, TcpAddress):
        if sock is not None:
            return await loop.create_server(handle, sock=sock, backlog=BACKLOG)
        return await loop.create_server(handle, address.host, address.port, backlog=BACKLOG)
    options = unix_options(loop)
    if sock is not None:
        return await loop.create_unix_server(handle, sock=sock, **options)
    server = await loop.create_unix_server(handle, str(address.path), **options)
    address.path.chmod(0o660)
    return server


def unix_options(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """
    Return how to listen on a Unix socket. Its file stays when the server closes: another process may
    listen there by then, on the very socket that was handed over.
    """
    options: dict[str, Any] = {"backlog": BACKLOG}
    if sys.version_info >= (3, 13) and isinstance(loop, asyncio.SelectorEventLoop):
        options["cleanup_socket"] = False  # uvloop never removes it, nor did Python 3.12
    return options

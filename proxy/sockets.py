"""
The sockets callers are accepted on: opened where nothing is in the way, said in words where
something is, and left as they were found.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any, cast

from proxy.config.network import TcpAddress
from proxy.errors import ConfigError
from proxy.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.config.draft import Place
    from proxy.config.load import Loaded
    from proxy.config.network import UnixAddress

BATCH = 16
"""Connections the standard loop accepts in one go. It takes that number from `backlog` and, when file
descriptors run out, goes on failing that many times, each with a timer of its own: with a thousand
it is busy with nothing else."""

BACKLOG = 1024
"""Connections the kernel keeps until they are accepted."""


class CutOff(asyncio.Protocol):
    """
    What becomes of a connection there is no room for, not even to say so.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Close it at once.
        """
        cast("asyncio.Transport", transport).abort()


def widen(server: asyncio.Server) -> None:
    """
    Have the kernel keep more connections than the loop accepts in one go.
    """
    for accepting in server.sockets:
        with accepting.dup() as same:
            same.listen(BACKLOG)


@contextlib.contextmanager
def naming(place: Place, address: object, loaded: Loaded) -> Iterator[None]:
    """
    Turn a failure to listen into a problem that names the setting and its address.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if place not in loaded.marks:
            place = place[:1]  # one address stands for a list of one listener
        mark = loaded.marks.get(place)
        problem = Problem(
            "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in place),
            f"cannot listen on {address}: {reason}",
            instead="choose another address, or stop what uses this one",
            file=loaded.origin,
            line=mark.line if mark else 0,
            column=mark.column if mark else 0,
        )
        raise ConfigError([problem]) from error


def clear_socket(path: Path) -> None:
    """
    Remove the socket a process that is gone left behind; anything but a socket stays.

    Raises:
        OSError: Somebody listens there.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(errno.EADDRINUSE, "somebody listens there")


def remove_socket(path: Path, inode: int) -> None:
    """
    Remove our own socket; another's that has taken its place stays.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


async def serve(
    address: TcpAddress | UnixAddress,
    make: Callable[[], asyncio.BaseProtocol],
    sockets: tuple[socket.socket, ...],
    **options: Any,
) -> tuple[asyncio.Server, ...]:
    """
    Return what accepts at an address, or from sockets that are there already.

    The file of a Unix socket stays when its server closes: another process may listen there by then,
    on the very socket that was handed over.

    Args:
        address: Where.
        make: Makes a connection's protocol.
        sockets: Those that are there; empty to open what is needed.
        options: For the event loop.

    Raises:
        OSError: The address cannot be had.
    """
    loop = asyncio.get_running_loop()
    if isinstance(address, TcpAddress):
        if not sockets:
            return (await loop.create_server(make, address.host, address.port, **options),)
        return tuple([await loop.create_server(make, sock=sock, **options) for sock in sockets])
    if sys.version_info >= (3, 13) and isinstance(loop, asyncio.SelectorEventLoop):
        options["cleanup_socket"] = False  # uvloop never removes it, nor did Python 3.12
    if not sockets:
        clear_socket(address.path)
        return (await loop.create_unix_server(make, str(address.path), **options),)
    return tuple([await loop.create_unix_server(make, sock=sock, **options) for sock in sockets])


def sockets_of(server: asyncio.Server) -> tuple[socket.socket, ...]:
    """
    Return what a server listens on.
    """
    return tuple(getattr(server, "sockets", ()))

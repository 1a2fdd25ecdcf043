"""
The port on loopback of a private proxy, for programs that cannot use its Unix socket.

Theory of operation
-------------------
A port on loopback is open to every user of the machine, and a base URL has no room for a key that
all clients would send. So nobody shows a key: the system is asked whose each connection is, and only
this user's and the superuser's get on to the Unix socket. Who is let in is known before a byte is
read. The question is `sockdiag`'s, which costs nothing worth counting, so that other users who
connect all the time keep nobody out; where it is not answered, the table of sockets is read (proc(5),
/proc/net/tcp).

Both tell connections apart by their ends, so they must be asked about one that still stands. One
that its client has reset before it was accepted can be read to its last byte, while its port is
another program's already: that one's user would be taken for who sent it.

Where there is no such table (other systems than Linux) everybody is let in, which `guarded` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from socket import inet_aton
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.private.sockdiag import look_up
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Self

    from proxy.private.sockdiag import Found

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

LOOPBACK: Final = "127.0.0.1"

ROOT: Final = 0
"""The superuser can be anybody, and read every file."""

SYN_SENT: Final = "02"
"""The state of a socket that asks to be connected (include/net/tcp_states.h in Linux)."""

PIECE: Final = 65_536
"""Bytes read at a time."""


class End(NamedTuple):
    """
    One end of a connection: an IPv4 address and a port.
    """

    host: str
    port: int


def owner(client: End, server: End, tables: Iterable[Path] = TABLES) -> int | None:
    """
    Return the number of the user whose socket the client's end is; None if the tables do not know.

    Of a socket that its program has closed already the tables say that it is user 0's, with the
    inode 0: such a one is nobody's. Nor is one that only asks to be connected the other end of a
    connection that was accepted.

    Source: proc_net_tcp in the Linux documentation. The fields are sl, local and remote address,
    state, queues, timer, retransmits, uid, timeout, inode.
    """
    ends = tuple(zip(_spelt(client), _spelt(server), strict=True))
    for table in tables:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if (fields[1], fields[2]) not in ends or fields[3] == SYN_SENT:
                    continue
                if fields[9] != "0":
                    return int(fields[7])
    return None


def _spelt(end: End) -> tuple[str, str]:
    """
    Return how the tables spell an end: as IPv4, and as IPv4 within IPv6. Each 32 bits of an address
    are in the machine's own byte order.
    """

    def word(four: bytes) -> str:
        return f"{int.from_bytes(four, sys.byteorder):08X}"

    short = f"{word(inet_aton(end.host))}:{end.port:04X}"
    return short, f"{'0' * 16}{word(bytes((0, 0, 255, 255)))}{short}"


class Lobby:
    """
    Listens on a free port of 127.0.0.1 and passes this user's connections on. Use as `async with`.

    Args:
        socket: The Unix socket they are passed on to.
        tables: The system's tables of sockets.
        ask: Asks the system for the socket with these ends; OSError if it does not answer.

    Attributes:
        port: Where it listens.
        guarded: Whether other users of this machine are kept out.
        turned_away: Connections that were not let in.
    """

    def __init__(
        self,
        socket: Path,
        tables: tuple[Path, ...] = TABLES,
        ask: Callable[[End, End], Found] = look_up,
    ) -> None:
        self._socket = socket
        self._tables = tables
        self._ask = ask
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.guarded = any(table.exists() for table in tables)
        self.turned_away = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._greet, LOOPBACK, 0, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.guarded and not self._knows(writer):
            self.turned_away += 1
            writer.transport.abort()
            return
        _ = spawn(self._tasks, self._pass_on(reader, writer), name="lobby")

    def _knows(self, writer: asyncio.StreamWriter) -> bool:
        """
        Return whether a connection is this user's or the superuser's.
        """
        client = _far_end(writer)
        # What stands afterwards stood while the system was asked; what does not is not worth asking
        return client is not None and self._owns(client) and _far_end(writer) is not None

    def _owns(self, client: End) -> bool:
        server = End(LOOPBACK, self.port)
        uid: int | None
        try:
            found = self._ask(client, server)
        except OSError:
            uid = owner(client, server, self._tables)
        else:
            uid = found.uid if found.is_connected else None
        return uid in (os.getuid(), ROOT)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner: asyncio.StreamWriter | None = None
        try:
            answers, inner = await asyncio.open_unix_connection(self._socket, limit=PIECE)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pour(reader, inner))
                both.create_task(_pour(answers, writer))
            writer.close()  # once all is written
        except* OSError:
            writer.transport.abort()  # one end is gone; the other follows
        except* asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            if inner is not None:
                inner.transport.abort()


def _far_end(writer: asyncio.StreamWriter) -> End | None:
    """
    Return the other end of a connection; None once it was reset, when another may have its ends.
    """
    try:
        host, port = writer.get_extra_info("socket").getpeername()  # not what the loop remembers
    except OSError:  # ENOTCONN
        return None
    return End(host, port)


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """
    Move bytes until the source ends, then end the sink's direction too.
    """
    while piece := await source.read(PIECE):
        sink.write(piece)
        await sink.drain()
    if sys.platform != "win32" and sink.can_write_eof():
        sink.write_eof()

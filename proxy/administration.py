"""
The admin listener through all configurations: where it is, and who may ask.

Theory of operation
-------------------
As long as its address stays, it stays, and only who may ask is exchanged. For another address
`plan` opens a new one beside it, which serves at once; `take_over` then closes the old one, after
the answers it still owes: one of them may be to whoever asked for the reload.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proxy.admin.guard import Guard
from proxy.config.network import UnixAddress
from proxy.sockets import naming, remove_socket
from proxy.tasks import spawn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from proxy.admin.server import Admin
    from proxy.config.load import Loaded
    from proxy.config.model import Settings
    from proxy.config.network import TcpAddress
    from proxy.supervision.inheritance import Inherited


class Administration:
    """
    The admin listener, whichever it is.

    Args:
        make: Makes one that does not listen yet.
        inherited: Sockets that somebody opened for this process.

    Attributes:
        handed_over: Another process goes on accepting on its socket. May be set.
    """

    def __init__(self, make: Callable[[], Admin], inherited: Inherited) -> None:
        self._make = make
        self._inherited = inherited
        self._admin: Admin | None = None
        self._place: TcpAddress | UnixAddress | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inodes: dict[Admin, int] = {}  # of their Unix sockets
        self.handed_over = False

    @property
    def address(self) -> str:
        """
        Where it is, with its real port; empty if there is none.
        """
        return "" if self._admin is None else self._admin.address

    def sockets(self) -> tuple[tuple[str, socket.socket], ...]:
        """
        Return copies of its sockets, each with the name `admin`.
        """
        found = () if self._admin is None else self._admin.sockets()
        return tuple(("admin", each.dup()) for each in found)

    async def plan(self, loaded: Loaded) -> Admin | None:
        """
        Return the admin listener the settings ask for, the one there is if they ask for that; None
        if they ask for none.

        Raises:
            ConfigError: The address cannot be had.
        """
        address = loaded.settings.admin
        if address is None or (self._admin is not None and address == self._place):
            return None if address is None else self._admin
        admin = self._make()
        admin.guard = _guard(loaded.settings)
        with naming(("admin",), address, loaded):
            sock = self._inherited.claim("admin", address)
            try:
                await admin.start(address, sock)
            except BaseException:
                await admin.stop()
                raise
            if isinstance(address, UnixAddress) and (sock is None or self._inherited.taking_over):
                self._inodes[admin] = address.path.stat().st_ino
        return admin

    def discard(self, admin: Admin | None, loaded: Loaded) -> None:
        """
        Close one that was planned, and is not to be. Whoever has asked it for a reload meanwhile waits
        for this one to end, so nobody waits for its answers here.
        """
        if admin is not None and admin is not self._admin:
            _ = spawn(self._tasks, self._end(admin, loaded.settings.admin), name="admin")

    def take_over(self, admin: Admin | None, loaded: Loaded) -> None:
        """
        Let the admin listener be this one, and who may ask be as the settings say.
        """
        before, self._admin = self._admin, admin
        place, self._place = self._place, loaded.settings.admin
        if admin is not None:
            admin.guard = _guard(loaded.settings)
        if before is not None and before is not admin:
            _ = spawn(self._tasks, self._end(before, place), name="admin")

    async def close(self) -> None:
        """
        Stop listening.
        """
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._admin is not None:
            await self._end(self._admin, None if self.handed_over else self._place)

    async def _end(self, admin: Admin, place: TcpAddress | UnixAddress | None) -> None:
        await admin.stop()
        inode = self._inodes.pop(admin, 0)
        if isinstance(place, UnixAddress) and not self._inherited.taking_over:
            remove_socket(place.path, inode)


def _guard(settings: Settings) -> Guard:
    keys = tuple(bytes.fromhex(digest) for digest in settings.admin_key_sha256 or ())
    return Guard(keys, local=settings.admin is None or settings.admin.loopback)

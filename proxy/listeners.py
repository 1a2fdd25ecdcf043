"""
Where callers connect: the listeners, which outlive configurations as far as their sockets allow.

Theory of operation
-------------------
Each listener has a number, by which a connection knows its own; one is used again only when no
connection bears it any more. `plan` opens what new settings ask for beyond what is open, without
accepting anybody: what is in the way shows then, and `Plan.discard` leaves all as it was. `commit`
begins to accept, and closes the listeners that are no more; it cannot fail, and may be overtaken by
`close`, which then closes what it was about to open or to close.

A listener whose address stays keeps its socket: it goes on as it is, unless its TLS settings have
changed. Then a new one takes the socket over, and the old one's connections end with what they have
in progress. So nobody who connects meanwhile is turned away.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from proxy.config.network import TcpAddress
from proxy.errors import ConfigError, CredentialInvalid
from proxy.problem import Problem
from proxy.sockets import BATCH, CutOff, naming, remove_socket, serve, sockets_of, widen
from proxy.tls.listener import SHUTDOWN_TIME, ListenerCertificates
from proxy.wire.backlog import stop_accepting
from proxy.wire.connection import UNMET
from proxy.wire.downstream import Downstream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from proxy.config.load import Loaded
    from proxy.config.model import Listener
    from proxy.gateway import Gateway
    from proxy.supervision.inheritance import Inherited
    from proxy.wire.backlog import Adopt

FAREWELLS = 16
"""Connections beyond the limit that are told so at a time; those beyond them are closed without a word,
so that a flood of them takes no file descriptor from the requests being served."""


@dataclass(slots=True, eq=False)
class Opened:
    """
    A listener that is open.

    Attributes:
        number: Its number.
        entry: Its settings.
        name: Its address as written, but with its real port.
        servers: What accepts.
        adopt: Makes a connection of a socket that was accepted otherwise.
        certificates: What it shows; None without TLS.
        path: Of its Unix socket; None on the network.
        inode: What is there if it is still ours.
        lent: Who passed its socket; None for nobody. Until another process was told that this one
            serves, the file is that one's.
    """

    number: int
    entry: Listener
    name: str
    servers: tuple[asyncio.Server, ...]
    adopt: Adopt
    certificates: ListenerCertificates | None = None
    path: Path | None = None
    inode: int = 0
    lent: Inherited | None = None

    def sockets(self) -> tuple[socket.socket, ...]:
        """
        Return copies of its sockets, for whoever asks to close.
        """
        return tuple(sock.dup() for server in self.servers for sock in sockets_of(server))

    def close(self, *, leave: bool = False) -> None:
        """
        Accept nobody any more; with *leave*, a Unix socket stays: somebody else accepts there.
        """
        for server in self.servers:
            server.close()
        leave = leave or (self.lent is not None and self.lent.taking_over)
        if self.path is not None and not leave:
            remove_socket(self.path, self.inode)

    def doors(self) -> tuple[tuple[asyncio.Server, Adopt], ...]:
        """
        Return what accepts, each with `adopt`.
        """
        return tuple((server, self.adopt) for server in self.servers)


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The listeners that new settings ask for.

    Attributes:
        listeners: All of them, in the file's order.
        new: Those that do not accept anybody yet.
        numbers: The place in the file by listener's number; None for those that are no more, but
            whose connections may still be there.
    """

    listeners: tuple[Opened, ...]
    new: tuple[Opened, ...]
    numbers: Mapping[int, int | None]

    def discard(self, standing: tuple[Opened, ...]) -> None:
        """
        Close what was opened for it.
        """
        paths = {each.path for each in standing}
        for each in self.new:
            each.close(leave=each.path in paths)


class Listeners:
    """
    The listeners of this process.

    Args:
        connections: Every open connection, for those that are accepted to join.
        inherited: Sockets that somebody opened for this process.
        on_certificate: Told of what happens to certificates.

    Attributes:
        opened: In the file's order. Changed by `commit` only.
        names: What each is or was called, by its number.
        handed_over: Another process goes on accepting on these sockets. May be set.
    """

    def __init__(
        self,
        connections: set[Downstream],
        inherited: Inherited,
        on_certificate: Callable[..., None],
    ) -> None:
        self._connections = connections
        self._inherited = inherited
        self._on_certificate = on_certificate
        self._gateway: Gateway | None = None
        self._arriving: WeakSet[Downstream] = WeakSet()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving: tuple[Opened, ...] = ()  # those that `commit` is about to close
        self._closed = False
        self.handed_over = False
        self.opened: tuple[Opened, ...] = ()
        self.names: dict[int, str] = {}

    @property
    def certificates(self) -> list[ListenerCertificates]:
        """
        Those of the listeners that speak TLS.
        """
        return [each.certificates for each in self.opened if each.certificates is not None]

    def arriving(self) -> int:
        """
        Return how many have been accepted and are no callers yet: their TLS handshakes go on.
        """
        return len(self._tasks) + len(self._unmet())

    def sockets(self) -> tuple[tuple[str, socket.socket], ...]:
        """
        Return copies of the sockets, each with its address as written.
        """
        return tuple(
            (str(each.entry.address), sock) for each in self.opened for sock in each.sockets()
        )

    async def plan(self, loaded: Loaded, handshake: float) -> Plan:
        """
        Open what the settings ask for beyond what is open.

        Args:
            loaded: The configuration.
            handshake: Seconds a TLS handshake may take.

        Raises:
            ConfigError: A listener cannot be had.
        """
        standing = list(self.opened)
        taken = {each.number for each in standing}
        taken |= {caller.listener for caller in (*self._connections, *self._unmet())}
        chosen: list[Opened] = []
        new: list[Opened] = []
        numbers: dict[int, int | None] = dict.fromkeys(taken)
        try:
            for index, entry in enumerate(loaded.settings.listen):
                same = next((each for each in standing if _same(each.entry, entry)), None)
                if same is not None:
                    standing.remove(same)
                    numbers[same.number] = index
                    if same.entry.tls == entry.tls:
                        chosen.append(same)
                        continue
                number = next(each for each in itertools.count() if each not in taken)
                taken.add(number)
                opened = await self._open(number, (index, entry), loaded, handshake, same)
                numbers[number] = index
                new.append(opened)
                chosen.append(opened)
        except BaseException:
            Plan((), tuple(new), {}).discard(self.opened)
            raise
        return Plan(tuple(chosen), tuple(new), numbers)

    async def commit(self, plan: Plan, loaded: Loaded, gateway: Gateway) -> None:
        """
        Accept callers as planned.
        """
        self._gateway = gateway
        before, self.opened = self.opened, plan.listeners
        self._leaving = gone = tuple(each for each in before if each not in plan.listeners)
        for each, entry in zip(plan.listeners, loaded.settings.listen, strict=True):
            each.entry = entry
        for each in plan.new:
            self.names[each.number] = each.name
            for server in each.servers:
                if self._closed:
                    return
                await server.start_serving()
                widen(server)
        await self._part(gone)
        self._leaving = ()
        numbers = {each.number for each in gone}
        for caller in tuple(self._connections):
            if caller.listener in numbers:
                caller.drain()

    async def close(self) -> None:
        """
        Accept nobody any more, but whoever has connected already.
        """
        self._closed = True
        doors = [door for each in self.opened for door in each.doors()]
        await stop_accepting(doors, self._tasks, shared=self.handed_over)
        for each in (*self.opened, *self._leaving):
            each.close(leave=self.handed_over)
        self.opened = self._leaving = ()

    async def _part(self, gone: tuple[Opened, ...]) -> None:
        """
        Close listeners that are no more.
        """
        names = {each.name for each in self.opened}
        paths = {each.path for each in self.opened}
        for shared in (True, False):
            # A socket that goes on in another listener has its backlog served there
            doors = [
                door for each in gone if (each.name in names) is shared for door in each.doors()
            ]
            if doors:
                await stop_accepting(doors, self._tasks, shared=shared)
        for each in gone:
            each.close(leave=each.path in paths)

    def _unmet(self) -> list[Downstream]:
        """
        Return the callers that have been accepted and whose TLS handshakes go on.
        """
        return [caller for caller in self._arriving if caller.peer == UNMET]

    async def _open(
        self,
        number: int,
        placed: tuple[int, Listener],
        loaded: Loaded,
        handshake: float,
        same: Opened | None,
    ) -> Opened:
        index, entry = placed
        address = entry.address
        certificates = self._certificates(index, entry, loaded)
        tls: dict[str, Any] = {}
        if certificates is not None:
            tls["ssl"] = certificates.door
            tls["ssl_handshake_timeout"] = handshake
            tls["ssl_shutdown_timeout"] = SHUTDOWN_TIME
        make = partial(self._accept, number, met=certificates is None)

        def adopt(accepted: socket.socket) -> Coroutine[Any, Any, object]:
            loop = asyncio.get_running_loop()
            return loop.connect_accepted_socket(make, accepted, **tls)

        with naming(("listen", index), address, loaded):
            sockets = () if same is None else same.sockets()
            claimed = () if sockets else self._inherited.claim_all(str(address), address)
            sockets = sockets or claimed
            with ExitStack() as undo:
                for sock in sockets:
                    undo.callback(sock.close)
                servers = await serve(
                    address, make, sockets, backlog=BATCH, start_serving=False, **tls
                )
                opened = Opened(number, entry, str(address), servers, adopt, certificates)
                undo.callback(opened.close, leave=bool(sockets))
                self._place(opened, same, claimed=bool(claimed))
                for server in servers:
                    widen(server)  # nothing can be in the way later; who connects already waits
                undo.pop_all()
        return opened

    def _place(self, opened: Opened, same: Opened | None, *, claimed: bool) -> None:
        """
        Note where a listener is, and whose its Unix socket.
        """
        address = opened.entry.address
        if isinstance(address, TcpAddress):
            port = sockets_of(opened.servers[0])[0].getsockname()[1]
            opened.name = str(TcpAddress(address.host, port))
        elif same is not None:
            opened.path, opened.inode, opened.lent = same.path, same.inode, same.lent
        elif not claimed or self._inherited.taking_over:  # else a service manager's for good
            if not claimed:
                address.path.chmod(0o660)
            opened.path, opened.inode = address.path, address.path.stat().st_ino
            opened.lent = self._inherited if claimed else None

    def _certificates(
        self, index: int, entry: Listener, loaded: Loaded
    ) -> ListenerCertificates | None:
        if entry.tls is None:
            return None
        try:
            return ListenerCertificates(
                entry.tls, loaded.base, str(entry.address), self._on_certificate
            )
        except CredentialInvalid as error:
            problem = Problem(f"listen[{index}].tls", error.reason, file=loaded.origin)
            raise ConfigError([problem]) from error

    def _accept(self, number: int, *, met: bool) -> asyncio.Protocol:
        """
        Return the protocol of a connection that listener *number* has accepted.
        """
        gateway = self._gateway
        assert gateway is not None
        if len(self._connections) >= gateway.limits.connections + FAREWELLS:
            return CutOff()
        caller = Downstream(gateway, number, self._connections)
        if not met:
            self._arriving.add(caller)
        return caller


def _same(before: Listener, entry: Listener) -> bool:
    return before.address == entry.address

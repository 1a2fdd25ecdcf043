"""
A TCP connection to whichever address of a name answers first.

Theory of operation
-------------------
Addresses are tried one after the other, families in turn, each `DELAY` after the one before or as
soon as that has failed, and all that were begun go on; the first that stands wins, the others are
closed (RFC 8305 §5). An address that failed lately, or was overtaken, goes to the end of the list
for a while. If a remembered answer led nowhere the name is looked up anew before giving up.

`may_dial` is asked about each address right before its socket is connected, wherever the address
came from. Nothing else here opens a socket.

State: the resolver's, the addresses that failed lately, and the attempts on their way.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache

from proxy.errors import UpstreamConnect
from proxy.tasks import spawn
from proxy.wire.resolve import IP, Resolver, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DELAY = 0.25
"""Seconds between two attempts. RFC 8305 §8: 250 ms recommended."""

AVOIDED = 10.0
"""Seconds for which an address that failed is tried last. Ours."""

# Seconds, seconds, times: a peer that is gone without a word is noticed within a minute.
KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # this host lacks the family


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where one socket is connected to.

    Attributes:
        ip: The IP address.
        port: The TCP port.
    """

    ip: IP
    port: int


def anywhere(address: Address) -> bool | str:  # noqa: ARG001 - the form of a policy
    """
    Allow every address.
    """
    return True


class Dialler:
    """
    Connects sockets.

    Args:
        resolver: Looks names up; closed with this.
        now: Returns boot-clock seconds.
        may_dial: Returns True for an address that may be dialled; else False, or why not in a few
            words that do not name the address.
        delay: Seconds between two attempts.
    """

    def __init__(
        self,
        resolver: Resolver,
        now: Callable[[], float],
        *,
        may_dial: Callable[[Address], bool | str] = anywhere,
        delay: float = DELAY,
    ) -> None:
        self._resolver = resolver
        self._may_dial = may_dial
        self._delay = delay
        self._avoided: TTLCache[Address, bool] = TTLCache(1024, AVOIDED, timer=now)
        self._attempts: set[asyncio.Task[Any]] = set()

    async def dial(self, host: str, port: int) -> socket.socket:
        """
        Return a socket connected to *host*, an IP address or a name.

        Raises:
            OSError: Nobody answers there, or the name does not resolve (`socket.gaierror`).
            UpstreamConnect: None of its addresses may be dialled.
        """
        ip = literal(host)
        if ip is not None:
            return await self._attempt(Address(ip, port))
        try:
            return await self._dial_name(host, port)
        except asyncio.CancelledError:
            self._resolver.forget(host)  # mostly a deadline: perhaps nobody is there any more
            raise

    async def _dial_name(self, host: str, port: int) -> socket.socket:
        resolver = self._resolver
        known = resolver.known(host)
        if known is None:
            return await self._race(await resolver.ask(host), port)
        try:
            return await self._race(known, port)
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            others = [ip for ip in await resolver.ask(host) if ip not in known]
            if not others:
                raise
            return await self._race(others, port)

    def close(self) -> None:
        """
        Stop every attempt.
        """
        self._resolver.close()
        for task in tuple(self._attempts):
            task.cancel()

    def _order(self, ips: Sequence[IP], port: int) -> list[Address]:
        addresses = [Address(ip, port) for ip in interleave(ips)]
        return sorted(addresses, key=self._avoided.__contains__)  # stable: False before True

    async def _race(self, ips: Sequence[IP], port: int) -> socket.socket:
        todo = deque(self._order(ips, port))
        if len(todo) == 1:
            return await self._attempt(todo[0])
        running: dict[asyncio.Task[socket.socket], Address] = {}
        errors: list[BaseException] = []
        try:
            while todo or running:
                if todo:
                    address = todo.popleft()
                    task = spawn(self._attempts, self._attempt(address), name="dial")
                    running[task] = address
                done, _ = await asyncio.wait(
                    running,
                    timeout=self._delay if todo else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in [task for task in running if task in done]:
                    error = task.exception()
                    if error is None:
                        return self._won(running, task)
                    del running[task]
                    errors.append(error)
        finally:
            for task in running:
                _discard(task)
        raise telling(errors)

    def _won(
        self,
        running: dict[asyncio.Task[socket.socket], Address],
        winner: asyncio.Task[socket.socket],
    ) -> socket.socket:
        """
        Take the winner out; what began before it and still runs is slow, and avoided for a while.
        """
        for task, address in running.items():
            if task is winner:
                break
            self._avoided[address] = True
        self._avoided.pop(running.pop(winner), None)
        return winner.result()

    async def _attempt(self, address: Address) -> socket.socket:
        verdict = self._may_dial(address)
        if verdict is not True:
            raise UpstreamConnect(
                f"the upstream's address may not be dialled: {verdict or 'the policy says so'}"
            )
        sock = socket.socket(
            socket.AF_INET if address.ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM
        )
        try:
            prepare(sock)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (str(address.ip), address.port))
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                self._avoided[address] = True
            raise
        return sock


def prepare(sock: socket.socket) -> None:
    """
    Set what every socket to an upstream has: no blocking, no delay, keepalive.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        option = getattr(socket, name, None)  # macOS lacks the first
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def interleave(ips: Iterable[IP]) -> list[IP]:
    """
    Return the addresses with their families in turn, that of the first one first.

    Source: RFC 8305 §4, with a First Address Family Count of 1.
    """
    ips = tuple(ips)
    same = [ip for ip in ips if ip.version == ips[0].version]
    other = [ip for ip in ips if ip.version != ips[0].version]
    return [ip for ip in chain.from_iterable(zip_longest(same, other)) if ip is not None]


def telling(errors: Sequence[BaseException]) -> BaseException:
    """
    Return the error that says most: our own trouble, then an answer, then that there is no way.
    """

    def rank(error: BaseException) -> int:
        if not isinstance(error, OSError):
            return 2
        if error.errno in NO_DESCRIPTOR:
            return 0
        return 3 if error.errno in NO_WAY else 1

    return min(errors, key=rank)


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """
    End an attempt nobody wants any more, and close its socket if it has come to stand.
    """
    if not task.done():
        task.cancel()  # the attempt closes its socket
    elif not task.cancelled() and task.exception() is None:
        task.result().close()

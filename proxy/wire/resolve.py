"""
Names into IP addresses: asked of the system, remembered for a while, one question per name.

Theory of operation
-------------------
An answer is kept for `KEPT` seconds, because the system's resolver does not say for how long it is
good; a failure only for `FAILED`, so that a name that was just created is not missing for long.
All who want the same name wait for the same look-up. It belongs to the resolver: a system call
cannot be cancelled, and whoever leaves must not leave a thread behind that the next one adds to.

State: the answers, the failures, and the look-ups on their way.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache

from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    Lookup = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]

IP = IPv4Address | IPv6Address

# Ours, in seconds: what common proxies and runtimes keep where no TTL is known.
KEPT = 30.0
FAILED = 1.0

PATIENCE = 30.0
"""Seconds a look-up may take; glibc gives up after as many with three silent name servers."""

NAMES = 1024
"""Names remembered at once."""

ADDRESSES = 16
"""Addresses used of one answer. It comes from outside; no honest name needs more to be reached."""


class Resolver:
    """
    Looks names up.

    Args:
        now: Returns boot-clock seconds.
        lookup: Returns for a name what `socket.getaddrinfo` does.
    """

    def __init__(self, now: Callable[[], float], lookup: Lookup | None = None) -> None:
        self._lookup = lookup or ask_system
        self._answers: TTLCache[str, tuple[IP, ...]] = TTLCache(NAMES, KEPT, timer=now)
        self._failures: TTLCache[str, OSError] = TTLCache(NAMES, FAILED, timer=now)
        self._flights: dict[str, asyncio.Task[tuple[IP, ...] | OSError]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def known(self, host: str) -> tuple[IP, ...] | None:
        """
        Return the remembered addresses of *host*, the preferred first; None if there are none.
        """
        return self._answers.get(host)

    def forget(self, host: str) -> None:
        """
        Drop the remembered addresses of *host*.
        """
        self._answers.pop(host, None)

    async def ask(self, host: str) -> tuple[IP, ...]:
        """
        Return the addresses of *host* as of now, the preferred first; at least one.

        Raises:
            OSError: It has none, or nobody could be asked: mostly `socket.gaierror`.
        """
        outcome: tuple[IP, ...] | OSError | None = self._failures.get(host)
        if outcome is None:
            outcome = await asyncio.shield(self._flight(host))
        if isinstance(outcome, OSError):
            raise type(outcome)(*outcome.args)  # a new one: each raise adds to a traceback
        return outcome

    def close(self) -> None:
        """
        Stop waiting for answers.
        """
        for task in tuple(self._tasks):
            task.cancel()

    def _flight(self, host: str) -> asyncio.Task[tuple[IP, ...] | OSError]:
        flight = self._flights.get(host)
        if flight is None:
            flight = spawn(self._tasks, self._look_up(host), name=f"resolve {host}")
            self._flights[host] = flight
            flight.add_done_callback(lambda _: self._flights.pop(host))
        return flight

    async def _look_up(self, host: str) -> tuple[IP, ...] | OSError:
        """
        Return the outcome rather than raise it: perhaps nobody waits any more.
        """
        self._answers.pop(host, None)
        failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        try:
            async with asyncio.timeout(PATIENCE):
                addresses = read_answer(await self._lookup(host))
        except UnicodeError:
            addresses = ()  # it cannot be written as a name at all
        except OSError as error:
            addresses = ()
            failure = type(error)(*error.args)  # without the frames that the caught one holds
        if addresses:
            self._answers[host] = addresses
            return addresses
        self._failures[host] = failure
        return failure


async def ask_system(host: str) -> Sequence[tuple[Any, ...]]:
    """
    Ask the system's resolver, in a thread of the loop's.
    """
    return await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)


def read_answer(answer: Iterable[tuple[Any, ...]]) -> tuple[IP, ...]:
    """
    Return the IP addresses of what `getaddrinfo` returned, each once, in its order.

    Source: RFC 6724 for the order; RFC 4007 §11 for the zone of a link-local address.
    """
    found: dict[IP, None] = {}
    for family, _, _, _, address in answer:
        host = address[0]
        if family == socket.AF_INET6 and len(address) == 4 and address[3] and "%" not in host:
            host = f"{host}%{address[3]}"
        if family in (socket.AF_INET, socket.AF_INET6):
            ip = literal(host)
            if ip is not None:
                found[ip] = None
        if len(found) == ADDRESSES:
            break
    return tuple(found)


def literal(host: str) -> IP | None:
    """
    Return the IP address that *host* is; None if it is a name.
    """
    try:
        return ip_address(host)
    except ValueError:
        return None

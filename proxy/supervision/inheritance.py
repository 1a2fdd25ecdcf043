"""
Listening sockets that were opened by somebody else, for this process to accept on.

Theory of operation
-------------------
A service manager that listens in our stead passes its sockets as file descriptors from 3 on:
`LISTEN_FDS` says how many, `LISTEN_PID` for whom, `LISTEN_FDNAMES` what they are called
(sd_listen_fds(3)). A process that hands over to this one passes them the same way, but cannot know
our process id before it has started us: in place of `LISTEN_PID` it names, in `HANDOVER`, one more
file descriptor, a pipe on which it waits to be told that we serve. Names are percent-encoded there,
for addresses hold the colon that parts them.

A listener claims the socket that bears its name, else one that is bound to its address. What
nobody claims is closed: somebody might be connecting there and wait for ever.

What cannot be used is complained of and left out; the listener then opens its own. The variables
are taken out of the environment, so that nothing this process starts takes them for its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote

from proxy.config.network import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

HANDOVER = "AUTHPROXY_HANDOVER"
"""The variable with the number of the pipe on which the process before this one waits."""

REVOKED = "AUTHPROXY_REVOKED"
"""The variable with the service users that an operator has revoked in the process before this one."""

FIRST = 3
"""SD_LISTEN_FDS_START: the file descriptors below are standard input, output and error."""

MOST = 1024
"""Sockets that are looked at."""

READY = b"ready\n"
"""What is said on the pipe."""


class Inherited:
    """
    The sockets nobody has claimed yet.

    Args:
        sockets: By the name each was given; they listen.
        problems: What was wrong with others, in words.
        pipe: Where the process before this one waits; -1 if there is none.
        revoked: The service users that are revoked there.
    """

    def __init__(
        self,
        sockets: Iterable[tuple[str, socket.socket]] = (),
        problems: Iterable[str] = (),
        pipe: int = -1,
        revoked: Iterable[str] = (),
    ) -> None:
        self._sockets = list(sockets)
        self._pipe = pipe
        self.revoked = tuple(revoked)
        self.problems = tuple(problems)

    @property
    def taking_over(self) -> bool:
        """
        Whether another process waits for this one to take its place.
        """
        return self._pipe >= 0

    def claim(self, name: str, address: TcpAddress | UnixAddress) -> socket.socket | None:
        """
        Return the socket of this name, else one that is bound to this address, else None. It
        belongs to the caller from then on.

        Args:
            name: What the listener is called: its address as proxy.yaml has it, or `admin`.
            address: Where it is to listen. Port 0 is nowhere: only a name fits it.
        """
        family = _families(address)
        for fits in (lambda each: each[0] == name, lambda each: _bound(each[1], address)):
            for each in self._sockets:
                if each[1].family in family and fits(each):
                    self._sockets.remove(each)
                    return each[1]
        return None

    def claim_all(self, name: str, address: TcpAddress | UnixAddress) -> tuple[socket.socket, ...]:
        """
        Return the sockets for one listener: `claim`'s, and with a host of several addresses the one
        of each.
        """
        claimed: list[socket.socket] = []
        left = list(self._sockets)
        while (found := self.claim(name, address)) is not None:
            if any(_host(found) == _host(each) for each in claimed):
                self._sockets = [each for each in left if each[1] not in claimed]
                break
            claimed.append(found)
        return tuple(claimed)

    def unclaimed(self) -> tuple[str, ...]:
        """
        Return what is left, by name and address.
        """
        return tuple(f"{name} ({_where(each)})" for name, each in self._sockets)

    def close(self) -> None:
        """
        Close what is left.
        """
        for _, each in self._sockets:
            each.close()
        self._sockets.clear()

    def serving(self) -> None:
        """
        Tell the process before this one that we serve, if one waits; once.
        """
        if self._pipe >= 0:
            with contextlib.suppress(OSError):  # it is gone: all the more reason to serve
                os.write(self._pipe, READY)
            os.close(self._pipe)
            self._pipe = -1


def inherit(environ: MutableMapping[str, str], pid: int) -> Inherited:
    """
    Return the sockets that were passed to this process, and take the variables out of *environ*.

    Args:
        environ: The process's environment.
        pid: This process.
    """
    whose, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = [unquote(name) for name in environ.pop("LISTEN_FDNAMES", "").split(":")]
    problems: list[str] = []
    pipe = _pipe(environ.pop(HANDOVER, ""), problems)
    revoked = environ.pop(REVOKED, "")
    if not count or (pipe < 0 and whose != str(pid)):
        if count and not whose:
            problems.append("LISTEN_FDS is set, but LISTEN_PID does not say for whom: not used")
        return Inherited(problems=problems, pipe=pipe)
    if not (count.isascii() and count.isdecimal() and int(count[:9]) <= MOST):
        problems.append(f"LISTEN_FDS is no number up to {MOST}: no socket is taken over")
        return Inherited(problems=problems, pipe=pipe)
    sockets = []
    for place in range(int(count)):
        name = names[place] if place < len(names) and names[place] else "unknown"
        found = _listening(FIRST + place)
        if isinstance(found, str):
            problems.append(f"file descriptor {FIRST + place} is {found}: it is not used")
        else:
            sockets.append((name, found))
    names = revoked.split(",") if revoked and pipe >= 0 else []
    return Inherited(sockets, problems, pipe, names)


def _listening(number: int) -> socket.socket | str:
    """
    Return the listening stream socket that file descriptor *number* is, or what it is instead.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return "no socket"
        found = socket.socket(fileno=number)
    except OSError:
        return "not open"
    with contextlib.suppress(OSError):
        if found.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            pass
        elif found.type == socket.SOCK_STREAM and _accepts(found):
            found.set_inheritable(False)
            found.setblocking(False)
            return found
    found.detach()  # not ours to close
    return "no stream socket that listens"


def _accepts(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _pipe(number: str, problems: list[str]) -> int:
    """
    Return the pipe on which the process before this one waits; -1 if there is none.
    """
    if not number:
        return -1
    with contextlib.suppress(OSError, ValueError, OverflowError):
        found = int(number)
        if found >= FIRST and stat.S_ISFIFO(os.fstat(found).st_mode):
            os.set_inheritable(found, False)
            return found
    problems.append(f"{HANDOVER} names no pipe: it is set by a process that hands over alone")
    return -1


def _host(found: socket.socket) -> str:
    """
    Return the IP address a socket is bound to, or its path.
    """
    where = found.getsockname()
    return str(where[0]) if isinstance(where, tuple) else str(where)


def _families(address: TcpAddress | UnixAddress) -> tuple[socket.AddressFamily, ...]:
    if isinstance(address, UnixAddress):
        return (socket.AF_UNIX,)
    return (socket.AF_INET, socket.AF_INET6)


def _bound(found: socket.socket, address: TcpAddress | UnixAddress) -> bool:
    """
    Return whether a socket is bound to this address.
    """
    try:
        where = found.getsockname()
    except OSError:
        return False
    if isinstance(address, UnixAddress):
        return isinstance(where, str) and os.path.abspath(where) == os.path.abspath(address.path)  # noqa: PTH100 - links stay as they are
    return where[1] == address.port and _ip(where[0]) in set(_ips(address.host))


def _ips(host: str) -> Iterator[str]:
    with contextlib.suppress(ValueError):
        yield _ip(host)
        return
    with contextlib.suppress(OSError, UnicodeError):
        for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            yield _ip(str(found[4][0]))


def _ip(text: str) -> str:
    return str(ip_address(text))


def _where(found: socket.socket) -> str:
    with contextlib.suppress(OSError):
        where = found.getsockname()
        if isinstance(where, str):
            return f"unix:{where}"
        if isinstance(where, tuple):
            return str(TcpAddress(where[0], where[1]))
    return "no address"

"""
What the system tells of who is at the other end of an accepted connection.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio

# unix(7): struct ucred { pid_t pid; uid_t uid; gid_t gid; }, of when the connection was made
_UCRED: Final = struct.Struct("=iII")
_SO_PEERCRED: Final[int | None] = getattr(socket, "SO_PEERCRED", None)  # Linux has it


class Peer(NamedTuple):
    """
    Who is at the other end.

    Attributes:
        address: Where it connects from, an IPv4 address within an IPv6 one taken out; None on a Unix
            socket.
        uid: Number of the user that connected, on a Unix socket; None if unknown.
        gid: Number of that user's main group then; None if unknown.
        names: Kind and value of each subject alternative name in the certificate shown over TLS,
            such as `("URI", "spiffe://…")`; none if there is no certificate that was verified.
    """

    address: IPv4Address | IPv6Address | None = None
    uid: int | None = None
    gid: int | None = None
    names: tuple[tuple[str, str], ...] = ()


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """
    Return who is at the other end of an accepted connection.
    """
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple) and address:
        return Peer(_parsed(str(address[0])), names=_names(transport))
    uid, gid = _owner(transport.get_extra_info("socket"))
    return Peer(uid=uid, gid=gid, names=_names(transport))


def local_address(transport: asyncio.BaseTransport | None) -> tuple[bytes, int] | None:
    """
    Return address and port of our end of an accepted connection; None on a Unix socket.
    """
    address = None if transport is None else transport.get_extra_info("sockname")
    if isinstance(address, tuple) and address:
        return str(address[0]).encode(), int(address[1])
    return None


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _names(transport: asyncio.BaseTransport) -> tuple[tuple[str, str], ...]:
    tls = transport.get_extra_info("ssl_object")
    shown = None if tls is None else tls.getpeercert()  # empty unless it was verified
    names = (shown or {}).get("subjectAltName", ())
    return tuple((str(each[0]), each[1]) for each in names if isinstance(each[1], str))


def _owner(sock: socket.socket | None) -> tuple[int | None, int | None]:
    if sock is None or _SO_PEERCRED is None or sock.family != socket.AF_UNIX:
        return None, None
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _UCRED.size)
    except OSError:
        return None, None
    _, uid, gid = _UCRED.unpack(raw)
    return uid, gid

"""
Whether an IP address is one of this machine's own.
"""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

ANY_PORT = 9
"""Which port is asked about makes no difference (9: discard, RFC 863)."""


def is_local(ip: IPv4Address | IPv6Address) -> bool:
    """
    Return whether packets to this address never leave the machine.

    The kernel is asked which source address it would take: to an address of its own, that very one
    (RFC 6724 §5, rule 1). Connecting a datagram socket sends nothing. Whether a socket can be bound
    there says less: some machines may bind any address (`ip_nonlocal_bind`).
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
            sock.connect((str(ip), ANY_PORT))
            return str(sock.getsockname()[0]) == str(ip)
    except OSError:
        return False  # there is no way there at all

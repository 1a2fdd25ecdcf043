"""
What Linux knows of the other end of a TCP connection within this machine (sock_diag(7)).

One exact question, answered at once, whatever else is connected: unlike the table of all sockets,
which takes milliseconds to read even where it is short.

Source: linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h. Numbers are in the machine's own
byte order but for ports and addresses.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from socket import inet_aton
from typing import Final, NamedTuple

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_REQUEST: Final = 1
ALL_STATES: Final = 0xFFF
SYN_SENT: Final = 2

# struct nlmsghdr: length, type, flags, sequence, port
_HEADER: Final = struct.Struct("=IHHII")
# struct inet_diag_req_v2 up to its sockid: family, protocol, extensions, padding, states
_WHAT: Final = struct.Struct("=BBBxI")
# struct inet_diag_sockid: ports and addresses; interface; cookie, here INET_DIAG_NOCOOKIE
_ENDS: Final = struct.Struct("!HH4s12x4s12x")
_ANY: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
# struct inet_diag_msg: family, state, …, sockid, expires, queues, uid, inode
_FOUND: Final = struct.Struct("=xB2x48x12xII")
_ERROR: Final = struct.Struct("=i")

LONGEST: Final = 8192
"""Bytes of an answer; it has some hundred."""


class Found(NamedTuple):
    """
    A socket.

    Attributes:
        state: As in net/tcp_states.h.
        uid: Number of the user it belongs to.
        inode: 0 once its program has closed it; then the user is not its own either.
    """

    state: int
    uid: int
    inode: int

    @property
    def is_connected(self) -> bool:
        """
        Whether a program has it, and it is the end of a connection.
        """
        return self.inode != 0 and self.state != SYN_SENT


def look_up(own: tuple[str, int], other: tuple[str, int]) -> Found:
    """
    Return the TCP socket with these ends.

    Args:
        own: IPv4 address and port of its own end. IPv4 within an IPv6 socket is found too.
        other: Those of the other end.

    Raises:
        OSError: The system cannot be asked, or knows none (both may be ENOENT).
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    ends = _ENDS.pack(own[1], other[1], inet_aton(own[0]), inet_aton(other[0]))
    body = _WHAT.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, ALL_STATES) + ends + _ANY
    head = _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asking:
        asking.setblocking(False)  # it is answered while it is asked
        asking.send(head + body)
        answer = asking.recv(LONGEST)
    try:
        if _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
            (code,) = _ERROR.unpack_from(answer, _HEADER.size)
            raise OSError(-code, os.strerror(-code))
        return Found(*_FOUND.unpack_from(answer, _HEADER.size))
    except struct.error:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG)) from None

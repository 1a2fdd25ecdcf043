"""
A service manager's end of the socket it is told on.
"""

from __future__ import annotations

import asyncio
import socket

PATIENCE = 10.0


class Manager:
    """
    Hears what a service is told to say.
    """

    def __init__(self, name):
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.setblocking(False)

    async def hear(self):
        """
        Return the next message's lines.
        """
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return data.decode().split("\n")

    def silent(self):
        """
        Say whether nothing was said.
        """
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        return False

    def close(self):
        """
        Hear no more.
        """
        self._socket.close()

"""
A caller's connection as something that is read, held, written and closed.

Reading stops while any bit of `held` is set, and goes on when the last is cleared.

Closing lingers where the caller may still be sending: its remaining bytes are read and thrown away
for a while, because closing a socket with unread bytes makes the kernel reset the connection and
the answer with it (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.limits import Limits

# Why a caller is not read at the moment, as bits of `held`. Plain numbers: an enum's operators
# cost a hundred times theirs, and these are looked at for each request.
QUEUED = 1  # another request of this connection waits for its turn
NO_UPSTREAM = 2  # body bytes came before there is an upstream to take them
UPSTREAM_FULL = 4  # the upstream takes them more slowly than they come
CALLER_FULL = 8  # the caller takes its answers more slowly than they come

# SO_LINGER for no time at all: the kernel sends a reset, and nothing that is still unsent
RESET = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """
    The half of an accepted connection that knows nothing of requests.

    Attributes:
        limits: What it may use up.
        transport: None before it is made and after it is lost.
        peer: Who is at the other end: address and port, or `unix`.
        held: Why it is not read at the moment; 0 while it is.
        closing: Nothing will be read or written any more.
    """

    __slots__ = (
        "_now",
        "_progress",
        "_since",
        "_wasted",
        "closing",
        "held",
        "limits",
        "peer",
        "transport",
    )

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self.limits = limits
        self.transport: asyncio.Transport | None = None
        self.peer = "unix"
        self.held = 0
        self.closing = False
        self._now = now
        self._wasted = 0
        self._progress = -1
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Note who is there.
        """
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and len(peer) > 1:
            self.peer = f"{peer[0]}:{peer[1]}"
        self._since = self._now()

    def write(self, data: bytes) -> None:
        """
        Write to the caller, if it is still there.
        """
        if self.transport is not None and not self.closing:
            self.transport.write(data)

    def pause_writing(self) -> None:
        """
        Take no more from a caller that does not take what it asked for.
        """
        self.hold(CALLER_FULL)

    def resume_writing(self) -> None:
        """
        Go on.
        """
        self.release(CALLER_FULL)

    def hold(self, why: int) -> None:
        """
        Stop reading for one more reason.
        """
        if not self.held and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self.held |= why

    def release(self, why: int) -> None:
        """
        One reason not to read is gone.
        """
        if self.held & why:
            self.held &= ~why
            if not self.held and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def _close(self, *, linger: bool) -> None:
        """
        Close after what is written has gone out, reading on for a while if asked to.
        """
        transport = self.transport
        if transport is None or self.closing:
            return
        self.closing = True
        self._since = self._now()
        self._wasted = 0
        if linger and transport.can_write_eof():
            if self.held:
                self.held = 0
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()

    def _reset(self) -> None:
        """
        Close so that the caller cannot take it for an orderly end (RFC 9112 §8).
        """
        transport = self.transport
        if transport is None:
            return
        self.closing = True
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()

    def _waste(self, size: int) -> bool:
        """
        Count bytes nobody wants; return whether there were too many.
        """
        self._wasted += size
        return self._wasted > self.limits.waste

    def _moved(self, progress: int, now: float) -> bool:
        """
        Return whether a byte moved since the last sweep, by this count or towards the caller.
        """
        if self.transport is not None:
            progress += self.transport.get_write_buffer_size()
        if progress == self._progress:
            return False
        self._progress = progress
        self._since = now
        return True

    def _sweep_closing(self, now: float) -> None:
        transport = self.transport
        if transport is None or self._moved(-2, now):
            return
        limits = self.limits
        unsent = transport.get_write_buffer_size()
        if now - self._since > (limits.body_time if unsent else limits.linger_time):
            transport.abort()

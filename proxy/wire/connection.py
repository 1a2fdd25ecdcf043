"""
A caller's connection as something that is read, held, written and closed.

Reading stops while any bit of `held` is set, and goes on when the last is cleared.

Closing lingers where the caller may still be sending: its remaining bytes are read and thrown away
for a while, because closing a socket with unread bytes makes the kernel reset the connection and
the answer with it (RFC 9112 §9.6). Only so many are read; for the rest of that while the caller
has the answer before it, and nothing takes its bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from proxy.wire.kernel import ENDED, ask, reset
from proxy.wire.peer import Peer, peer_of
from proxy.wire.wheel import LOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.limits import Limits
    from proxy.wire.wheel import Wheel

# Why a caller is not read at the moment, as bits of `held`. Plain numbers: an enum's operators
# cost a hundred times theirs, and these are looked at for each request.
QUEUED = 1  # another request of this connection waits for its turn
NO_UPSTREAM = 2  # body bytes came before there is an upstream to take them
UPSTREAM_FULL = 4  # the upstream takes them more slowly than they come
CALLER_FULL = 8  # the caller takes its answers more slowly than they come
UPGRADING = 16  # what comes next depends on what the upstream says to an upgrade
HALF_CLOSED = 32  # the caller has said that nothing more comes; never cleared
WASTED = 64  # it closes, and enough was read to be thrown away; never cleared


UNMET = ""
"""What stands for the caller's address until the connection is made: a TLS handshake comes before."""


class Connection(asyncio.Protocol):
    """
    The half of an accepted connection that knows nothing of requests.

    Attributes:
        limits: What it may use up.
        transport: None before it is made and after it is lost.
        peer: Who is at the other end: address and port, or `unix`.
        held: Why it is not read at the moment; 0 while it is.
        closing: Nothing will be read or written any more.
        look_at: The wheel's.
    """

    __slots__ = (
        "_now",
        "_progress",
        "_since",
        "_wasted",
        "_wheel",
        "_who",
        "closing",
        "held",
        "limits",
        "look_at",
        "peer",
        "transport",
    )

    def __init__(self, limits: Limits, now: Callable[[], float], wheel: Wheel) -> None:
        self.limits = limits
        self.transport: asyncio.Transport | None = None
        self.peer = UNMET
        self.held = 0
        self.closing = False
        self.look_at = 0
        self._now = now
        self._wheel = wheel
        self._who: Peer | None = None
        self._wasted = 0
        self._progress = -1
        self._since = 0.0  # when something last moved; 0: the next look notes the time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Note who is there.
        """
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        is_address = isinstance(peer, tuple) and len(peer) > 1
        self.peer = f"{peer[0]}:{peer[1]}" if is_address else "unix"
        if not self.transport.can_write_eof():  # TLS: event loops let 512 KiB gather there
            self.transport.set_write_buffer_limits(64 * 1024)
        self._since = self._now()
        self._wheel.enter(self, 0.0)

    def who(self) -> Peer:
        """
        Return what the system tells of who is there; asked once, while somebody is.
        """
        if self._who is None:
            self._who = Peer() if self.transport is None else peer_of(self.transport)
        return self._who

    def look(self, now: float) -> float:
        """
        See to the deadlines; return when to look again.
        """
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """
        Write to the caller, if it is still there.
        """
        if self.transport is not None and not self.closing:
            self.transport.write(data)

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
        if linger and transport.can_write_eof() and not self.held & HALF_CLOSED:
            if self.held:
                self.held = 0
                transport.resume_reading()
            self._wheel.enter(self, 0.0)
            transport.write_eof()
        else:
            transport.close()
            if self.transport is not None:
                self._wheel.enter(self, 0.0)

    def _reset(self) -> None:
        """
        Close so that the caller cannot take it for an orderly end (RFC 9112 §8).
        """
        if self.transport is not None:
            self.closing = True
            reset(self.transport)

    def _abort(self) -> None:
        """
        Close at once, whatever is still to be written.
        """
        if self.transport is not None:
            self.transport.abort()

    def _ask(self, events: int = ENDED) -> int:
        """
        Return what the kernel knows of the caller: `ENDED`, `GONE` and the like.
        """
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        number = -1 if sock is None else sock.fileno()
        return 0 if number < 0 else ask(number, events)

    def _waste(self, size: int) -> bool:
        """
        Count bytes nobody wants; return whether there were too many.
        """
        self._wasted += size
        return self._wasted > self.limits.waste

    def _moved(self, progress: int, now: float) -> bool:
        """
        Return whether a byte moved since the last look, by this count or towards the caller.
        """
        if self.transport is not None:
            progress += self.transport.get_write_buffer_size()
        if progress == self._progress and self._since:
            return False
        self._progress = progress
        self._since = now
        return True

    def _look_closing(self, now: float) -> float:
        transport = self.transport
        if transport is None:
            return 0.0
        if not self._moved(-2, now):
            limits = self.limits
            # TLS does not tell what the socket below it still holds
            unsent = transport.get_write_buffer_size() or not transport.can_write_eof()
            if now - self._since > (limits.body_time if unsent else limits.linger_time):
                transport.abort()
                return 0.0
        return now + LOOK

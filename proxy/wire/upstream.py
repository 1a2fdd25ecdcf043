"""
One connection to an upstream: taken, written to, held, given back or closed.

Theory of operation
-------------------
A connection is idle in its pool, or serves one exchange. Its responses are read by
`wire.answering`, as suspiciously as requests are. Only when one is over may the connection serve
another exchange, and only if the request was sent whole, both sides keep the connection, and not one
byte came too many. A byte that arrives while idle belongs to nobody: the connection is dropped, so
it can never become the start of another caller's response.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from proxy.wire.answering import Answering
from proxy.wire.connection import CALLER_FULL, UPSTREAM_FULL
from proxy.wire.kernel import READABLE, ask

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.pool import Pool

FAREWELL = 2.0
"""Seconds for the upstream to close its side of a tunnel once we have closed ours."""

LAST = 64 * 1024
"""Bytes still read of a connection that was reset; an early answer is far smaller."""


class Upstream(Answering):
    """
    The protocol of one connection of a pool.

    Attributes:
        reused: It has served before.
        idle_since: When its rest was noted; 0 if it was not.
        born: When it was opened.
    """

    __slots__ = ("_pool", "_stopped", "born", "idle_since", "reused")

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.roles)
        self._pool = pool
        self._stopped = False
        self.reused = False
        self.idle_since = 0.0
        self.born = 0.0

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        transport, self.transport = self.transport, None
        exchange = self.exchange
        if exc is not None and transport is not None and exchange is not None:
            self._read_last(exchange, transport)
        self._parser = None  # it holds bound methods of ours
        self._pool.forget(self)
        if exchange is None or exchange is not self.exchange:
            return
        if exc is None and self._until_close and not self._over:
            self._finish_body()
        if self._held:
            return  # the owner decides; what came is still in _out
        if self._over:
            self._flush(exchange)
            self._settle(exchange)
        else:
            self.exchange = None
            exchange.lost(self)

    def _read_last(self, exchange: Exchange, transport: asyncio.Transport) -> None:
        """
        Read what was said before a reset. Who answers early and closes, a body on its way unread,
        resets the connection (RFC 9112 §9.6), and a write may meet that before the answer is read.
        """
        sock = transport.get_extra_info("socket")
        if exchange.response is not None or sock is None or sock.fileno() < 0:
            return
        if transport.get_extra_info("ssl_object") is None:
            with suppress(OSError):
                if data := os.read(sock.fileno(), LAST):
                    self.data_received(data)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.caller.hold(UPSTREAM_FULL)

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.caller.release(UPSTREAM_FULL)

    def pause(self) -> None:
        """
        Stop reading: the caller takes the response more slowly than it comes.
        """
        if self.transport is not None and not self.transport.is_closing():
            self._stopped = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """
        Read on.
        """
        if self._stopped and not self._held and self.transport is not None:
            self._stopped = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    # What the exchange calls

    def begin(self, exchange: Exchange) -> None:
        """
        Serve *exchange* from now on.
        """
        self.exchange = exchange
        self._fed = self._owed = self._interim = 0
        self._over = self._held = self._said = self._chunked = self._until_close = False
        self._heading = True
        self._seam = b""
        self._sieve = None
        self._echoed = False

    def write(self, data: bytes) -> None:
        """
        Write request bytes.
        """
        if self.transport is not None:
            self.transport.write(data)

    def end(self) -> None:
        """
        The exchange needs this connection no longer: keep it if its response is over, else close.
        """
        exchange, self.exchange = self.exchange, None
        self._out.clear()
        self._sieve = None
        transport = self.transport
        if transport is None or exchange is None:
            return
        if self._over and self._keep and exchange.complete and not self._overdone(transport):
            self._held = False
            if self._stopped:
                self.resume()  # a slow caller, or a held response, may have stopped it
            self._pool.give(self)
        elif exchange.tunnel is not None:
            self._part(transport)
        else:
            transport.abort()

    def _overdone(self, transport: asyncio.Transport) -> bool:
        """
        Return whether something may have come behind a response while nothing was read: it would be
        taken for the next one.
        """
        if not self._stopped:
            return False
        sock = transport.get_extra_info("socket")
        if sock is None:
            return False  # nothing below that could hold bytes back
        if sock.fileno() < 0 or not transport.can_write_eof():
            return True  # TLS: nobody can tell
        return bool(ask(sock.fileno(), READABLE))

    def _part(self, transport: asyncio.Transport) -> None:
        """
        Close a tunnel's end so that what is written reaches it: closing with bytes unread would be
        a reset (RFC 9112 §9.6), so they are read and thrown away for a while.
        """
        self._parting = True
        if transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()
            self.resume()
        else:
            transport.close()
        asyncio.get_running_loop().call_later(FAREWELL, self._end_farewell)

    def _end_farewell(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def release_answer(self, extra: bytes) -> None:
        """
        Send the held response on, with these lines added, and go on reading.
        """
        exchange = self.exchange
        if exchange is None or exchange.response is None:
            return
        self._held = False
        if self._echoed:
            self._tell(exchange)
        if self.exchange is exchange:
            self._send_head(exchange, exchange.response, extra)
        if self.exchange is not exchange:
            return
        self._flush(exchange)
        if self._over:
            self._settle(exchange)
        elif self.transport is None:
            self.exchange = None
            exchange.lost(self)
        elif not exchange.caller.held & CALLER_FULL:
            self.resume()

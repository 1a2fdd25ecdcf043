"""
What is on its way from an upstream to the caller.

Theory of operation
-------------------
What one read brings gathers in `_out`, and one write sends it (`_flush`). While a response is held
nothing is read and `_out` keeps what there is.

A response is over when its framing says so (`_over`); whether the connection may then serve another
exchange (`_keep`) is lost by whatever is not as it should be, one byte too many included.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from proxy.wire.connection import CALLER_FULL, UPSTREAM_FULL

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.response import Response


class Relaying(asyncio.Protocol):
    """
    The part of an upstream connection that turns to the caller.

    Attributes:
        exchange: The one it serves; None while it rests.
        transport: None before it is made and after it is lost.
    """

    __slots__ = (
        "_chunked",
        "_held",
        "_keep",
        "_out",
        "_over",
        "_said",
        "exchange",
        "transport",
    )

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self._out: list[bytes] = []
        self._over = False
        self._held = False
        self._said = False  # something of the response has gone to the caller
        self._keep = False
        self._chunked = False  # the body is cut into chunks for the caller

    # What the subclasses do with it

    @abstractmethod
    def pause(self) -> None:
        """
        Stop reading.
        """

    @abstractmethod
    def end(self) -> None:
        """
        Part from the exchange.
        """

    # What they call

    def _compose(self, exchange: Exchange, response: Response, extra: bytes) -> bytes:
        """
        Return the head to send to the caller, with these lines added.
        """
        exchange.status = response.status
        if self._chunked:
            extra += b"Transfer-Encoding: chunked\r\n"
        elif exchange.fields.http10 and exchange.open_ended:
            exchange.keep = False  # to HTTP/1.0, the connection's end is the body's
        return b"%b%b%b\r\n" % (response.start, extra, exchange.connection_line())

    def _hold(self) -> None:
        self._held = True
        self.pause()

    def _flush(self, exchange: Exchange) -> None:
        out = self._out
        if out:
            self._said = True
            caller = exchange.caller
            caller.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
            if caller.held & CALLER_FULL and not self._over:
                self.pause()  # it may have been full before this exchange began

    def _finish_body(self, trailer: bytes = b"") -> None:
        self._over = True
        if self._chunked:
            self._out.append(b"0\r\n%b\r\n" % trailer)

    def _settle(self, exchange: Exchange) -> None:
        """
        The response went out whole: part from the exchange and end it.
        """
        exchange.upstream = None
        self.end()
        if exchange.caller.held:
            exchange.caller.release(UPSTREAM_FULL)
        exchange.finish()

"""
What is on its way from an upstream to the caller.

Theory of operation
-------------------
What one read brings gathers in `_out`, and one write sends it (`_flush`). While a response is held
nothing is read and `_out` keeps what there is.

Before that, what the exchange watches for is blotted out of heads, bodies and trailers (`wire.echo`)
and its owner told, who may have the response refused instead. What is found while a response is held
is told once that response goes to the caller, which it may never do.

A response is over when its framing says so (`_over`); whether the connection may then serve another
exchange (`_keep`) is lost by whatever is not as it should be, one byte too many included.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from proxy.wire.connection import CALLER_FULL, UPSTREAM_FULL
from proxy.wire.echo import Sieve, blot

if TYPE_CHECKING:
    from proxy.errors import ProxyError
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
        "_echoed",
        "_held",
        "_keep",
        "_out",
        "_over",
        "_said",
        "_sieve",
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
        self._sieve: Sieve | None = None  # what a watched body goes through
        self._echoed = False  # something was blotted out while the response is held

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

    def _send_head(
        self, exchange: Exchange, response: Response, extra: bytes, body: bytes = b""
    ) -> None:
        """
        Put a final head, with these lines added, before what is to go to the caller.

        Args:
            exchange: Afterwards it may have ended.
            response: Whose head it is.
            extra: The lines to add.
            body: The body, if it is there whole and not cut into chunks.
        """
        head = self._compose(exchange, response, extra) + body
        if exchange.watched:
            head = self._blotted(exchange, head)
            if self.exchange is not exchange:
                return
        self._out.insert(0, head)

    def _blotted(self, exchange: Exchange, data: bytes) -> bytes:
        """
        Return bytes that are there whole with what is watched for blotted out. Afterwards the
        exchange may have ended.
        """
        for word in exchange.watched:
            if word in data:
                self._tell(exchange)
                return blot(exchange.watched, data)
        return data

    def _sift(self, exchange: Exchange, data: bytes) -> bytes:
        """
        Return what of a body's next bytes goes to the caller now, as `_blotted` does.
        """
        sieve = self._sieve
        if sieve is None:
            sieve = self._sieve = Sieve(exchange.watched)
        data = sieve.take(data)
        if sieve.found:
            self._tell(exchange)
        return data

    def _tell(self, exchange: Exchange) -> None:
        """
        Tell that something was blotted out.
        """
        if self._held:
            self._echoed = True
            return
        error = exchange.echoed()
        if error is not None:
            self._refuse(exchange, error)

    def _refuse(self, exchange: Exchange, error: ProxyError) -> None:
        """
        Pass nothing more of this response on.
        """
        self._keep = False
        self._out.clear()
        if not self._said:
            exchange.status = exchange.bytes_out = 0  # nothing went down yet: there is an answer
        exchange.fail(error)

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

    def _pass(self, data: bytes) -> None:
        """
        Put bytes of a body into what goes to the caller.
        """
        if not data:
            return  # as a chunk it would be the last
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def _finish_body(self, trailer: bytes = b"") -> None:
        self._over = True
        if self._sieve is not None:
            self._pass(self._sieve.rest())
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

"""
One connection to an upstream: write requests, parse responses as suspiciously as requests.

Theory of operation
-------------------
A connection is idle in its pool, or serves one exchange. What one read brought is parsed whole;
the callbacks gather what is to go to the caller in `_out`, and one write sends it. A response is
over when its framing says so; only then may the connection serve another exchange, and only if
the request was sent whole, both sides keep the connection, and not one byte came too many. A byte
that arrives while idle belongs to nobody: the connection is dropped, so it can never become the
start of another caller's response.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`).

While a response is held nothing is read and `_out` keeps what one read brought.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from proxy.errors import ProxyError, UpstreamProtocol
from proxy.wire.connection import CALLER_FULL, UPSTREAM_FULL
from proxy.wire.message import read_response, readable

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.pool import Pool

HEAD = 64 * 1024
"""Bytes of a response's header section, as callers' limits are."""

HEADERS = 256
"""Header lines of one response."""


INTERIM = 16
"""Interim (1xx) answers passed on before one final answer."""


class Upstream(asyncio.Protocol):
    """
    The protocol of one connection of a pool.
    """

    __slots__ = (
        "_chunked",
        "_fed",
        "_fields",
        "_grown",
        "_heading",
        "_held",
        "_hollow",
        "_interim",
        "_keep",
        "_large",
        "_out",
        "_over",
        "_owed",
        "_parser",
        "_pool",
        "_reason",
        "_stopped",
        "_until_close",
        "born",
        "exchange",
        "idle_since",
        "reused",
        "transport",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self.reused = False
        self.idle_since = 0.0
        self.born = 0.0  # the pool notes when it was opened
        self._parser: httptools.HttpResponseParser | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._out: list[bytes] = []
        self._fed = 0  # bytes of the head so far, then of the body
        self._grown = 0  # how far a chunked body had grown,
        self._hollow = 0  # and the bytes read since without its growing
        self._owed = 0
        self._interim = 0
        self._heading = False  # header lines belong to a head, not to trailers
        self._large = False
        self._over = False
        self._held = False
        self._stopped = False
        self._keep = False
        self._chunked = False
        self._until_close = False

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._parser = None  # it holds bound methods of ours
        self._pool.forget(self)
        exchange = self.exchange
        if exchange is None:
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
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._fed = self._grown = self._hollow = self._owed = self._interim = 0
        self._over = self._held = self._until_close = False
        self._heading = True

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
        transport = self.transport
        if transport is None:
            return
        if self._over and self._keep and exchange is not None and exchange.complete:
            self._held = False
            self.resume()  # a slow caller, or a held response, may have stopped it
            self._pool.give(self)
        else:
            transport.abort()

    def release_answer(self, extra: bytes) -> None:
        """
        Send the held response on, with these lines added, and go on reading.
        """
        exchange = self.exchange
        if exchange is None or exchange.response is None:
            return
        self._held = False
        head = exchange.compose(exchange.response, extra, chunked=self._chunked)
        self._out.insert(0, head)
        self._flush(exchange)
        if self._over:
            self._settle(exchange)
        elif self.transport is None:
            self.exchange = None
            exchange.lost(self)
        elif not exchange.caller.held & CALLER_FULL:
            self.resume()

    # Bytes in

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None or (self._parser is None and not self._owed):
            self._drop()  # bytes nobody asked for
            return
        if self._owed:
            self._pass_owed(exchange, data)
        else:
            self._feed(exchange, data)
        if self.exchange is not exchange or self._held:
            return
        self._flush(exchange)
        if self._over:
            self._settle(exchange)

    def _feed(self, exchange: Exchange, data: bytes) -> None:
        parser = self._parser
        assert parser is not None
        self._large = self._fed > 0 or len(data) > HEAD
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            exchange.fail(UpstreamProtocol("the upstream switched protocols unasked"))
        except httptools.HttpParserError as error:
            self._malformed(exchange, error)
        if self._over:
            return
        response = exchange.response
        if response is None:
            self._fed += len(data)
            if self._fed > HEAD:
                exchange.fail(UpstreamProtocol(f"the response's head is larger than {HEAD} bytes"))
        elif response.length and not self._until_close:
            self._owed = response.length - self._fed
            self._parser = None
        elif response.chunked:
            self._count_hollow(exchange, len(data))

    def _count_hollow(self, exchange: Exchange, size: int) -> None:
        """
        Watch over chunk extensions and trailers: the parser keeps what the body never shows.
        """
        if self._fed != self._grown:
            self._grown, self._hollow = self._fed, 0
            return
        self._hollow += size
        if self._hollow > HEAD:
            exchange.fail(UpstreamProtocol("the response's trailer section is too large"))

    def _pass_owed(self, exchange: Exchange, data: bytes) -> None:
        """
        Pass on body bytes whose number is known.
        """
        if len(data) > self._owed:
            data = data[: self._owed]
            self._keep = False  # more than was promised: not a connection to use again
        self._owed -= len(data)
        exchange.bytes_out += len(data)
        self._out.append(data)
        if not self._owed:
            self._over = True

    def _flush(self, exchange: Exchange) -> None:
        out = self._out
        if out:
            caller = exchange.caller
            caller.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
            if caller.held & CALLER_FULL and not self._over:
                self.pause()  # it may have been full before this exchange began

    def _settle(self, exchange: Exchange) -> None:
        """
        The response went out whole: part from the exchange and end it.
        """
        exchange.upstream = None
        self.end()
        if exchange.caller.held:
            exchange.caller.release(UPSTREAM_FULL)
        exchange.finish()

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _malformed(self, exchange: Exchange, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        self._keep = False
        if self._over:
            return  # bytes after a whole response; they go nowhere
        if isinstance(cause, ProxyError):
            exchange.fail(cause)
        elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
            raise cause  # a bug of ours: the loop's handler logs it
        else:
            exchange.fail(UpstreamProtocol(f"not HTTP/1.1: {error}"))

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._over:
            self._keep = False
        self._fields = []
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._heading:
            self._fields.append((name, value))
        # else a trailer: read, counted, not passed on

    def on_headers_complete(self) -> None:
        exchange, parser = self.exchange, self._parser
        if self._over or exchange is None or parser is None:
            return
        if len(self._fields) > HEADERS:
            raise UpstreamProtocol(f"the response has more than {HEADERS} header lines")
        status = parser.get_status_code()
        fields, self._fields = self._fields, []
        if self._large and sum(len(name) + len(value) + 4 for name, value in fields) > HEAD:
            raise UpstreamProtocol(f"the response's head is larger than {HEAD} bytes")
        if status < 200:
            self._pass_interim(exchange, status, fields)
            return
        response = read_response((status, self._reason), fields, self._pool.roles)
        self._fed = 0  # from here on it counts the body
        self._heading = False
        exchange.response = response
        exchange.upstream_status = status
        self._keep = parser.should_keep_alive()
        unframed = response.length is None and not exchange.bodyless(status)
        self._until_close = unframed and not response.chunked
        self._chunked = unframed and not exchange.head.http10
        if exchange.head.method == b"HEAD":
            self._over = True
            self._parser = None  # it would wait for the body the head speaks of
        extra = exchange.answered(response)
        if self.exchange is not exchange:
            return
        if extra is None:
            self._held = True
            self.pause()
        else:
            self._out.append(exchange.compose(response, extra, chunked=self._chunked))

    def on_body(self, data: bytes) -> None:
        exchange = self.exchange
        if self._over or exchange is None:
            self._keep = False
            return
        self._fed += len(data)
        exchange.bytes_out += len(data)
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if not self._over and exchange is not None and exchange.response is not None:
            self._finish_body()

    def _finish_body(self) -> None:
        self._over = True
        if self._chunked:
            self._out.append(b"0\r\n\r\n")

    def _pass_interim(
        self, exchange: Exchange, status: int, fields: list[tuple[bytes, bytes]]
    ) -> None:
        """
        Pass on an interim answer to a caller that can read it (RFC 9110 §15.2).
        """
        self._interim += 1
        if self._interim > INTERIM:
            raise UpstreamProtocol(f"more than {INTERIM} interim answers")
        if status < 100 or status == 101:
            raise UpstreamProtocol("the upstream's status is none, or switches protocols unasked")
        if exchange.head.http10 or (status == 100 and not exchange.head.expects):
            return
        exchange.continued |= status == 100
        interim = read_response((200, b""), fields, self._pool.roles)
        head = b"HTTP/1.1 %d %b\r\n" % (status, readable(self._reason))
        exchange.caller.write(head + b"".join(interim.lines) + b"\r\n")

"""
What an upstream answers: bytes in, heads and bodies out to the caller.

Theory of operation
-------------------
A read that begins with a response is first taken for plain (`_take`): such heads are cut without a
parser, and one that equals the connection's last is not even read again. Everything else is fed to
the parser. What one read brought is looked at whole; what is to go to the caller gathers in `_out`,
and one write sends it.

A response is over when its framing says so (`_over`); whether the connection may then serve another
exchange (`_keep`) is lost by whatever is not as it should be, one byte too many included.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`).

While a response is held nothing is read and `_out` keeps what one read brought.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

import httptools

from proxy.errors import ProxyError, UpstreamProtocol
from proxy.wire.connection import CALLER_FULL, UPSTREAM_FULL
from proxy.wire.frames import Frames
from proxy.wire.message import WEBSOCKET, read_response, readable, trailers
from proxy.wire.plain import END, LONGEST_KNOWN, cut_fields, cut_status_line

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.message import ResponseFields
    from proxy.wire.roles import Roles

HEAD = 64 * 1024
"""Bytes of a response's header section, as callers' limits are."""

HEADERS = 256
"""Header lines of one response."""

LONGEST_STATUS = 256
"""Bytes of a plain status line."""

INTERIM = 16
"""Interim (1xx) answers passed on before one final answer."""


class Response:
    """
    A response's head. Shared: do not change.

    Attributes:
        status: 200 to 599, or 101.
        fields: Its header section.
        start: Status line and field lines as they go to the caller, CRLF included.
    """

    __slots__ = ("fields", "start", "status")

    def __init__(self, status: int, reason: bytes, fields: ResponseFields) -> None:
        self.status = status
        self.fields = fields
        self.start = b"HTTP/1.1 %d %b\r\n%b" % (status, reason, fields.passed)


class Answering(asyncio.Protocol):
    """
    The half of an upstream connection that reads.

    Attributes:
        exchange: The one it serves; None while it rests.
        transport: None before it is made and after it is lost.
    """

    __slots__ = (
        "_block",
        "_chunked",
        "_fed",
        "_grown",
        "_heading",
        "_held",
        "_hollow",
        "_interim",
        "_keep",
        "_known",
        "_large",
        "_out",
        "_over",
        "_owed",
        "_pairs",
        "_parser",
        "_parting",
        "_reason",
        "_roles",
        "_said",
        "_seam",
        "_until_close",
        "exchange",
        "transport",
    )

    def __init__(self, roles: Roles) -> None:
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self._roles = roles
        self._block = b""  # the last plain head,
        self._known: Response | None = None  # and what it means
        self._parser: httptools.HttpResponseParser | None = None
        self._pairs: list[tuple[bytes, bytes]] = []  # header lines, or trailers, as parsed
        self._reason = b""
        self._out: list[bytes] = []
        self._fed = 0  # bytes of the head so far, then of the body
        self._grown = 0  # how far a chunked body had grown,
        self._hollow = 0  # and the bytes read since without its growing
        self._owed = 0
        self._interim = 0
        self._seam = b""  # the last bytes of a head that is not complete
        self._heading = False  # header lines belong to a head, not to trailers
        self._large = False
        self._over = False
        self._held = False
        self._said = False  # something of the response has gone to the caller
        self._keep = False
        self._chunked = False
        self._until_close = False
        self._parting = False  # what still comes out of a tunnel goes nowhere

    # What the subclass does with it

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

    # Bytes in

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            if self.transport is not None and not self._parting:
                self.transport.abort()  # bytes nobody asked for
            return
        if self._owed:
            self._pass_owed(exchange, data)
        elif exchange.tunnelled:
            exchange.pass_down(data)
            return
        elif self._fed or not self._heading or not self._take(exchange, data):
            self._feed(exchange, data)
        if self.exchange is not exchange or self._held:
            return
        if self._out:
            self._flush(exchange)
        if self._over:
            self._settle(exchange)

    def _take(self, exchange: Exchange, data: bytes) -> bool:
        """
        Take a response from its start, if its head is plain; return whether it was.
        """
        block, response = self._block, self._known
        if response is None or not data.startswith(block):
            block = data[: data.find(END) + 4]
            response = self._read(block)
            if response is None:
                return False
            if len(block) <= LONGEST_KNOWN:
                self._block, self._known = block, response
        length = response.fields.length
        if response.status in (204, 304) or exchange.method == b"HEAD":
            length = 0
        elif length is None:
            return False
        size = len(data) - len(block)
        body = b""
        if size:
            body = data[len(block) : len(block) + length]
        exchange.response = response
        exchange.upstream_status = response.status
        exchange.bytes_out += len(body)
        self._keep = size <= length and not response.fields.close
        self._over = size >= length
        self._owed = length - len(body)
        self._heading = False
        extra = exchange.answered(response)
        if self.exchange is not exchange:
            return True
        if extra is None:
            self._hold()
        else:
            self._out.append(self._compose(exchange, response, extra))
        if body:
            self._out.append(body)
        return True

    def _read(self, block: bytes) -> Response | None:
        """
        Read a head; None if it is not plain, or too large.
        """
        if not 4 < len(block) <= HEAD:
            return None
        at = block.find(b"\r")
        line = cut_status_line(block[:at]) if at <= LONGEST_STATUS else None
        if line is None:
            return None
        lines = cut_fields(block[at:])
        if lines is None or len(lines) > HEADERS:
            return None
        fields = read_response(lines, self._roles, line[0], plain=True)
        return None if fields is None else Response(line[0], line[1], fields)

    def _feed(self, exchange: Exchange, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        self._large = self._fed > 0 or len(data) > HEAD
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_tail(exchange, data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._malformed(exchange, error)
        if self._over:
            self._look_behind(exchange, data)
            return
        response = exchange.response
        if response is None:
            self._fed += len(data)
            self._seam = (self._seam + data)[1 - len(END) :]
            if self._fed > HEAD:
                exchange.fail(UpstreamProtocol(f"the response's head is larger than {HEAD} bytes"))
        elif response.fields.length and not self._until_close:
            self._owed = response.fields.length - self._fed
            self._parser = None
        elif response.fields.chunked:
            self._count_hollow(exchange, len(data))

    def _look_behind(self, exchange: Exchange, data: bytes) -> None:
        """
        See whether something came behind a response that the parser has swallowed without a word.
        """
        response = exchange.response
        if exchange.method == b"HEAD":
            if END in data and not data.endswith(END):
                self._keep = False
        elif response is not None and response.fields.length is not None and not self._interim:
            read = self._seam + data
            at = read.find(END)
            if at >= 0 and len(read) - at - len(END) > response.fields.length:
                self._keep = False

    def _pass_tail(self, exchange: Exchange, data: bytes) -> None:
        """
        Pass on what came behind the head that opened a tunnel.
        """
        self._parser = None
        if not exchange.tunnelled:
            exchange.fail(UpstreamProtocol("the upstream switched protocols unasked"))
        elif data:
            self._flush(exchange)  # the head, which is not of the tunnel
            exchange.pass_down(data)

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

    def _settle(self, exchange: Exchange) -> None:
        """
        The response went out whole: part from the exchange and end it.
        """
        exchange.upstream = None
        self.end()
        if exchange.caller.held:
            exchange.caller.release(UPSTREAM_FULL)
        exchange.finish()

    def _malformed(self, exchange: Exchange, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        self._keep = False
        if self._over:
            return  # bytes after a whole response; they go nowhere
        if self._out and not self._said:
            self._out.clear()
            exchange.status = exchange.bytes_out = 0  # nothing went down yet: there is an answer
            exchange.keep = False  # as if something had
        if not isinstance(error, httptools.HttpParserCallbackError) or cause is None:
            exchange.fail(UpstreamProtocol(f"not HTTP/1.1: {error}"))
        elif isinstance(cause, ProxyError):
            exchange.fail(cause)
        else:
            raise cause  # a bug of ours: the loop's handler logs it

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._over:
            self._keep = False
        self._pairs = []
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, parser = self.exchange, self._parser
        if self._over or exchange is None or parser is None:
            return
        pairs, self._pairs = self._pairs, []
        if len(pairs) > HEADERS:
            raise UpstreamProtocol(f"the response has more than {HEADERS} header lines")
        if self._large and sum(len(name) + len(value) + 4 for name, value in pairs) > HEAD:
            raise UpstreamProtocol(f"the response's head is larger than {HEAD} bytes")
        status = parser.get_status_code()
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise UpstreamProtocol("the response is neither HTTP/1.1 nor HTTP/1.0")
        lines = [b"%b: %b" % pair for pair in pairs]
        fields = read_response(lines, self._roles, status, http10=version == "1.0")
        assert fields is not None
        if status == 101:
            if not parser.should_upgrade():  # there must be `Connection: upgrade` as well
                fields.upgrade = b""
            self._switch(exchange, fields)
        elif status < 200:
            self._pass_interim(exchange, status, fields)
        elif status > 599:
            raise UpstreamProtocol(f"status {status} is none")
        else:
            reason = self._reason if self._reason == b"OK" else readable(self._reason)
            self._keep = parser.should_keep_alive()
            if exchange.method == b"HEAD" and version == "1.1":
                self._keep = not fields.close  # whatever the head says of the body it stands for
            self._begin_response(exchange, Response(status, reason, fields))

    def _begin_response(self, exchange: Exchange, response: Response) -> None:
        """
        Pass a final response's head on, or hold it.
        """
        self._fed = self._grown = self._hollow = 0  # from here on they count the body
        self._heading = False
        exchange.response = response
        exchange.upstream_status = response.status
        unframed = response.fields.length is None and not exchange.bodyless(response.status)
        self._until_close = unframed and not response.fields.chunked
        self._chunked = unframed and not exchange.fields.http10
        if exchange.method == b"HEAD":
            self._over = True
            self._parser = None  # it would wait for the body the head speaks of
        extra = exchange.answered(response)
        if self.exchange is not exchange:
            return
        if extra is None:
            self._hold()
        else:
            self._out.append(self._compose(exchange, response, extra))

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
        if self._over or exchange is None or exchange.response is None or exchange.tunnelled:
            return
        pairs, self._pairs = self._pairs, []
        if len(pairs) > HEADERS or sum(len(name) + len(value) for name, value in pairs) > HEAD:
            raise UpstreamProtocol("the response's trailer section is too large")
        self._finish_body(trailers(pairs, self._roles) if pairs else b"")

    def _finish_body(self, trailer: bytes = b"") -> None:
        self._over = True
        if self._chunked:
            self._out.append(b"0\r\n%b\r\n" % trailer)

    def _switch(self, exchange: Exchange, fields: ResponseFields) -> None:
        """
        Open the tunnel that was asked for (RFC 9110 §7.8, RFC 6455 §4.2.2).
        """
        if not exchange.fields.upgrade or fields.upgrade != WEBSOCKET:
            raise UpstreamProtocol("the upstream switched protocols unasked")
        if fields.chunked or fields.length:
            raise UpstreamProtocol("the upstream switched protocols with a body")
        response = Response(101, b"Switching Protocols", fields)
        exchange.response = response
        exchange.upstream_status = exchange.status = 101
        extra = exchange.answered(response)
        self._out.append(
            b"%b%bConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            % (response.start, extra or b"")
        )
        self._heading = False
        exchange.tunnelled = Frames()
        exchange.keep = False
        exchange.caller.open_tunnel(exchange)

    def _pass_interim(self, exchange: Exchange, status: int, fields: ResponseFields) -> None:
        """
        Pass on an interim answer to a caller that can read it (RFC 9110 §15.2).
        """
        self._interim += 1
        if self._interim > INTERIM:
            raise UpstreamProtocol(f"more than {INTERIM} interim answers")
        if status < 100:
            raise UpstreamProtocol(f"status {status} is none")
        if exchange.fields.http10 or (status == 100 and not exchange.fields.expects):
            return
        exchange.continued |= status == 100
        line = b"HTTP/1.1 %d %b\r\n" % (status, readable(self._reason))
        exchange.caller.write(line + fields.passed + b"\r\n")

"""
What an upstream answers, by the parser: heads that are not plain, chunked bodies, trailers.

Theory of operation
-------------------
Bytes are fed as they come (`_feed`), and the parser calls back: header lines gather until a head is
complete, which is an interim answer, the opening of a tunnel, or the response (`_begin_response`).
A body whose number of bytes is known is not fed any further than it came with its head (`_owed`).

A response is over when its framing says so. What comes behind it keeps the connection from being
used again, and the parser swallows some of that without a word: it is looked for (`_look_behind`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from proxy.errors import UpstreamProtocol
from proxy.wire.message import trailers
from proxy.wire.parser import Hollow, complaint
from proxy.wire.plain import END
from proxy.wire.relaying import Relaying
from proxy.wire.response import Response, read_response, readable
from proxy.wire.tunnel import open_tunnel

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.response import ResponseFields
    from proxy.wire.roles import Roles

HEAD = 64 * 1024
"""Bytes of a response's header section, as callers' limits are."""

HEADERS = 256
"""Header lines of one response."""

INTERIM = 16
"""Interim (1xx) answers passed on before one final answer."""


class ResponseParser(Relaying):
    """
    The part of an upstream connection that the parser calls back.
    """

    __slots__ = (
        "_fed",
        "_heading",
        "_hollow",
        "_interim",
        "_large",
        "_owed",
        "_pairs",
        "_parser",
        "_reason",
        "_roles",
        "_seam",
        "_until_close",
    )

    def __init__(self, roles: Roles) -> None:
        super().__init__()
        self._roles = roles
        self._parser: httptools.HttpResponseParser | None = None
        self._pairs: list[tuple[bytes, bytes]] = []  # header lines, or trailers, as parsed
        self._reason = b""
        self._fed = 0  # bytes of the head so far, then of the body
        self._hollow = Hollow()
        self._owed = 0
        self._interim = 0
        self._seam = b""  # the last bytes of a head that is not complete
        self._heading = False  # header lines belong to a head, not to trailers
        self._large = False
        self._until_close = False

    # Bytes in

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
        elif response.fields.chunked and self._hollow.count(self._fed, len(data)) > HEAD:
            exchange.fail(UpstreamProtocol("the response's trailer section is too large"))

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
        if exchange.tunnel is None:
            exchange.fail(UpstreamProtocol("the upstream switched protocols unasked"))
        elif data:
            self._flush(exchange)  # the head, which is not of the tunnel
            exchange.tunnel.pass_down(data)

    def _malformed(self, exchange: Exchange, error: httptools.HttpParserError) -> None:
        self._keep = False
        if self._over:
            return  # bytes after a whole response; they go nowhere
        if self._out and not self._said:
            self._out.clear()
            exchange.status = exchange.bytes_out = 0  # nothing went down yet: there is an answer
            exchange.keep = False  # as if something had
        exchange.fail(complaint(error, UpstreamProtocol))

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
        if status < 200:
            if not parser.should_upgrade():  # there must be `Connection: upgrade` as well
                fields.upgrade = b""
            self._read_informational(exchange, status, fields)
        elif status > 599:
            raise UpstreamProtocol(f"status {status} is none")
        else:
            reason = self._reason if self._reason == b"OK" else readable(self._reason)
            self._keep = parser.should_keep_alive()
            if exchange.method == b"HEAD" and version == "1.1":
                self._keep = not fields.close  # whatever the head says of the body it stands for
            self._begin_response(exchange, Response(status, reason, fields))

    def _read_informational(self, exchange: Exchange, status: int, fields: ResponseFields) -> None:
        """
        Open a tunnel, or pass an interim answer on.
        """
        if exchange.watched:
            head = self._blotted(exchange, b"%b\r\n%b" % (self._reason, fields.passed))
            self._reason, _, fields.passed = head.partition(b"\r\n")
        if self.exchange is not exchange:
            return
        if status == 101:
            self._out.append(open_tunnel(exchange, fields))
            self._heading = False
        else:
            self._pass_interim(exchange, status, fields)

    def _begin_response(self, exchange: Exchange, response: Response) -> None:
        """
        Pass a final response's head on, or hold it.
        """
        self._fed = 0  # from here on it counts the body
        self._hollow.restart()
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
            self._send_head(exchange, response, extra)

    def on_body(self, data: bytes) -> None:
        exchange = self.exchange
        if self._over or exchange is None:
            self._keep = False
            return
        self._fed += len(data)
        exchange.bytes_out += len(data)
        if exchange.watched:
            data = self._sift(exchange, data)
        if self.exchange is exchange:
            self._pass(data)

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if self._over or exchange is None or exchange.response is None or exchange.tunnel:
            return
        pairs, self._pairs = self._pairs, []
        if len(pairs) > HEADERS or sum(len(name) + len(value) for name, value in pairs) > HEAD:
            raise UpstreamProtocol("the response's trailer section is too large")
        trailer = trailers(pairs, self._roles) if pairs else b""
        if trailer and exchange.watched:
            trailer = self._blotted(exchange, trailer)
        if self.exchange is exchange:
            self._finish_body(trailer)

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

"""
What an upstream answers: bytes in, heads and bodies out to the caller.

Theory of operation
-------------------
A read that begins with a response is first taken for plain (`_take`): such heads are cut without a
parser, and one that equals the connection's last is not even read again. Everything else is fed to
the parser (`wire.response_parser`). What one read brought is looked at whole; what is to go to the
caller gathers (`wire.relaying`), and one write sends it.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.wire.plain import END, LONGEST_KNOWN, cut_fields, cut_status_line
from proxy.wire.response import Response, read_response
from proxy.wire.response_parser import HEAD, HEADERS, ResponseParser

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.roles import Roles

LONGEST_STATUS = 256
"""Bytes of a plain status line."""


class Answering(ResponseParser):
    """
    The half of an upstream connection that reads.
    """

    __slots__ = ("_block", "_known", "_parting")

    def __init__(self, roles: Roles) -> None:
        super().__init__(roles)
        self._block = b""  # the last plain head,
        self._known: Response | None = None  # and what it means
        self._parting = False  # what still comes out of a tunnel goes nowhere

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            if self.transport is not None and not self._parting:
                self.transport.abort()  # bytes nobody asked for
            return
        if self._owed:
            self._pass_owed(exchange, data)
        elif exchange.tunnel is not None:
            exchange.tunnel.pass_down(data)
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
        self._start(exchange, response, body)
        return True

    def _start(self, exchange: Exchange, response: Response, body: bytes) -> None:
        """
        Pass a plain head, and what came of its body with it, on; or hold them.
        """
        extra = exchange.answered(response)
        if self.exchange is not exchange:
            return
        if extra is None:
            self._hold()
        elif self._over:
            self._send_head(exchange, response, extra, body)
            return
        else:
            self._send_head(exchange, response, extra)
        if body and self.exchange is exchange:
            self._pass_bytes(exchange, body)

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

    def _pass_owed(self, exchange: Exchange, data: bytes) -> None:
        """
        Pass on body bytes whose number is known.
        """
        if len(data) > self._owed:
            data = data[: self._owed]
            self._keep = False  # more than was promised: not a connection to use again
        self._owed -= len(data)
        exchange.bytes_out += len(data)
        self._over = not self._owed
        self._pass_bytes(exchange, data)

    def _pass_bytes(self, exchange: Exchange, data: bytes) -> None:
        """
        Pass on bytes of a body that is not cut into chunks.
        """
        if not exchange.watched:
            self._out.append(data)
            return
        if self._over and self._sieve is None:
            data = self._blotted(exchange, data)
        else:
            data = self._sift(exchange, data)
            if self._over and self._sieve is not None:
                data += self._sieve.rest()
        if data and self.exchange is exchange:
            self._out.append(data)

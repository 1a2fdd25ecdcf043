"""
What a caller sends: bytes in, requests out.

Theory of operation
-------------------
A read that begins with a message is first taken for plain (`_take`): such heads are cut without a
parser, and one that ends in the same header section as the connection's last is not even read
again. Everything else is fed to the parser (`wire.request_parser`). Either way the service makes an
exchange of a head, and the body's bytes are handed to that exchange. What is done with exchanges,
one after the other, is the business of the subclass.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`).

Behind the head of an upgrade nothing is read until it is known whether the upstream accepts it:
then it is a tunnel's first bytes (`tunnel`), else the next request (`_tail`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from proxy.errors import Overloaded
from proxy.wire.connection import UPGRADING, WASTED
from proxy.wire.plain import END, LONGEST_KNOWN, cut_fields, cut_request_line
from proxy.wire.request import read_request
from proxy.wire.request_parser import RequestParser

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.wire.request import RequestFields
    from proxy.wire.roles import Roles
    from proxy.wire.service import Service
    from proxy.wire.tunnel import Tunnel


class Reading(RequestParser):
    """
    The half of a caller's connection that reads.

    Attributes:
        parsing: A read is being parsed; whoever writes upstream waits for its end.
        tunnel: What all bytes go through, once an upgrade was accepted.
    """

    __slots__ = (
        "_asked",
        "_block",
        "_known",
        "_line",
        "_roles",
        "_tail",
        "parsing",
        "tunnel",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.parsing = False
        self.tunnel: Tunnel | None = None
        self._tail = b""
        self._line = b""  # the last plain request line,
        self._asked = (b"", b"")  # its method and target
        self._block = b""  # the last plain header section, from the request line's CRLF on,
        self._known: RequestFields | None = None  # what it means,
        self._roles: Roles | None = None  # and by which roles

    @abstractmethod
    def _refuse(self, error: ProxyError) -> None:
        """
        Answer what is no request, and close.
        """

    def data_received(self, data: bytes) -> None:
        if self.closing or self.tunnel is not None:
            self._beyond(data)
            return
        self._burst = 0
        self.parsing = True
        while data and self.doom is None and not self.closing:
            if self._owed:
                data = self._pass_owed(data)
            elif self._receiving is not None or self._fed:
                data = self._feed(data)
            elif self.held & UPGRADING:
                self._tail += data
                break
            else:
                data = self._take(data)
        self.parsing = False
        exchange = self.exchange
        if exchange is not None:
            if exchange.pending:
                exchange.flush()
        elif self.doom is not None and not self.closing:
            self._refuse(self.doom)

    def forget(self) -> None:
        """
        Forget the last header section: what is noted on it may hold on to what is no more.
        """
        self._block, self._known = b"", None

    def _beyond(self, data: bytes) -> None:
        """
        Take bytes that belong to no request.
        """
        if self.closing:
            if self._waste(len(data)):
                self.hold(WASTED)  # a reset might overtake the answer
        elif self.tunnel is not None:
            self.tunnel.pass_up(data)

    def _take(self, data: bytes) -> bytes:
        """
        Take a message from its start, if its head is plain; return what is left.
        """
        at = data.find(b"\r")
        line = data[:at]
        if line != self._line:
            asked = cut_request_line(line)
            if asked is None or at > self.limits.target:
                return self._feed(data)
            self._line, self._asked = line, asked
        method, target = self._asked
        roles = self._service.roles
        fields = self._known
        block = self._block
        if fields is None or roles is not self._roles or not data.startswith(block, at):
            block = data[at : data.find(END, at) + 4]
            fields = self._read(block, roles)
            if fields is None:
                return self._feed(data)
            if len(block) <= LONGEST_KNOWN:
                self._block, self._known, self._roles = block, fields, roles
        end = at + len(block)
        self._burst += 1
        if self._burst > self.limits.burst:
            self._malformed(Overloaded(f"more than {self.limits.burst} requests came at once"))
            return b""
        exchange = self._service.exchange(self, method, target, fields)  # type: ignore[arg-type]
        if fields.has_body:
            self._owed = fields.length or 0
            self._receiving = exchange
        self._received(exchange)
        return data[end:] if len(data) > end else b""

    def _read(self, block: bytes, roles: Roles) -> RequestFields | None:
        """
        Read a header section; None if it is not plain, or too large.
        """
        if not 4 < len(block) <= self.limits.head:
            return None
        lines = cut_fields(block)
        if lines is None or len(lines) > self.limits.headers:
            return None
        return read_request(lines, roles, plain=True)

    def _pass_owed(self, data: bytes) -> bytes:
        """
        Pass on body bytes whose number is known; return what follows them.
        """
        receiving = self._receiving
        assert receiving is not None
        rest = b""
        if len(data) > self._owed:
            data, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(data)
        self._body(receiving, data)
        if not self._owed and not self.closing:
            self._end(receiving)
        return rest

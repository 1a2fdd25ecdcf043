"""
What a caller sends: bytes in, heads and bodies out.

Theory of operation
-------------------
`data_received` feeds the parser; its callbacks build a head and have the service make an exchange
of it, then hand the body's bytes to that exchange (`_receiving`). What is done with exchanges, one
after the other, is the business of the subclass.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`); a fresh parser starts at the next message.

A request that cannot be parsed dooms the connection (`doom`): nothing more is read from it. Once
it is closing, nothing that still comes is a request, though the parser may be in the middle of it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

import httptools

from proxy.errors import BadRequest, HeadersTooLarge, Overloaded, ProxyError, UriTooLong
from proxy.wire.connection import Connection
from proxy.wire.message import RequestHead, Roles, read_request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.wire.downstream import Downstream
    from proxy.wire.exchange import Exchange
    from proxy.wire.limits import Limits

# Fed to a fresh parser to bring it to where a chunked body begins, its callbacks asleep
CHUNKED_PRIMER = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

BEGUN = 1
"""Value of `_fed` for a head whose first byte came in this very read."""


class Service(Protocol):
    """
    Whoever owns the exchanges.
    """

    limits: Limits
    now: Callable[[], float]

    @property
    def roles(self) -> Roles:
        """
        Which request header plays which role.
        """
        ...

    def exchange(self, caller: Downstream, head: RequestHead) -> Exchange:
        """
        Return a new exchange; it begins when its turn comes.
        """
        ...

    def refused(self, caller: Downstream, error: ProxyError) -> bytes:
        """
        Return the whole answer to something that is no request, and log it.
        """
        ...


class Reading(Connection):
    """
    The half of a caller's connection that reads.

    Attributes:
        exchange: The one whose turn it is.
        parsing: A read is being parsed; whoever writes upstream waits for its end.
        doom: Why nothing more is read.
    """

    __slots__ = (
        "_burst",
        "_closely",
        "_fed",
        "_fields",
        "_grown",
        "_hollow",
        "_owed",
        "_parser",
        "_priming",
        "_receiving",
        "_service",
        "_target",
        "doom",
        "exchange",
        "parsing",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service.limits, service.now)
        self._service = service
        self.exchange: Exchange | None = None
        self.parsing = False
        self.doom: ProxyError | None = None
        self._receiving: Exchange | None = None  # the one whose body is on its way in
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._fed = 0  # bytes of a head that is not complete; 0 if there is none
        self._closely = False  # the head now parsed may be too large, or not plain ASCII
        self._burst = 0  # requests this read has brought
        self._owed = 0
        self._grown = 0  # how far a chunked body had grown,
        self._hollow = 0  # and the bytes read since without its growing
        self._priming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin to read.
        """
        super().connection_made(transport)
        self._parser = httptools.HttpRequestParser(self)

    # What the subclass does with it

    @abstractmethod
    def _received(self, head: RequestHead) -> None:
        """
        A head is complete: make an exchange, and let it begin or wait.
        """

    @abstractmethod
    def _ended(self, exchange: Exchange) -> None:
        """
        A request that is answered already has now come in whole.
        """

    @abstractmethod
    def _malformed(self, refusal: ProxyError) -> None:
        """
        Nothing that comes from here on can be understood.
        """

    @abstractmethod
    def _refuse(self, error: ProxyError) -> None:
        """
        Answer what is no request, and close.
        """

    @abstractmethod
    def _shut(self) -> None:
        """
        Close.
        """

    # Bytes in

    def data_received(self, data: bytes) -> None:
        if self.closing:
            if self._waste(len(data)) and self.transport is not None:
                self.transport.abort()
            return
        self._burst = 0
        self.parsing = True
        while data and self.doom is None and not self.closing:
            data = self._pass_owed(data) if self._owed else self._feed(data)
        self.parsing = False
        exchange = self.exchange
        if exchange is not None:
            if exchange.pending:
                exchange.flush()
        elif self.doom is not None and not self.closing:
            self._refuse(self.doom)

    def _feed(self, data: bytes) -> bytes:
        """
        Let the parser read; return what is left for another turn.
        """
        rest = b""
        size = len(data)
        self._closely = self._fed > 0 or size > self.limits.target or not data.isascii()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._resume_after_upgrade()
        except httptools.HttpParserError as error:
            self._malformed(_refusal(error))
            return b""
        receiving = self._receiving
        if receiving is None:
            if self._fed:
                self._count_head(size)
        elif receiving.head.chunked:
            self._count_hollow(receiving, size)
        else:
            self._owed = (receiving.head.length or 0) - receiving.bytes_in
        return rest

    def _count_head(self, size: int) -> None:
        """
        Watch over a head that comes in pieces.
        """
        if self._fed == BEGUN:
            self._since = self._now()
        self._fed += size
        limits = self.limits
        if len(self._target) > limits.target:
            self.doom = UriTooLong(f"the request target is longer than {limits.target} bytes")
        elif self._fed > limits.head + limits.target:
            self.doom = HeadersTooLarge(f"the header section is larger than {limits.head} bytes")

    def _count_hollow(self, receiving: Exchange, size: int) -> None:
        """
        Watch over chunk extensions and trailers: the parser keeps what the body never shows.
        """
        if receiving.bytes_in != self._grown:
            self._grown, self._hollow = receiving.bytes_in, 0
            return
        self._hollow += size
        if self._hollow > self.limits.head:
            self._malformed(HeadersTooLarge("the trailer section is too large"))

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
            self._parser = httptools.HttpRequestParser(self)
            self._end(receiving)
        return rest

    def _body(self, exchange: Exchange, data: bytes) -> None:
        exchange.body(data)
        if exchange.done and self._waste(len(data)):
            self._shut()

    def _end(self, exchange: Exchange) -> None:
        self._receiving = None
        exchange.end()
        if exchange.done and exchange is self.exchange:
            self._ended(exchange)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if not self._priming:
            self._fields = []
            self._target = b""
            self._fed = BEGUN

    def on_url(self, url: bytes) -> None:
        if not self._priming:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is None:
            self._fields.append((name, value))
        # else a trailer: read, counted, not forwarded

    def on_headers_complete(self) -> None:
        if self._priming:
            return
        parser = self._parser
        fields = self._fields
        if self.closing:
            raise BadRequest("the connection closes; this is not answered")
        if self._closely or len(fields) > self.limits.headers:
            self._look_closely(fields)
        line = (parser.get_method(), self._target, parser.get_http_version())
        head = read_request(line, fields, self._service.roles)
        self._fed = self._grown = self._hollow = 0
        self._burst += 1
        if self._burst > self.limits.burst:
            raise Overloaded(f"more than {self.limits.burst} requests came at once")
        self._received(head)

    def _look_closely(self, fields: list[tuple[bytes, bytes]]) -> None:
        """
        Refuse a head that is too large, or that readers of different alphabets read differently.
        """
        limits = self.limits
        if len(self._target) > limits.target:
            raise UriTooLong(f"the request target is longer than {limits.target} bytes")
        if len(fields) > limits.headers:
            raise HeadersTooLarge(f"there are more than {limits.headers} header lines")
        if sum(len(name) + len(value) + 4 for name, value in fields) > limits.head:
            raise HeadersTooLarge(f"the header section is larger than {limits.head} bytes")
        if not all(value.isascii() for _, value in fields):
            raise BadRequest("a header value holds bytes that are not ASCII")  # RFC 9110 §5.5

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._body(self._receiving, data)

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        head = exchange.head
        if (head.length or head.chunked) and self._parser.should_upgrade():
            return  # the parser stops at an upgrade's head; its body is still to come
        self._end(exchange)

    def _resume_after_upgrade(self) -> None:
        """
        Go on with a request whose upgrade nobody accepts: it is an ordinary one (RFC 9110 §7.8).
        """
        receiving = self._receiving
        self._parser = httptools.HttpRequestParser(self)
        if receiving is not None and receiving.head.chunked:
            self._priming = True
            self._parser.feed_data(CHUNKED_PRIMER)
            self._priming = False


def _refusal(error: httptools.HttpParserError) -> ProxyError:
    """
    Return what the parser, or a callback of ours, has against the bytes.
    """
    cause = error.__context__
    if isinstance(cause, ProxyError):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
        raise cause  # a bug of ours: the loop's handler logs it
    return BadRequest(f"not HTTP/1.1: {error}")

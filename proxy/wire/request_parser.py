"""
What a caller sends, by the parser: heads that are not plain, chunked bodies, trailers.

Theory of operation
-------------------
Bytes are fed as they come (`_feed`), and the parser calls back: header lines gather until a head is
complete, then the service makes an exchange of it, which the body's bytes are handed to
(`_receiving`). A body whose number of bytes is known is not fed any further than it came with its
head (`_owed`); a fresh parser starts at the next message. The parser also stops behind the head of
an upgrade; unless that may become a tunnel, a fresh one is brought to where this one was.

What the parser is silent about is watched here: how large a head in pieces grows, which protocol it
names (`wire.protocol`), and what it keeps of a chunked body (`wire.parser`).

A request that cannot be parsed dooms the connection (`doom`): nothing more is read from it. Once
it is closing, nothing that still comes is a request, though the parser may be in the middle of it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import httptools

from proxy.errors import (
    BadRequest,
    HeadersTooLarge,
    Overloaded,
    UriTooLong,
    VersionNotSupported,
)
from proxy.wire.connection import Connection
from proxy.wire.message import trailers
from proxy.wire.parser import Hollow, complaint
from proxy.wire.plain import END
from proxy.wire.protocol import ProtocolWatch
from proxy.wire.request import read_request

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.wire.exchange import Exchange
    from proxy.wire.service import Service

# Fed to a fresh parser to bring it to where a chunked body begins, its callbacks asleep
CHUNKED_PRIMER = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

BEGUN = 1
"""Value of `_fed` for a head whose first byte came in this very read."""


class RequestParser(Connection):
    """
    The part of a caller's connection that the parser calls back.

    Attributes:
        exchange: The one whose turn it is.
        doom: Why nothing more is read.
    """

    __slots__ = (
        "_burst",
        "_closely",
        "_fed",
        "_hollow",
        "_least",
        "_owed",
        "_pairs",
        "_parser",
        "_priming",
        "_receiving",
        "_service",
        "_target",
        "_watch",
        "doom",
        "exchange",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service.limits, service.now, service.wheel)
        self._service = service
        self.exchange: Exchange | None = None
        self.doom: ProxyError | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._receiving: Exchange | None = None  # the one whose body is on its way in
        self._pairs: list[tuple[bytes, bytes]] = []  # header lines, or trailers, as parsed
        self._target = b""
        self._fed = 0  # bytes of a head that is not complete; 0 if there is none
        self._closely = False  # the head now parsed may be too large, or not plain ASCII
        self._burst = 0  # requests this read has brought
        self._owed = 0
        self._hollow = Hollow()
        self._priming = False
        self._watch = ProtocolWatch()
        self._least = min(service.limits.target, service.limits.head)

    # What the subclasses do with it

    @abstractmethod
    def _received(self, exchange: Exchange) -> None:
        """
        A head is complete: let its exchange begin or wait.
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
    def _shut(self) -> None:
        """
        Close.
        """

    # Bytes in

    def _feed(self, data: bytes) -> bytes:
        """
        Let the parser read; return what is left for another turn.
        """
        rest = b""
        size = len(data)
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        self._closely = self._fed > 0 or size > self._least or not data.isascii()
        within_body = self._receiving is not None
        begins = not (within_body or self._fed)
        if self._watch.feed(data, begins=begins, within_body=within_body):
            self._malformed(BadRequest("the request line names another protocol"))
            return b""
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            size -= len(rest)
            self._resume_after_upgrade()
        except httptools.HttpParserError as error:
            self._malformed(complaint(error, BadRequest))
            return b""
        receiving = self._receiving
        if END in data:  # what stands before the last of them belongs to heads and bodies before
            size = max(size - data.rfind(END) - len(END), 0)
        if receiving is None:
            if self._fed:
                self._count_head(size)
                self._watch.head_goes_on()
        elif receiving.fields.chunked:
            if self._hollow.count(receiving.bytes_in, size) > self.limits.head:
                self._malformed(HeadersTooLarge("the trailer section is too large"))
        else:
            self._owed = (receiving.fields.length or 0) - receiving.bytes_in
            self._parser = None
        return rest

    def _count_head(self, size: int) -> None:
        """
        Watch over a head that comes in pieces.
        """
        if self._fed == BEGUN:
            self._since = self._now()
            self._wheel.enter(self, 0.0)
        self._fed += size
        limits = self.limits
        if len(self._target) > limits.target:
            self.doom = UriTooLong(f"the request target is longer than {limits.target} bytes")
        elif self._fed > limits.head + limits.target:
            self.doom = HeadersTooLarge(f"the header section is larger than {limits.head} bytes")

    def _body(self, exchange: Exchange, data: bytes) -> None:
        exchange.body(data)
        if exchange.done and self._waste(len(data)):
            self._shut()

    def _end(self, exchange: Exchange, trailer: bytes = b"") -> None:
        self._receiving = None
        exchange.end(trailer)
        if exchange.done and exchange is self.exchange:
            self._ended(exchange)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if not self._priming:
            self._pairs = []
            self._target = b""
            self._fed = BEGUN
            self._watch.head_begins()

    def on_url(self, url: bytes) -> None:
        if not self._priming:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._priming:
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        if self._priming:
            return
        parser = self._parser
        pairs, self._pairs = self._pairs, []
        if self.closing or parser is None:
            raise BadRequest("the connection closes; this is not answered")
        if self._closely or len(pairs) > self.limits.headers:
            self._look_closely(pairs)
        if self._watch.head_is_foreign():
            raise BadRequest("the request line names another protocol")
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise VersionNotSupported("neither HTTP/1.1 nor HTTP/1.0")
        fields = read_request(
            [b"%b: %b" % pair for pair in pairs], self._service.roles, http10=version == "1.0"
        )
        assert fields is not None
        self._fed = 0
        self._hollow.restart()
        self._burst += 1
        if self._burst > self.limits.burst:
            raise Overloaded(f"more than {self.limits.burst} requests came at once")
        method = parser.get_method()
        if method != b"GET":
            fields.upgrade = b""  # RFC 6455 §4.1: the handshake is a GET
        exchange = self._service.exchange(self, method, self._target, fields)  # type: ignore[arg-type]
        self._receiving = exchange
        self._received(exchange)

    def _look_closely(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """
        Refuse a head that is too large, or that readers of different alphabets read differently.
        """
        limits = self.limits
        if len(self._target) > limits.target:
            raise UriTooLong(f"the request target is longer than {limits.target} bytes")
        if len(pairs) > limits.headers:
            raise HeadersTooLarge(f"there are more than {limits.headers} header lines")
        if sum(len(name) + len(value) + 4 for name, value in pairs) > limits.head:
            raise HeadersTooLarge(f"the header section is larger than {limits.head} bytes")
        if not all(value.isascii() for _, value in pairs):
            raise BadRequest("a header value holds bytes that are not ASCII")  # RFC 9110 §5.5

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._body(self._receiving, data)

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None or self._parser is None:
            return
        if exchange.fields.has_body and self._parser.should_upgrade():
            return  # the parser stops at an upgrade's head; its body is still to come
        pairs, self._pairs = self._pairs, []
        if len(pairs) > self.limits.headers:
            raise HeadersTooLarge(f"there are more than {self.limits.headers} trailer lines")
        if sum(len(name) + len(value) for name, value in pairs) > self.limits.head:
            raise HeadersTooLarge("the trailer section is too large")
        self._end(exchange, trailers(pairs, self._service.roles) if pairs else b"")

    def _resume_after_upgrade(self) -> None:
        """
        Go on behind the head of an upgrade. Unless it is one that may become a tunnel, the request
        is an ordinary one (RFC 9110 §7.8).
        """
        receiving = self._receiving
        self._parser = httptools.HttpRequestParser(self)
        if receiving is not None and receiving.fields.chunked:
            self._priming = True
            self._parser.feed_data(CHUNKED_PRIMER)
            self._priming = False

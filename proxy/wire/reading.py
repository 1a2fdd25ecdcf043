"""
What a caller sends: bytes in, heads and bodies out.

Theory of operation
-------------------
A read that begins with a message is first taken for plain (`_take`): such heads are cut without a
parser, and one that ends in the same header section as the connection's last is not even read
again. Everything else is fed to the parser; its callbacks build a head. Either way the service
makes an exchange of it, and the body's bytes are handed to that exchange (`_receiving`). What is
done with exchanges, one after the other, is the business of the subclass.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`_owed`); a fresh parser starts at the next message.

Behind the head of an upgrade nothing is read until it is known whether the upstream accepts it:
then it is a tunnel's first bytes (`tunnel`), else the next request (`_tail`).

A request that cannot be parsed dooms the connection (`doom`): nothing more is read from it. Once
it is closing, nothing that still comes is a request, though the parser may be in the middle of it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

import httptools

from proxy.errors import (
    BadRequest,
    HeadersTooLarge,
    Overloaded,
    ProxyError,
    UriTooLong,
    VersionNotSupported,
)
from proxy.wire.connection import UPGRADING, WASTED, Connection
from proxy.wire.message import read_request, trailers
from proxy.wire.plain import END, LONGEST_KNOWN, cut_fields, cut_request_line
from proxy.wire.protocol import ProtocolWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.downstream import Downstream
    from proxy.wire.exchange import Exchange
    from proxy.wire.limits import Limits
    from proxy.wire.message import RequestFields
    from proxy.wire.roles import Roles
    from proxy.wire.wheel import Wheel

# Fed to a fresh parser to bring it to where a chunked body begins, its callbacks asleep
CHUNKED_PRIMER = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

BEGUN = 1
"""Value of `_fed` for a head whose first byte came in this very read."""


class Service(Protocol):
    """
    Whoever owns the exchanges.

    Attributes:
        limits: What one connection may use up.
        now: Seconds, never backwards.
        wheel: For deadlines.
        roles: Which request header plays which role.
        draining: Nothing new is to begin.
    """

    limits: Limits
    draining: bool
    now: Callable[[], float]
    wheel: Wheel
    roles: Roles

    def exchange(
        self, caller: Downstream, method: bytes, target: bytes, fields: RequestFields
    ) -> Exchange:
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
        tunnel: The exchange all bytes belong to, once it has become a tunnel.
    """

    __slots__ = (
        "_asked",
        "_block",
        "_burst",
        "_closely",
        "_fed",
        "_grown",
        "_hollow",
        "_known",
        "_least",
        "_line",
        "_owed",
        "_pairs",
        "_parser",
        "_priming",
        "_receiving",
        "_roles",
        "_service",
        "_tail",
        "_target",
        "_watch",
        "doom",
        "exchange",
        "parsing",
        "tunnel",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service.limits, service.now, service.wheel)
        self._service = service
        self.exchange: Exchange | None = None
        self.parsing = False
        self.doom: ProxyError | None = None
        self.tunnel: Exchange | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._receiving: Exchange | None = None  # the one whose body is on its way in
        self._pairs: list[tuple[bytes, bytes]] = []  # header lines, or trailers, as parsed
        self._target = b""
        self._fed = 0  # bytes of a head that is not complete; 0 if there is none
        self._closely = False  # the head now parsed may be too large, or not plain ASCII
        self._burst = 0  # requests this read has brought
        self._owed = 0
        self._grown = 0  # how far a chunked body had grown,
        self._hollow = 0  # and the bytes read since without its growing
        self._priming = False
        self._watch = ProtocolWatch()
        self._least = min(service.limits.target, service.limits.head)
        self._tail = b""
        self._line = b""  # the last plain request line,
        self._asked = (b"", b"")  # its method and target
        self._block = b""  # the last plain header section, from the request line's CRLF on,
        self._known: RequestFields | None = None  # what it means,
        self._roles: Roles | None = None  # and by which roles

    # What the subclass does with it

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
            self._malformed(_refusal(error))
            return b""
        receiving = self._receiving
        if END in data:  # what stands before the last of them belongs to heads and bodies before
            size = max(size - data.rfind(END) - len(END), 0)
        if receiving is None:
            if self._fed:
                self._count_head(size)
                self._watch.head_goes_on()
        elif receiving.fields.chunked:
            self._count_hollow(receiving, size)
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
            self._end(receiving)
        return rest

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
        self._fed = self._grown = self._hollow = 0
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


def _refusal(error: httptools.HttpParserError) -> ProxyError:
    """
    Return what the parser, or a callback of ours, has against the bytes.
    """
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
        if isinstance(cause, ProxyError):
            return cause
        raise cause  # a bug of ours: the loop's handler logs it
    return BadRequest(f"not HTTP/1.1: {error}")

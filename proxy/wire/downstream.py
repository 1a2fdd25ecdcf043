"""
One caller's connection: parse, limits, deadlines, pipelining.

Theory of operation
-------------------
`data_received` feeds the parser; its callbacks build a head, then hand body bytes to the exchange
that is being received. Exchanges take turns in the order they came: the current one in
`exchange`, the others in `queue`. While another request waits, the connection is not read.

A body with a Content-Length that does not end within the read that brought its head is counted
and passed on as read, without the parser (`owed`); a fresh parser starts at the next message.

Reading stops while any bit of `held` is set, and goes on when the last is cleared.

A request that cannot be parsed dooms the connection: what came before it is answered first, then
the refusal is, and the connection closes. Closing lingers: the caller's remaining bytes are read
and thrown away for a while, because closing a socket with unread bytes makes the kernel reset the
connection and the answer with it (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from proxy.errors import (
    BadRequest,
    HeadersTooLarge,
    ProxyError,
    RequestTimeout,
    UpstreamTimeout,
    UriTooLong,
)
from proxy.wire.message import RequestHead, Roles, read_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.exchange import Exchange

# Fed to a fresh parser to bring it to where a chunked body begins, its callbacks asleep
CHUNKED_PRIMER = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Hold(enum.IntFlag):
    """
    Why a caller is not read at the moment.
    """

    QUEUE = 1  # another request of this connection waits for its turn
    NO_UPSTREAM = 2  # body bytes came before there is an upstream to take them
    UPSTREAM_FULL = 4  # the upstream takes them more slowly than they come


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one caller's connection may use up.

    Attributes:
        target: Bytes of the request target. 8 KiB: RFC 9112 §3 asks for at least 8,000.
        head: Bytes of a header section.
        headers: Header lines of one request.
        head_time: Seconds from a head's first byte to its last.
        body_time: Seconds without a body byte while one is awaited.
        idle_time: Seconds a connection may rest between requests.
        linger_time: Seconds for which a closing connection's bytes are still read.
        waste: Body bytes read and thrown away after an early answer before the connection closes.
    """

    target: int = 8 * 1024
    head: int = 64 * 1024
    headers: int = 128
    head_time: float = 10.0
    body_time: float = 30.0
    idle_time: float = 75.0
    linger_time: float = 2.0
    waste: int = 1024 * 1024


class Service(Protocol):
    """
    Whoever owns the exchanges.
    """

    roles: Roles
    limits: Limits
    now: Callable[[], float]

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


class Downstream(asyncio.Protocol):
    """
    The protocol of one accepted connection.

    Args:
        service: Owner of the exchanges.
        listener: What the owner wants to know again of the listener that accepted it.
        connections: Every open connection, for sweeps and for draining.
    """

    __slots__ = (
        "_broken",
        "_fed",
        "_fields",
        "_large",
        "_owed",
        "_parser",
        "_priming",
        "_progress",
        "_receiving",
        "_service",
        "_since",
        "_target",
        "_wasted",
        "closing",
        "connections",
        "doom",
        "exchange",
        "held",
        "listener",
        "parsing",
        "peer",
        "queue",
        "transport",
    )

    def __init__(self, service: Service, listener: object, connections: set[Downstream]) -> None:
        self._service = service
        self.listener = listener
        self.connections = connections
        self.transport: asyncio.Transport | None = None
        self.peer: object = None
        self.exchange: Exchange | None = None
        self.queue: deque[Exchange] = deque()
        self.held = 0
        self.parsing = False
        self.closing = False
        self.doom: ProxyError | None = None
        self._receiving: Exchange | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._fed = 0
        self._large = False
        self._owed = 0
        self._wasted = 0
        self._priming = False
        self._broken = False
        self._progress = -1
        self._since = 0.0

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.peer = transport.get_extra_info("peername")
        self._parser = httptools.HttpRequestParser(self)
        self._since = self._service.now()
        self.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        self.connections.discard(self)
        del self._parser  # it holds bound methods of ours: a cycle the collector need not find
        self.queue.clear()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandon()

    def eof_received(self) -> bool:
        """
        A caller that has said all it has to say still gets its answer (TCP half-close).
        """
        transport = self.transport
        exchange = self.queue[-1] if self.queue else self.exchange
        if exchange is None or self.closing or self._receiving is not None:
            return False
        exchange.keep = False
        return transport is not None and transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.pause()

    def resume_writing(self) -> None:
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.resume()

    def write(self, data: bytes) -> None:
        """
        Write to the caller, if it is still there.
        """
        if self.transport is not None:
            self.transport.write(data)

    def hold(self, why: int) -> None:
        """
        Stop reading for one more reason.
        """
        if not self.held and self.transport is not None:
            self.transport.pause_reading()
        self.held |= why

    def release(self, why: int) -> None:
        """
        One reason not to read is gone.
        """
        if self.held & why:
            self.held &= ~why
            if not self.held and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    # Bytes in

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self._wasted += len(data)
            if self._wasted > self._service.limits.waste and self.transport is not None:
                self.transport.abort()
            return
        self.parsing = True
        while data and not self.closing and self.doom is None:
            data = self._pass_owed(data) if self._owed else self._feed(data)
        self.parsing = False
        exchange = self.exchange
        if exchange is not None and exchange.pending:
            exchange.flush()
        if self.doom is not None and self.exchange is None:
            self._refuse(self.doom)

    def _feed(self, data: bytes) -> bytes:
        """
        Let the parser read; return what is left for another turn.
        """
        rest = b""
        begun = self._fed
        self._large = begun > 1 or len(data) > self._service.limits.target
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._resume_after_upgrade()
        except httptools.HttpParserError as error:
            self._malformed(error)
            return b""
        receiving = self._receiving
        if receiving is None:
            if begun:
                self._fed += len(data)
                self._check_size()
            elif self._fed:
                self._since = self._service.now()  # a head that comes in pieces has a deadline
        elif not self._broken and receiving.head.length:
            self._owed = receiving.head.length - receiving.bytes_in
        return rest

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
        if not self._owed:
            self._parser = httptools.HttpRequestParser(self)
            self._end(receiving)
        return rest

    def _body(self, exchange: Exchange, data: bytes) -> None:
        exchange.body(data)
        if exchange.done:
            self._wasted += len(data)
            if self._wasted > self._service.limits.waste:
                self._close()

    def _end(self, exchange: Exchange) -> None:
        self._receiving = None
        exchange.end()
        if exchange.done and exchange is self.exchange:
            self._next()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if not self._priming:
            self._fields = []
            self._target = b""
            self._fed = 1

    def on_url(self, url: bytes) -> None:
        if not self._priming:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is None:
            self._fields.append((name, value))
        # else a trailer: read, counted by the parser, not forwarded

    def on_headers_complete(self) -> None:
        if self._priming:
            return
        parser = self._parser
        fields = self._fields
        limits = self._service.limits
        if len(self._target) > limits.target:
            raise UriTooLong(f"the request target is longer than {limits.target} bytes")
        if len(fields) > limits.headers:
            raise HeadersTooLarge(f"there are more than {limits.headers} header lines")
        if self._large and sum(len(n) + len(v) + 4 for n, v in fields) > limits.head:
            raise HeadersTooLarge(f"the header section is larger than {limits.head} bytes")
        line = (parser.get_method(), self._target, parser.get_http_version())
        head = read_request(line, fields, self._service.roles)
        self._fields = []
        self._target = b""
        self._fed = 0
        exchange = self._service.exchange(self, head)
        self._receiving = exchange
        if self.exchange is None:
            self.exchange = exchange
            exchange.begin()
        else:
            self.queue.append(exchange)
            self.hold(Hold.QUEUE)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._body(self._receiving, data)

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None or (self._parser.should_upgrade() and exchange.head.has_body):
            return  # the parser stops at an upgrade's head; its body is still to come
        self._end(exchange)

    def _resume_after_upgrade(self) -> None:
        """
        Go on with a request whose upgrade nobody accepts: it is an ordinary one (RFC 9110 §7.8).
        """
        exchange = self._receiving
        self._parser = httptools.HttpRequestParser(self)
        if exchange is not None and exchange.head.chunked:
            self._priming = True
            self._parser.feed_data(CHUNKED_PRIMER)
            self._priming = False
        elif exchange is not None:
            self._owed = exchange.head.length or 0

    # Refusals and turns

    def _malformed(self, error: httptools.HttpParserError) -> None:
        """
        The parser, or a callback of ours, will not go on with these bytes.
        """
        cause = error.__context__
        if isinstance(cause, ProxyError):
            refusal: ProxyError = cause
        elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
            raise cause  # a bug of ours: the loop's handler logs it
        else:
            refusal = BadRequest(f"not HTTP/1.1: {error}")
        receiving, self._receiving = self._receiving, None
        self._broken = True
        if receiving is None or receiving.done:
            self.doom = refusal
        elif receiving is self.exchange:
            receiving.keep = False
            receiving.fail(refusal)
        else:
            self.queue.remove(receiving)
            self.doom = refusal

    def _check_size(self) -> None:
        limits = self._service.limits
        if len(self._target) > limits.target:
            self.doom = UriTooLong(f"the request target is longer than {limits.target} bytes")
        elif self._fed > limits.head + limits.target:
            self.doom = HeadersTooLarge(f"the header section is larger than {limits.head} bytes")

    def turn_over(self, exchange: Exchange, *, cut: bool) -> None:
        """
        An exchange has ended: next one, or close.
        """
        if self.transport is None or exchange is not self.exchange:
            return
        if cut or not exchange.keep:
            self._close()
        elif exchange is not self._receiving:
            self._next()
        # else the rest of its body is read and thrown away first

    def _next(self) -> None:
        self.exchange = None
        if self.queue:
            self.exchange = exchange = self.queue.popleft()
            if not self.queue:
                self.release(Hold.QUEUE)
            exchange.begin()
        elif self.doom is not None and not self.parsing:
            self._refuse(self.doom)
        else:
            self._since = 0.0  # the next sweep notes the time: no clock is read per request

    def _refuse(self, error: ProxyError) -> None:
        self.write(self._service.refused(self, error))
        self._close()

    def _close(self) -> None:
        """
        Close after what is written has gone out, reading on for a while.
        """
        transport = self.transport
        if transport is None or self.closing:
            return
        self.closing = True
        self._since = self._service.now()
        self._wasted = 0
        self.queue.clear()
        self.exchange = None
        if self._receiving is None and not self._broken and self.doom is None:
            transport.close()
        elif transport.can_write_eof():
            if self.held:
                self.held = 0
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()

    # Deadlines

    def drain(self) -> None:
        """
        Finish what is in progress, then close.
        """
        if self.exchange is None and self._receiving is None and not self._fed:
            self._close()
        elif self.exchange is not None:
            last = self.queue[-1] if self.queue else self.exchange
            last.keep = False

    def sweep(self, now: float) -> None:  # noqa: C901 - one branch per state of a connection
        """
        Close, refuse or give up what took too long. Called about twice a second.
        """
        limits = self._service.limits
        if not self._since:
            self._since = now
        waited = now - self._since
        exchange = self.exchange
        if self.closing:
            self._sweep_closing(now, waited)
        elif exchange is None:
            if self._fed and waited > limits.head_time:
                self._refuse(RequestTimeout("the request's head did not arrive in time"))
            elif not self._fed and waited > limits.idle_time:
                self._close()
        elif self._moved(exchange.bytes_in + exchange.bytes_out + exchange.upstream_status, now):
            pass
        elif self._receiving is exchange and not self.held:
            if waited > limits.body_time:
                if exchange.done:
                    self._close()
                else:
                    exchange.keep = False
                    exchange.fail(RequestTimeout("the request's body did not arrive in time"))
        elif exchange.upstream is not None and waited > exchange.patience():
            exchange.fail(UpstreamTimeout(f"nothing moved for {waited:.0f} s"))

    def _moved(self, progress: int, now: float) -> bool:
        """
        Return whether a byte moved since the last sweep.
        """
        if self.transport is not None:
            progress += self.transport.get_write_buffer_size()
        if progress == self._progress:
            return False
        self._progress = progress
        self._since = now
        return True

    def _sweep_closing(self, now: float, waited: float) -> None:
        transport = self.transport
        if transport is None or self._moved(-2, now):
            return
        limits = self._service.limits
        unsent = transport.get_write_buffer_size()
        if waited > (limits.body_time if unsent else limits.linger_time):
            transport.abort()

"""
One request and its response between a caller's connection and an upstream's.

Theory of operation
-------------------
The caller's connection has an exchange made when a request's head is complete, and calls `begin`
when it is the exchange's turn (requests on one connection are answered in order). The owner of the
exchange, a subclass, then does one of three things: `forward` it over a pool, `respond` itself, or
wait for something and do one of the two later.

Body bytes gather in `pending` until an upstream connection is attached and the read that brought
them has been parsed to its end; then one `flush` writes them. While there is no upstream,
`pending` is bounded by no longer reading from the caller.

When the response's head is in, `answered` says which lines to add, or holds the response: the
upstream is not read any further, and the owner later either passes the response on or sends the
request once more (`replay`), which needs the body sent so far; it is copied up to `REPLAY` bytes.

A response of status 101 to an upgrade that was asked for turns the exchange into a tunnel: from
then on bytes go both ways as they come (`tunnelled`), until either end closes.

An exchange ends exactly once, in `finish`, whatever ended it: the response's last byte, a failure,
or a caller who left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import BodyTooLarge, ProxyError, UpstreamClosed
from proxy.wire.connection import NO_UPSTREAM, UPSTREAM_FULL
from proxy.wire.limits import DEFAULT_TIMEOUTS
from proxy.wire.message import BODYLESS, IDEMPOTENT

if TYPE_CHECKING:
    from proxy.wire.answering import Response
    from proxy.wire.downstream import Downstream
    from proxy.wire.frames import Frames
    from proxy.wire.limits import Timeouts
    from proxy.wire.message import RequestFields
    from proxy.wire.pool import Pool
    from proxy.wire.upstream import Upstream

REPLAY = 64 * 1024
"""Body bytes kept for sending a request once more; ZITADEL's API bodies are far smaller."""

PENDING = 64 * 1024
"""Request bytes held while no upstream is attached, before the caller is no longer read."""

MOST_PIECES = 512
"""Pieces in which a body may be kept."""

CALLER_LEFT = 499
"""Status in the log of a request whose caller hung up; never sent. nginx's number for it."""


class Exchange:
    """
    One request and its response. Subclass it to decide what happens.

    Attributes:
        caller: The connection the request came on.
        method: As in the request line.
        target: As in the request line.
        fields: The request's header section.
        status: The status sent to the caller; 0 before.
        upstream_status: The status the upstream answered; 0 if none did.
        complete: The caller has sent the whole request.
        keep: The caller's connection may be used again afterwards.
        done: The exchange has ended.
        error: What went wrong, if anything.
        bytes_in: Body bytes from the caller.
        bytes_out: Body bytes to the caller.
        tunnelled: Once it is a tunnel: where its frames end; None before.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "caller",
        "complete",
        "continued",
        "done",
        "error",
        "fields",
        "keep",
        "kept",
        "method",
        "pending",
        "pool",
        "response",
        "retried",
        "sent",
        "started",
        "status",
        "target",
        "timeouts",
        "tunnelled",
        "upstream",
        "upstream_status",
    )

    def __init__(
        self,
        caller: Downstream,
        method: bytes,
        target: bytes,
        fields: RequestFields,
        started: float,
    ) -> None:
        self.caller = caller
        self.method = method
        self.target = target
        self.fields = fields
        self.started = started
        self.keep = fields.keep
        self.complete = not fields.has_body
        self.done = False
        self.error: ProxyError | None = None
        self.status = 0
        self.upstream_status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.pending: list[bytes] = []
        self.kept: list[bytes] | None = None  # the body so far, for a replay; None once too large
        if fields.has_body:
            self.kept = []
        self.sent = b""
        self.pool: Pool | None = None
        self.upstream: Upstream | None = None
        self.response: Response | None = None  # held, or on its way to the caller
        self.retried = False
        self.continued = False  # an interim answer told the caller to go on
        self.tunnelled: Frames | None = None
        self.timeouts = DEFAULT_TIMEOUTS

    # What a subclass says

    def begin(self) -> None:
        """
        It is this request's turn: forward it, respond, or start waiting.
        """
        raise NotImplementedError

    def answered(self, response: Response) -> bytes | None:
        """
        Return header lines to add to the upstream's response; None holds it.
        """
        raise NotImplementedError

    def failed(self, error: ProxyError) -> None:
        """
        Forwarding failed before anything of a response went to the caller: respond.
        """
        raise NotImplementedError

    def finished(self) -> None:
        """
        The exchange has ended: write the account.
        """
        raise NotImplementedError

    # What a subclass calls

    def forward(self, pool: Pool, head: bytes, timeouts: Timeouts) -> None:
        """
        Send the request upstream: *head*, then the body as it comes.
        """
        self.pool = pool
        self.timeouts = timeouts
        self.sent = head
        upstream = pool.take()
        if upstream is None:
            pool.connect(self)
        else:
            self.attach(upstream)

    def respond(self, head: bytes, body: bytes, *, status: int) -> None:
        """
        Answer in the upstream's stead. A request still on its way in is read and discarded.

        Args:
            head: Status line and header lines, without the empty line; framing is in it.
            body: The body; left out for HEAD.
            status: What stands in the status line.
        """
        self.detach()
        self.pending.clear()
        self.kept = None
        self.status = status
        head += self.connection_line()
        if self.method == b"HEAD":
            body = b""
        self.bytes_out += len(body)
        self.caller.write(head + b"\r\n" + body)
        self.finish()

    @property
    def replayable(self) -> bool:
        """
        Whether the request, as far as it came, could be sent once more.
        """
        return not self.fields.has_body or self.kept is not None

    def replay(self, head: bytes) -> None:
        """
        Drop the held response and send the request once more, with another head.
        """
        self.detach()
        self.response = None
        self.upstream_status = 0
        self.pending = list(self.kept or ())
        if self.pool is not None:
            self.forward(self.pool, head, self.timeouts)

    # What the two connections call

    def body(self, data: bytes) -> None:
        """
        Take body bytes from the caller.
        """
        self.bytes_in += len(data)
        if self.done:
            return
        most = self.caller.limits.body
        if most and self.bytes_in > most:
            self.keep = False
            self.fail(BodyTooLarge(f"the body is larger than {most} bytes"))
            return
        if self.fields.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._take(data)

    def end(self, trailers: bytes = b"") -> None:
        """
        The caller has sent the whole request.

        Args:
            trailers: What stood behind a chunked body, as far as it travels; each with its CRLF.
        """
        self.complete = True
        if self.fields.chunked and not self.done:
            self._take(b"0\r\n%b\r\n" % trailers)

    def _take(self, data: bytes) -> None:
        self.pending.append(data)
        kept = self.kept
        if kept is not None:
            if self.bytes_in <= REPLAY:
                kept.append(data)
                _thicken(kept)
            else:
                self.kept = None
        if self.upstream is None:
            _thicken(self.pending)
            if self.bytes_in > PENDING:
                self.caller.hold(NO_UPSTREAM)

    def attach(self, upstream: Upstream) -> None:
        """
        An upstream connection is there: send what has come so far.
        """
        self.upstream = upstream
        upstream.begin(self)
        if not self.fields.has_body:
            upstream.write(self.sent)
            return
        self.pending.insert(0, self.sent)
        if not self.caller.parsing:
            self.flush()

    def flush(self) -> None:
        """
        Write what is pending, if there is where to.
        """
        upstream = self.upstream
        if upstream is not None:
            pending = self.pending
            upstream.write(pending[0] if len(pending) == 1 else b"".join(pending))
            pending.clear()
            if self.caller.held:
                self.caller.release(NO_UPSTREAM)

    def pass_up(self, data: bytes) -> None:
        """
        Pass a tunnel's bytes on to the upstream.
        """
        if self.upstream is not None and self.tunnelled is not None:
            self.bytes_in += len(data)
            self.tunnelled.up.follow(data)
            self.upstream.write(data)

    def pass_down(self, data: bytes) -> None:
        """
        Pass a tunnel's bytes on to the caller.
        """
        if self.tunnelled is not None:
            self.bytes_out += len(data)
            self.tunnelled.down.follow(data)
            self.caller.write(data)

    def detach(self) -> None:
        """
        Give the upstream connection back: to the pool if its response is over, else closed.
        """
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.end()
            self.caller.release(UPSTREAM_FULL)

    def lost(self, upstream: Upstream) -> None:
        """
        The upstream connection ended before the response did.
        """
        self.upstream = None
        self.caller.release(UPSTREAM_FULL)
        if self.tunnelled:
            self.keep = False
            self.finish()
        elif self.response is not None:
            self._cut()
        elif self._retryable(upstream) and self.pool is not None:
            self.retried = True
            self.pending = list(self.kept or ())
            self.pool.connect(self)
        else:
            self.fail(UpstreamClosed("the upstream closed the connection before it answered"))

    def fail(self, error: ProxyError) -> None:
        """
        Forwarding failed: respond if nothing went down yet, else break off.
        """
        if self.done:
            return
        if self.error is None:
            self.error = error
        if self.status:
            self._cut()
        else:
            self.detach()
            self.failed(error)

    def _retryable(self, upstream: Upstream) -> bool:
        # RFC 9112 §9.3.1: a kept connection may have been closed just as it was used. Nothing was
        # answered; sending again is safe where the method is idempotent and the body is at hand.
        return (
            upstream.reused and not self.retried and self.method in IDEMPOTENT and self.replayable
        )

    def _cut(self) -> None:
        """
        End a response short: the caller sees a connection closed before its promised end.
        """
        if self.error is None:
            self.error = UpstreamClosed("the upstream closed the connection within its response")
        self.keep = False
        self.detach()
        self.finish(cut=self.tunnelled is None)

    def abandon(self) -> None:
        """
        The caller left: stop, answer nobody.
        """
        if not self.done:
            if self.tunnelled is None:
                self.status = CALLER_LEFT
            self.keep = False
            self.pending.clear()
            self.detach()
            self.finish()

    def finish(self, *, cut: bool = False) -> None:
        """
        End the exchange.
        """
        if self.done:
            return
        self.done = True
        self.kept = None
        if self.caller.held:
            self.caller.release(NO_UPSTREAM)  # what it still sends is read and thrown away
        self.finished()
        self.caller.turn_over(self, cut=cut)

    def connection_line(self) -> bytes:
        """
        Return the `Connection` line of a response, or nothing.
        """
        if not self.complete and self._hopeless():
            self.keep = False
        if not self.keep:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self.fields.http10 else b""

    def _hopeless(self) -> bool:
        """
        Whether the rest of the body is not to be waited for once it is answered.
        """
        fields = self.fields
        if fields.expects and not self.continued:
            return True  # nobody knows whether it will still come (RFC 9110 §10.1.1)
        left = (fields.length or 0) - self.bytes_in
        return left > self.caller.limits.waste  # told so, the caller can stop (RFC 9112 §9.6)

    @property
    def open_ended(self) -> bool:
        """
        Whether only the connection's end tells the caller that the response has ended.
        """
        unframed = self.response is not None and self.response.fields.length is None
        return unframed and self.fields.http10 and not self.bodyless(self.status)

    def progress(self) -> int:
        """
        Return a number that changes whenever something moves between caller and upstream.
        """
        unsent = 0
        if self.upstream is not None and self.upstream.transport is not None:
            unsent = self.upstream.transport.get_write_buffer_size()
        return self.bytes_in + self.bytes_out + self.upstream_status + unsent

    def patience(self) -> float:
        """
        Return for how many seconds nothing may move at this point.
        """
        return self.timeouts.response if self.response is None else self.timeouts.idle

    def bodyless(self, status: int) -> bool:
        """
        Whether a response of this status to this request has no body.
        """
        return status in BODYLESS or self.method == b"HEAD"


def _thicken(pieces: list[bytes]) -> None:
    """
    Make one piece of many: a piece of one byte takes forty.
    """
    if len(pieces) > MOST_PIECES:
        pieces[:] = [b"".join(pieces)]

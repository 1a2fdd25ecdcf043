"""
One request and its response between a caller's connection and an upstream's.

Theory of operation
-------------------
The caller's connection has an exchange made when a request's head is complete, and calls `begin`
when it is the exchange's turn (`wire.turn` tells of turns and their ends). The owner of the
exchange, a subclass, then does one of three things: `forward` it over a pool, `respond` itself, or
wait for something and do one of the two later.

Body bytes gather in `pending` until an upstream connection is attached and the read that brought
them has been parsed to its end; then one `flush` writes them. While there is no upstream,
`pending` is bounded by no longer reading from the caller.

When the response's head is in, `answered` says which lines to add, or holds the response: the
upstream is not read any further, and the owner later either passes the response on or sends the
request once more (`replay`), which needs the body sent so far; it is copied up to `REPLAY` bytes.

A response of status 101 to an upgrade that was asked for turns the exchange into a `tunnel`
(`wire.tunnel`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import BodyTooLarge, UpstreamClosed
from proxy.wire.connection import NO_UPSTREAM, UPSTREAM_FULL
from proxy.wire.limits import DEFAULT_TIMEOUTS
from proxy.wire.message import IDEMPOTENT
from proxy.wire.turn import Turn

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.wire.downstream import Downstream
    from proxy.wire.limits import Timeouts
    from proxy.wire.pool import Pool
    from proxy.wire.request import RequestFields
    from proxy.wire.response import Response
    from proxy.wire.upstream import Upstream

REPLAY = 64 * 1024
"""Body bytes kept for sending a request once more; ZITADEL's API bodies are far smaller."""

PENDING = 64 * 1024
"""Request bytes held while no upstream is attached, before the caller is no longer read."""

MOST_PIECES = 512
"""Pieces in which a body may be kept."""


class Exchange(Turn):
    """
    One request and its response. Subclass it to decide what happens.

    Attributes:
        target: As in the request line.
        upstream: The connection that serves it; None before and after.
        upstream_status: The status the upstream answered; 0 if none did.
        pending: Bytes of the body that wait to be written.
        timeouts: How long the upstream may take.
        watched: Bytes that are not to come back in the response, each longer than a few; the same
            from the request's head on upstream to the response's end.
    """

    __slots__ = (
        "pending",
        "pool",
        "retried",
        "sent",
        "target",
        "timeouts",
        "upstream",
        "upstream_status",
        "watched",
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
        self.error = None
        self.status = 0
        self.upstream_status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.pending: list[bytes] = []
        self.kept = [] if fields.has_body else None
        self.sent = b""
        self.pool: Pool | None = None
        self.upstream: Upstream | None = None
        self.response = None
        self.retried = False
        self.continued = False
        self.tunnel = None
        self.timeouts = DEFAULT_TIMEOUTS
        self.watched: tuple[bytes, ...] = ()

    # What a subclass says

    def answered(self, response: Response) -> bytes | None:
        """
        Return header lines to add to the upstream's response; None holds it.
        """
        raise NotImplementedError

    def echoed(self) -> ProxyError | None:
        """
        Something watched for was in the response and has been blotted out; return an error to have
        the response refused all the same.
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

    def detach(self) -> None:
        """
        Give the upstream connection back: to the pool if its response is over, else closed. What
        is still to be sent goes nowhere.
        """
        self.pending.clear()
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
        if self.tunnel is not None:
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

    def _retryable(self, upstream: Upstream) -> bool:
        # RFC 9112 §9.3.1: a kept connection may have been closed just as it was used. Nothing was
        # answered; sending again is safe where the method is idempotent and the body is at hand.
        return (
            upstream.reused and not self.retried and self.method in IDEMPOTENT and self.replayable
        )

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


def _thicken(pieces: list[bytes]) -> None:
    """
    Make one piece of many: a piece of one byte takes forty.
    """
    if len(pieces) > MOST_PIECES:
        pieces[:] = [b"".join(pieces)]

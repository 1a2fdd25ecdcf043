"""
A request's turn on its caller's connection: what it is answered, and that it ends once.

Theory of operation
-------------------
The caller's connection calls `begin` when it is the request's turn (requests on one connection are
answered in order). A turn ends exactly once, in `finish`, whatever ended it: the last byte of a
response, ours (`respond`) or an upstream's, a failure (`fail`), or a caller who left (`abandon`).
Its connection is then told what becomes of itself: as long as `keep` stands, the next turn begins.

A failure is answered as long as nothing of a response has gone down. After that there is only one
way to tell: the connection ends before the response does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamClosed
from proxy.wire.connection import NO_UPSTREAM
from proxy.wire.message import BODYLESS

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.wire.downstream import Downstream
    from proxy.wire.request import RequestFields
    from proxy.wire.response import Response
    from proxy.wire.tunnel import Tunnel

CALLER_LEFT = 499
"""Status in the log of a request whose caller hung up; never sent. nginx's number for it."""


class Turn:
    """
    The half of an exchange that turns to the caller.

    Attributes:
        caller: The connection the request came on.
        method: As in the request line.
        fields: The request's header section.
        started: When its turn began.
        status: The status sent to the caller; 0 before.
        response: The upstream's, held or on its way to the caller.
        complete: The caller has sent the whole request.
        continued: An interim answer told the caller to go on.
        keep: The caller's connection may be used again afterwards.
        kept: The body so far, for a replay; None without one, or once it is too large.
        done: The exchange has ended.
        error: What went wrong, if anything.
        bytes_in: Body bytes from the caller.
        bytes_out: Body bytes to the caller.
        tunnel: What it has become, once an upgrade was accepted.
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
        "response",
        "started",
        "status",
        "tunnel",
    )

    # Set by `Exchange`: there is one constructor per request, not two
    caller: Downstream
    method: bytes
    fields: RequestFields
    started: float
    status: int
    response: Response | None
    complete: bool
    continued: bool
    keep: bool
    kept: list[bytes] | None
    done: bool
    error: ProxyError | None
    bytes_in: int
    bytes_out: int
    tunnel: Tunnel | None

    # What a subclass says

    def begin(self) -> None:
        """
        It is this request's turn: forward it, respond, or start waiting.
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

    def detach(self) -> None:
        """
        Part from the upstream, and drop what is still to be sent there.
        """
        raise NotImplementedError

    # What it and the caller's connection call

    def respond(self, head: bytes, body: bytes, *, status: int) -> None:
        """
        Answer in the upstream's stead. A request still on its way in is read and discarded.

        Args:
            head: Status line and header lines, without the empty line; framing is in it.
            body: The body; left out for HEAD.
            status: What stands in the status line.
        """
        self.detach()
        self.status = status
        head += self.connection_line()
        if self.method == b"HEAD":
            body = b""
        self.bytes_out += len(body)
        self.caller.write(head + b"\r\n" + body)
        self.finish()

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

    def _cut(self) -> None:
        """
        End a response short: the caller sees a connection closed before its promised end.
        """
        if self.error is None:
            self.error = UpstreamClosed("the upstream closed the connection within its response")
        self.keep = False
        self.detach()
        self.finish(cut=self.tunnel is None)

    def abandon(self) -> None:
        """
        The caller left: stop, answer nobody.
        """
        if not self.done:
            if self.tunnel is None:
                self.status = CALLER_LEFT
            self.keep = False
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

    def bodyless(self, status: int) -> bool:
        """
        Whether a response of this status to this request has no body.
        """
        return status in BODYLESS or self.method == b"HEAD"

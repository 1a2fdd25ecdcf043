"""
Whether a caller that has said that nothing more comes is still there.

Theory of operation
-------------------
A caller that closes its sending side may have left, or may still wait for its answer (TCP
half-close); at first the two look the same. Who has left answers whatever it is sent with a reset,
which the kernel tells (`wire.kernel`). As long as nothing of the answer has gone out, such a caller
is therefore probed with an interim answer that means nothing (100 Continue, RFC 9110 §15.2). Once
the answer is on its way, its own bytes do the same; if there were none to send since, the caller is
taken to have left. HTTP/1.0 has no interim answers: such a caller is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange

PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"

PROBE_AFTER = 0.3
"""Seconds from a half-close to the first probe, and from a probe to a look at what became of it."""

PROBE_AGAIN = 5.0
"""Seconds between two probes."""


class Parting:
    """
    A caller found to have said that nothing more comes.

    Args:
        exchange: What it was being answered then.
        now: When that was.
        after: Seconds until it is to be probed.

    Attributes:
        probe_at: When it is to be probed next.
    """

    __slots__ = ("_exchange", "_said", "_since", "probe_at")

    def __init__(self, exchange: Exchange, now: float, after: float) -> None:
        self._exchange = exchange
        self._said = _said(exchange)
        self._since = now
        self.probe_at = now + after

    def unheard(self, exchange: Exchange, now: float) -> bool:
        """
        Return whether nothing was written since that could have told that the caller has left.
        """
        waited = now - self._since > PROBE_AFTER
        return waited and exchange is self._exchange and _said(exchange) == self._said

    def probe(self, exchange: Exchange, now: float) -> bytes:
        """
        Return what to write to see whether the caller is there; nothing if it is not yet time.
        """
        if now < self.probe_at or exchange.fields.http10:
            return b""
        self.probe_at = now + PROBE_AGAIN
        return PROBE


def _said(exchange: Exchange) -> int:
    """
    Return a number that changes whenever something is written to the caller.
    """
    return exchange.status + exchange.bytes_out

"""
Whether a request's body comes too slowly, judged over all of it.

A body begins with a credit of seconds. Time that passes spends it and bytes that come buy some,
at the least rate a caller may send at, up to what may be saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.limits import Limits


class Pace(NamedTuple):
    """
    How a body has been coming.

    Attributes:
        exchange: Whose body.
        seen: When it was last looked at.
        size: How many bytes had come then.
        credit: Seconds it may go on without another byte: each byte buys some.
    """

    exchange: Exchange
    seen: float
    size: int
    credit: float


def pace_of(exchange: Exchange, limits: Limits, now: float, before: Pace | None) -> Pace:
    """
    Return how the body of *exchange* has been coming up to now.

    Args:
        exchange: Its caller is being read.
        limits: What its caller may use up; there is a least rate among them.
        now: The time.
        before: What was returned at the last look, if it was this body's.
    """
    if before is None or before.exchange is not exchange:
        credit = limits.body_grace
    else:
        bought = (exchange.bytes_in - before.size) / limits.body_rate
        most = max(limits.body_grace, limits.body_time)
        credit = min(before.credit + bought, most) - (now - before.seen)
    return Pace(exchange, now, exchange.bytes_in, credit)

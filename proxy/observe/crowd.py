"""
Says in the log that there is no room for another caller: in words, and not once per caller.

It looks whenever deadlines are looked at, twice a second. Whom the event loop or the kernel turned
away on their own, for want of a file descriptor, no request's line tells of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sized

    from structlog.typing import FilteringBoundLogger

AGAIN = 10.0
"""Seconds before it is said again while it lasts."""

NO_PLACE = "as many callers are connected as limits.connections allows; one more is answered 503"
NO_DESCRIPTOR = "no file descriptor is left for another connection; raise the limit of open files"


class Crowd:
    """
    Watches how many callers are connected.

    Args:
        log: Where it is said.
        callers: The connected ones.
        most: How many there may be.

    Attributes:
        most: How many there may be; may be set.
    """

    def __init__(self, log: FilteringBoundLogger, callers: Sized, most: int) -> None:
        self._log = log
        self._callers = callers
        self.most = most
        self._starved = False
        self._silent_until = float("-inf")

    def starve(self) -> None:
        """
        A connection could not be accepted: no file descriptor is left.
        """
        self._starved = True

    def sweep(self, now: float) -> None:
        """
        Say what there is to say. Called about twice a second.
        """
        starved, self._starved = self._starved, False
        count = len(self._callers)
        if now < self._silent_until or not (starved or count >= self.most):
            return
        self._silent_until = now + AGAIN
        reason = NO_DESCRIPTOR if starved else NO_PLACE
        self._log.warning("connections.full", connected=count, most=self.most, reason=reason)

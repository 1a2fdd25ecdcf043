"""
What a caller's connection asks of whoever owns its exchanges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import ProxyError
    from proxy.wire.downstream import Downstream
    from proxy.wire.exchange import Exchange
    from proxy.wire.limits import Limits
    from proxy.wire.request import RequestFields
    from proxy.wire.roles import Roles
    from proxy.wire.wheel import Wheel


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

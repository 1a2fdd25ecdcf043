"""
What all requests share: the generation they are served by, the logs, the deadlines.

State: the generation, which is swapped whole; the tasks of requests that wait; whether it drains.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proxy.core.problem import problem
from proxy.observe.access import no_request
from proxy.observe.denials import Denials
from proxy.observe.seldom import Seldom
from proxy.wire.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from proxy.errors import ProxyError
    from proxy.generation import Generation
    from proxy.observe.access import AccessLog
    from proxy.wire.downstream import Downstream
    from proxy.wire.limits import Limits


class House:
    """
    What all requests share.

    Attributes:
        metrics: Where requests are counted.
        echoes: When to say again that a route's upstream repeats tokens.
        roles: Which request headers the wire sets aside.
        wheel: For the deadlines of callers' connections.
        draining: What is in flight is to end, and nothing new to begin.
    """

    def __init__(
        self,
        generation: Generation,
        access: AccessLog,
        log: FilteringBoundLogger,
        limits: Limits,
        now: Callable[[], float],
        request_ids: Callable[[], str],
    ) -> None:
        self.generation = generation
        self.access = access
        self.log = log
        self.denials = Denials(log, now)
        self.echoes = Seldom(now)
        self.limits = limits
        self.now = now
        self.request_ids = request_ids
        self.wheel = Wheel(now)
        self.draining = False
        self.metrics = generation.metrics
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def generation(self) -> Generation:
        """
        The configuration new requests are served by.
        """
        return self._generation

    @generation.setter
    def generation(self, generation: Generation) -> None:
        self._generation = generation
        self.roles = generation.roles

    def refused(self, caller: Downstream, error: ProxyError) -> bytes:
        """
        Answer something that is no request; the connection closes afterwards.
        """
        request_id = self.request_ids()
        self.metrics.unrouted.done("_OTHER", error.status, 0.0, 0, 0.0)
        self.access.write(
            no_request(
                request_id,
                client=caller.peer,
                status=error.status,
                error=f"{error.code}: {error.reason}",
            )
        )
        head, body = problem(error, request_id)
        return head + b"Connection: close\r\n\r\n" + body

    async def close(self) -> None:
        """
        Stop what is still waiting.
        """
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

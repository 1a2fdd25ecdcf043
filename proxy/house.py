"""
What all requests share: the generation they are served by, the logs, the deadlines.

State: the generation, which is swapped whole; the tasks of requests that wait; whether it drains.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.core.problem import problem
from proxy.observe.access import no_request
from proxy.observe.denials import Denials
from proxy.observe.seldom import Seldom
from proxy.wire.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from proxy.errors import ProxyError
    from proxy.generation import Generation
    from proxy.observe.access import AccessLog
    from proxy.observe.audit import AuditLog
    from proxy.observe.traces import Traces
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
        audit: Where requests are recorded; None if they are not.
        listeners: What each listener is called, by its number.
        traces: What requests are told of to; None if they are not.
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
        self.audit: AuditLog | None = None
        self.listeners: Mapping[int, str] = {}
        self.traces: Traces | None = None

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

    def drain(self, linger: float) -> None:
        """
        Begin nothing that is not at the door already.

        Args:
            linger: Seconds for which a caller's connection may still rest.
        """
        self.draining = True
        self.limits = replace(self.limits, idle_time=min(self.limits.idle_time, linger))

    def refused(self, caller: Downstream, error: ProxyError) -> bytes:
        """
        Answer something that is no request; the connection closes afterwards.
        """
        request_id = self.request_ids()
        self.metrics.unrouted.done("_OTHER", error.status, 0.0, 0, 0.0)
        record = no_request(
            request_id,
            client=caller.peer,
            status=error.status,
            error=f"{error.code}: {error.reason}",
        )
        self.metrics.recent.note(record, self.now())
        self.access.write(record)
        head, body = problem(error, request_id)
        return head + b"Connection: close\r\n\r\n" + body

    async def close(self) -> None:
        """
        Stop what is still waiting.
        """
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

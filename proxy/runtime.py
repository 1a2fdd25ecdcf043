"""
The composition root: checked settings in, a serving proxy out.

Everything else is handed what it needs; here it is decided what that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.admin.reading import read
from proxy.admin.server import Admin
from proxy.admin.switch import Switch
from proxy.administration import Administration
from proxy.audited import open_audit
from proxy.bounds import caller_limits
from proxy.drain import Patience, drain
from proxy.errors import ConfigError
from proxy.gateway import Gateway
from proxy.listeners import Listeners
from proxy.observe.crowd import Crowd
from proxy.observe.events import LEVELS
from proxy.observe.exposition import Exposition
from proxy.observe.formats import open_access
from proxy.observe.log import make_logger
from proxy.observe.metrics import Metrics
from proxy.observe.opening import open_traces
from proxy.problem import Problem
from proxy.reload import Reloader
from proxy.succession import Succession
from proxy.surroundings import Surroundings, request_ids
from proxy.tasks import spawn
from proxy.tls.watch import look_forever
from proxy.traced import request_class
from proxy.watch import Watch
from proxy.wire.wheel import Round

if TYPE_CHECKING:
    import socket
    from types import TracebackType
    from typing import Self

    from structlog.typing import FilteringBoundLogger

    from proxy.admin.reloads import Reload, Trigger
    from proxy.config.load import Loaded
    from proxy.generation import Generation
    from proxy.observe.audit import AuditLog
    from proxy.observe.reading import Reading
    from proxy.observe.traces import Traces
    from proxy.tls.listener import ListenerCertificates
    from proxy.wire.downstream import Downstream
    from proxy.wire.limits import Limits

FEW = 1000
"""Callers' connections below which it is worth saying that the system allows no more."""

WARM_UP = 10.0
"""Seconds another configuration waits for its first tokens before it serves without them."""

START_LOOK = 0.02
"""Seconds between two looks at whether the tokens have come, before it takes another process's place."""

STARVED = frozenset((errno.EMFILE, errno.ENFILE))
"""What accept(2) says when no file descriptor is left, to the process or to the system."""


class Runtime:
    """
    A serving proxy. Use as `async with Runtime(loaded, surroundings) as runtime:`.

    Attributes:
        log: Events.
        metrics: What is counted.
        reloader: Reloads the configuration; there once it serves.
        succession: Its generations; there once it starts.
    """

    reloader: Reloader
    _gateway: Gateway
    succession: Succession

    def __init__(self, loaded: Loaded, around: Surroundings) -> None:
        self._loaded = loaded
        self._around = around
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connections: set[Downstream] = set()
        self._stopping = False
        self._traces: Traces | None = None
        self._trail: tuple[contextlib.ExitStack, AuditLog | None] = (contextlib.ExitStack(), None)
        said = loaded.settings.log
        self._open_access = partial(open_access, around.style, around.sink, around.clock.wall)
        self.log: FilteringBoundLogger = make_logger(
            around.sink,
            around.clock.wall,
            style=around.style,
            level=logging.getLevelName(said.level.upper()),
        )
        self.metrics = Metrics()
        self._listeners = Listeners(self._connections, around.inherited, self._on_certificate_event)
        self._administration = Administration(self._make_admin, around.inherited)

    @property
    def addresses(self) -> list[str]:
        """
        Where it listens, as written in proxy.yaml but with real ports.
        """
        return [each.name for each in self._listeners.opened]

    @property
    def certificates(self) -> list[ListenerCertificates]:
        """
        Those of its listeners that speak TLS.
        """
        return self._listeners.certificates

    @property
    def admin(self) -> str:
        """
        The admin listener's address; empty if off.
        """
        return self._administration.address

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._drain()
        await self._stack.aclose()

    async def reload(self, trigger: Trigger) -> Reload:
        """
        Read the configuration again, and serve by it if it can be used. Raises nothing.
        """
        return await self.reloader.reload(trigger)

    def reopen_files(self) -> None:
        """
        Open the files that are written to anew: somebody may have renamed them.
        """
        if (audit := self._trail[1]) is not None:
            audit.reopen()

    def ready(self) -> bool:
        """
        Say whether it serves, with the tokens it needs.
        """
        return self._gateway.generation.keeper.ready() and not self._stopping

    def sockets(self) -> tuple[tuple[str, socket.socket], ...]:
        """
        Return copies of the listening sockets: each listener's by its address as written, and
        `admin`'s.
        """
        return (*self._listeners.sockets(), *self._administration.sockets())

    def hand_over(self) -> None:
        """
        Leave Unix sockets in place in the end: another process accepts there.
        """
        self._listeners.handed_over = self._administration.handed_over = True

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        around, loaded = self._around, self._loaded
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        access = self._open_access(loop, requests=loaded.settings.log.requests)
        stack.callback(access.flush)
        stack.callback(self._close_trail)
        self._trail = self._open_trail(loaded)
        self._traces = traces = await stack.enter_async_context(
            open_traces(loaded.settings.traces, around.environ, around.clock, self.log)
        )
        self.succession = await stack.enter_async_context(
            Succession(
                around.environ,
                around.clock,
                self.metrics,
                self._on_token_event,
                self._connections,
                around.inherited.revoked,
            )
        )
        limits = self._limits(loaded)
        plan = await self._listeners.plan(loaded, limits.head_time)
        undo = stack.enter_context(contextlib.ExitStack())
        undo.callback(plan.discard, ())
        gc.collect()
        gc.freeze()  # what is there by now stays; generations, which follow, do not
        term = await self.succession.prepare(loaded, plan.numbers)
        self._crowd = Crowd(self.log, self._connections, limits.connections)
        self._gateway = gateway = Gateway(
            term.generation, access, self.log, limits, around.clock.boot, request_ids()
        )
        gateway.listeners, gateway.traces = self._listeners.names, traces
        self._record()
        stack.push_async_callback(gateway.close)
        self.succession.succeed(term, gateway)
        while around.inherited.taking_over and not self.ready():  # noqa: ASYNC110 - once
            await asyncio.sleep(START_LOOK)  # as long, the process before this one serves
        await self._listeners.commit(plan, loaded, gateway)
        undo.pop_all()
        stack.push_async_callback(self._listeners.close)
        self.reloader = Reloader(
            loaded, around.environ, around.clock.wall, self.log, self.metrics, self._change
        )
        stack.push_async_callback(self._administration.close)
        self._administration.take_over(await self._administration.plan(loaded), loaded)
        gateway.wheel.enter(Round(lambda: (self.succession, self._crowd)), 0.0)
        self._watch(stack)
        self._say_started(limits)

    def _watch(self, stack: contextlib.AsyncExitStack) -> None:
        """
        See to deadlines, certificates and the configuration's file from now on.
        """
        looker = look_forever(lambda: self.certificates, self._around.clock.wall)
        watch = Watch(self.reloader.paths, self._on_change)
        watch.note()
        works = {
            "wheel": self._gateway.wheel.turn_forever(),
            "certificates": looker,
            "configuration": watch.watch(),
        }
        for name, work in works.items():
            stack.callback(spawn(self._tasks, work, name=name).cancel)
        stack.push_async_callback(self.reloader.close)

    async def _on_change(self) -> bool:
        return (await self.reload("file")).outcome != "rejected"

    # Another configuration

    async def _change(self, loaded: Loaded) -> tuple[str, ...]:
        """
        Put another configuration in service; return the service users that have no token.

        Raises:
            ConfigError: Something of it cannot be had; nothing has changed then.
        """
        self._around.hide(loaded.settings)
        limits = self._limits(loaded)
        async with contextlib.AsyncExitStack() as undo:
            plan = await self._listeners.plan(loaded, limits.head_time)
            undo.callback(plan.discard, self._listeners.opened)
            trail = self._trail
            if loaded.settings.audit != self._loaded.settings.audit:
                trail = self._open_trail(loaded)
                undo.callback(trail[0].close)
            admin = await self._administration.plan(loaded)
            undo.callback(self._administration.discard, admin, loaded)
            term = await self.succession.prepare(loaded, plan.numbers)
            undo.push_async_callback(self.succession.discard, term)
            without = await self.succession.warm(term, WARM_UP)
            if self._stopping:
                raise ConfigError([Problem("file", "the proxy is stopping", file=loaded.origin)])
            undo.pop_all()
        self._gateway.limits = limits
        self._crowd.most = limits.connections
        self.succession.succeed(term, self._gateway)
        self._loaded = loaded
        if trail is not self._trail:
            before, self._trail = self._trail, trail
            self._record()
            before[0].close()
        self._administration.take_over(admin, loaded)
        await self._listeners.commit(plan, loaded, self._gateway)
        return without

    def _open_trail(self, loaded: Loaded) -> tuple[contextlib.ExitStack, AuditLog | None]:
        around = self._around
        stack = contextlib.ExitStack()
        audit = stack.enter_context(
            open_audit(
                loaded,
                around.environ,
                around.sink,
                around.clock.wall,
                asyncio.get_running_loop(),
                style=around.style,
            )
        )
        return stack, audit

    def _close_trail(self) -> None:
        self._trail[0].close()

    def _record(self) -> None:
        """
        Have requests recorded and told of as it is wanted now.
        """
        gateway, audit = self._gateway, self._trail[1]
        gateway.audit = audit
        gateway.request_class = request_class(
            audited=audit is not None, traced=gateway.traces is not None
        )

    def _make_admin(self) -> Admin:
        def generation() -> Generation:
            return self._gateway.generation

        return Admin(
            generation,
            lambda: self._stopping,
            Exposition(self.metrics, self._reading).text,
            switch=Switch(generation, self._connections, self._on_token_event),
            reloads=self.reloader,
            loaded=lambda: self.reloader.loaded,
            metrics=self.metrics,
            reading=self._reading,
            clock=self._around.clock,
        )

    def _limits(self, loaded: Loaded) -> Limits:
        """
        Return what callers may use up, as set, but for connections without a file descriptor.
        """
        limits = caller_limits(loaded.settings)
        if 0 < self._around.connections < limits.connections:
            return replace(limits, connections=self._around.connections)
        return limits

    def _say_started(self, limits: Limits) -> None:
        self.log.info("proxy.started", listen=self.addresses, admin=self.admin or None)
        asked = self._loaded.settings.limits.connections
        written = "connections" in self._loaded.settings.limits.model_fields_set
        if limits.connections < (asked if written else FEW):
            self.log.warning(
                "limits.lowered",
                setting="limits.connections",
                asked=asked,
                used=limits.connections,
                reason="the system allows this process too few open files; raise that limit",
            )

    async def _drain(self) -> None:
        """
        Bring everything in flight to its end.
        """
        self._stopping = True
        said = self._loaded.settings.shutdown
        patience = Patience(said.delay, said.grace)
        if self._around.grace is not None:
            patience = Patience(0.0, self._around.grace)
        if self._administration.handed_over:
            patience = replace(patience, delay=0.0)
            await self._administration.close()  # whether it is ready is the other process's to say
        await drain(self._gateway, self._listeners, self._connections, patience)
        self._gateway.access.flush()
        if (audit := self._trail[1]) is not None:
            audit.flush()
        self.log.info("proxy.stopped")

    def _reading(self) -> Reading:
        audit = self._trail[1]
        return read(
            self._gateway.generation,
            self._around.clock.wall(),
            connections=len(self._connections),
            lines_dropped=getattr(self._around.sink, "dropped", 0),  # not every sink loses lines
            audit_dropped=0 if audit is None else audit.dropped,
        )

    def _on_token_event(self, event: str, **facts: object) -> None:
        self.metrics.on_token_event(event, **facts)
        if self._traces is not None:
            self._traces.on_token_event(event, **facts)
        getattr(self.log, LEVELS[event])(event, **facts)

    def _on_certificate_event(self, event: str, **facts: object) -> None:
        write = self.log.info if event == "certificate.reloaded" else self.log.warning
        write(event, **facts)

    def _unexpected(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in STARVED:
            self._crowd.starve()  # the loop itself tries again a second later
            return
        self.log.error("internal.error", message=context.get("message"), exc_info=error)

"""
The composition root: checked settings in, a serving proxy out.

Only here (and in the sandbox) are the real clock, chance and sockets named.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import itertools
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.admin.guard import Guard
from proxy.admin.reading import read
from proxy.admin.server import Admin
from proxy.admin.switch import Switch
from proxy.audited import AuditedGateway, open_audit
from proxy.config.network import TcpAddress, UnixAddress
from proxy.core.clock import Clock
from proxy.errors import ConfigError, CredentialInvalid
from proxy.gateway import Gateway
from proxy.generation import caller_limits, compile_generation
from proxy.keeping import open_keeper
from proxy.observe.access import AccessLog, ConsoleAccessLog
from proxy.observe.crowd import Crowd
from proxy.observe.events import LEVELS
from proxy.observe.exposition import Exposition
from proxy.observe.log import make_logger
from proxy.observe.metrics import Metrics
from proxy.problem import Problem
from proxy.sockets import BATCH, CutOff, clear_socket, naming, remove_socket, widen
from proxy.tasks import spawn
from proxy.tls.listener import SHUTDOWN_TIME, ListenerCertificates
from proxy.tls.watch import look_forever
from proxy.tokens.revocation import Revocations
from proxy.vouching import open_registry
from proxy.wire.downstream import Downstream
from proxy.wire.wheel import Round

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from structlog.typing import FilteringBoundLogger

    from proxy.callers.registry import Registry
    from proxy.config.load import Loaded
    from proxy.config.model import Listener
    from proxy.generation import Generation
    from proxy.observe.audit import AuditLog
    from proxy.observe.reading import Reading
    from proxy.observe.sink import LineSink
    from proxy.tokens.keeper import Keeper
    from proxy.wire.limits import Limits
    from proxy.wire.wheel import Swept

FAREWELLS = 16
"""Connections beyond the limit that are told so at a time; those beyond them are closed without a word,
so that a flood of them takes no file descriptor from the requests being served."""

FEW = 1000
"""Callers' connections below which it is worth saying that the system allows no more."""

GRACE = 30.0
"""Seconds requests in flight are given to end after a stop was asked for."""

LAST_WORDS = 1.0
"""Seconds for the close frames of tunnels that outlasted the grace to reach their ends."""

STARVED = frozenset((errno.EMFILE, errno.ENFILE))
"""What accept(2) says when no file descriptor is left, to the process or to the system."""


def real_clock() -> Clock:
    """
    Return the machine's clock; boot time counts through a suspend where the system can.
    """
    wall = time.time  # noqa: TID251 - the real clock is named here
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it
    return Clock(
        wall, time.monotonic if boottime is None else partial(time.clock_gettime, boottime)
    )


def request_ids() -> Callable[[], str]:
    """
    Return a source of request ids: a random prefix per process, then a counter.
    """
    prefix = secrets.token_hex(6)
    count = itertools.count(1)
    return lambda: f"{prefix}-{next(count):08x}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a runtime is given instead of reaching for it.

    Attributes:
        sink: Where log lines go.
        environ: The environment secrets may come from.
        console: A person reads the log.
        clock: What time it is.
        grace: Seconds for requests in flight once a stop was asked for.
        connections: Callers' connections there are file descriptors for, where that may be fewer
            than the settings ask for; 0 if there are enough.
    """

    sink: LineSink
    environ: Mapping[str, str]
    console: bool = False
    clock: Clock = field(default_factory=real_clock)
    grace: float = GRACE
    connections: int = 0


class Runtime:
    """
    A serving proxy. Use as `async with Runtime(loaded, surroundings) as runtime:`.

    Attributes:
        log: Events.
        metrics: What is counted.
        addresses: Where it listens, as written in proxy.yaml but with real ports.
        certificates: Those of its listeners that speak TLS.
        admin: The admin listener's address; empty if off.
    """

    def __init__(self, loaded: Loaded, around: Surroundings) -> None:
        self._loaded = loaded
        self._around = around
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[Downstream] = set()
        self._draining = False
        self._flush: Callable[[], None] = lambda: None
        self._audit: AuditLog | None = None
        self._revocations = Revocations()
        self.log: FilteringBoundLogger = make_logger(
            around.sink, around.clock.wall, console=around.console
        )
        self.metrics = Metrics()
        self.addresses: list[str] = []
        self.certificates: list[ListenerCertificates] = []
        self.admin = ""

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

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        around, loaded = self._around, self._loaded
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        make_access = ConsoleAccessLog if around.console else AccessLog
        access = make_access(around.sink, around.clock.wall, loop)
        self._flush = access.flush
        self._audit = stack.enter_context(
            open_audit(
                loaded, around.environ, around.sink, around.clock.wall, loop, console=around.console
            )
        )
        keeper = await stack.enter_async_context(
            open_keeper(
                loaded,
                around.environ,
                around.clock,
                self._on_token_event,
                revocations=self._revocations,
            )
        )
        callers = await stack.enter_async_context(
            open_registry(loaded, around.environ, around.clock, self._on_token_event)
        )
        generation = self._compile(keeper, callers)
        for pool in generation.pools:
            stack.callback(pool.close)
        limits = self._limits()
        self._crowd = Crowd(self.log, self._connections, limits.connections)
        self._gateway = gateway = self._open_gateway(generation, access, limits)
        stack.push_async_callback(gateway.close)
        for index, listener in enumerate(loaded.settings.listen):
            await self._listen(index, listener, stack)
        if loaded.settings.admin is not None:
            await self._open_admin(loaded.settings.admin, stack)
        gateway.wheel.enter(Round(self._swept), 0.0)
        stack.callback(spawn(self._tasks, gateway.wheel.turn_forever(), name="wheel").cancel)
        if self.certificates:
            looker = look_forever(lambda: self.certificates, around.clock.wall)
            stack.callback(spawn(self._tasks, looker, name="certificates").cancel)
        gc.collect()
        gc.freeze()  # what start-up made stays; the collector need not look at it again
        self._say_started(limits)

    def reopen_files(self) -> None:
        """
        Open the files that are written to anew: somebody may have renamed them.
        """
        if self._audit is not None:
            self._audit.reopen()

    def _open_gateway(self, generation: Generation, access: AccessLog, limits: Limits) -> Gateway:
        make = Gateway if self._audit is None else AuditedGateway
        gateway = make(generation, access, self.log, limits, self._around.clock.boot, request_ids())
        if self._audit is not None and isinstance(gateway, AuditedGateway):
            gateway.record(self._audit, self.addresses)
        return gateway

    async def _open_admin(
        self, address: TcpAddress | UnixAddress, stack: contextlib.AsyncExitStack
    ) -> None:
        settings = self._loaded.settings
        keys = tuple(bytes.fromhex(digest) for digest in settings.admin_key_sha256 or ())

        def generation() -> Generation:
            return self._gateway.generation

        admin = Admin(
            generation,
            lambda: self._draining,
            Exposition(self.metrics, self._reading).text,
            switch=Switch(generation, self._connections, self._on_token_event),
            guard=Guard(keys, local=address.loopback),
        )
        stack.push_async_callback(admin.stop)
        with naming(("admin",), address, self._loaded):
            if isinstance(address, UnixAddress):
                clear_socket(address.path)
            await admin.start(address)
        self.admin = admin.address

    def _limits(self) -> Limits:
        """
        Return what callers may use up, as set, but for connections without a file descriptor.
        """
        limits = caller_limits(self._loaded.settings)
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

    def _compile(self, keeper: Keeper, callers: Registry) -> Generation:
        via = f"Via: 1.1 authproxy-{secrets.token_hex(4)}\r\n".encode()
        try:
            return compile_generation(
                self._loaded.settings,
                self._loaded.base,
                keeper,
                via=via,
                callers=callers,
                metrics=self.metrics,
                now=self._around.clock.boot,
            )
        except OSError as error:  # ssl.SSLError too: a CA file that cannot be used
            what = f"a certificate file cannot be used: {error.strerror or type(error).__name__}"
            problem = Problem("routes", what, file=self._loaded.origin)
            raise ConfigError([problem]) from error

    async def _listen(
        self, index: int, listener: Listener, stack: contextlib.AsyncExitStack
    ) -> None:
        loop = asyncio.get_running_loop()
        address = listener.address
        factory = partial(self._accept, index)
        tls = self._tls(index, listener)
        with naming(("listen", index), address, self._loaded):
            if isinstance(address, UnixAddress):
                clear_socket(address.path)
                server = await loop.create_unix_server(
                    factory, str(address.path), backlog=BATCH, **tls
                )
                address.path.chmod(0o660)
                stack.callback(remove_socket, address.path, address.path.stat().st_ino)
                self.addresses.append(str(address))
            else:
                server = await loop.create_server(
                    factory, address.host, address.port, backlog=BATCH, **tls
                )
                port = server.sockets[0].getsockname()[1]
                self.addresses.append(str(TcpAddress(address.host, port)))
        widen(server)
        self._servers.append(server)
        stack.callback(server.close)

    def _tls(self, index: int, listener: Listener) -> dict[str, Any]:
        """
        Return how a server is told to speak TLS; nothing for plain HTTP.
        """
        if listener.tls is None:
            return {}
        try:
            certificates = ListenerCertificates(
                listener.tls, self._loaded.base, str(listener.address), self._on_certificate_event
            )
        except CredentialInvalid as error:
            problem = Problem(f"listen[{index}].tls", error.reason, file=self._loaded.origin)
            raise ConfigError([problem]) from error
        self.certificates.append(certificates)
        return {
            "ssl": certificates.door,
            "ssl_handshake_timeout": self._gateway.limits.head_time,
            "ssl_shutdown_timeout": SHUTDOWN_TIME,
        }

    def _accept(self, index: int) -> asyncio.Protocol:
        """
        Return the protocol of a connection that listener *index* has accepted.
        """
        if len(self._connections) >= self._gateway.limits.connections + FAREWELLS:
            return CutOff()
        return Downstream(self._gateway, index, self._connections)

    async def _drain(self) -> None:
        """
        Accept nothing new, let what is in flight end within the grace, then close.
        """
        self._draining = self._gateway.draining = True
        for server in self._servers:
            server.close()
        for caller in tuple(self._connections):
            caller.drain()
        await self._callers_gone(self._around.grace)
        for caller in tuple(self._connections):
            caller.give_up()
        await self._callers_gone(LAST_WORDS)
        for caller in tuple(self._connections):
            if caller.transport is not None:
                caller.transport.abort()
        self._flush()
        if self._audit is not None:
            self._audit.flush()
        self.log.info("proxy.stopped")

    async def _callers_gone(self, most: float) -> None:
        """
        Wait until no caller is connected, for so many seconds at most.
        """
        deadline = self._around.clock.boot() + most
        while self._connections and self._around.clock.boot() < deadline:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.02)

    def _swept(self) -> Iterable[Swept]:
        pools = self._gateway.generation.pools
        return (*pools, self._crowd)

    def _reading(self) -> Reading:
        return read(
            self._gateway.generation,
            self._around.clock.wall(),
            connections=len(self._connections),
            lines_dropped=getattr(self._around.sink, "dropped", 0),  # not every sink loses lines
            audit_dropped=0 if self._audit is None else self._audit.dropped,
        )

    def _on_token_event(self, event: str, **facts: object) -> None:
        self.metrics.on_token_event(event, **facts)
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

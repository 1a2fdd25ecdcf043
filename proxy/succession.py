"""
Generations, one after the other.

Theory of operation
-------------------
`prepare` makes everything a configuration needs; whatever is wrong shows there, and what serves
goes on as if nothing had been. `succeed` swaps one reference: requests that have begun keep the
generation they began with, all others get the new one. The old one is retired: its keeper rests, its
connections close as they become idle. When no request of it is left (`sweep` looks, twice a second)
it is closed, with those of its pools that no other generation has: several may be retired at a time,
and a pool may be older than all of them.

What does not depend on the configuration outlives all of them: tokens and what is known of issuers
(`keeping.Lasting`, `vouching.Asking`), what has been counted, and what was used of limits.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from proxy.core.rate import Rates
from proxy.errors import ConfigError, TokenError
from proxy.generation import compile_generation
from proxy.keeping import Lasting, open_issuers, open_keeper
from proxy.problem import Problem
from proxy.tasks import spawn
from proxy.tokens.revocation import Revocations
from proxy.vouching import open_asking, open_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import TracebackType
    from typing import Protocol, Self

    from proxy.callers.registry import Registry
    from proxy.config.load import Loaded
    from proxy.core.clock import Clock
    from proxy.generation import Generation
    from proxy.observe.metrics import Metrics
    from proxy.tokens.keeper import Keeper
    from proxy.vouching import Asking
    from proxy.wire.downstream import Downstream
    from proxy.wire.pool import Pool

    class Serving(Protocol):
        """
        What requests are served by (see `house.House`).
        """

        generation: Generation

    class Begun(Protocol):
        """
        A request that has begun (see `gateway.Request`).
        """

        generation: Generation


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """
    A generation with what must be closed after it.

    Attributes:
        generation: It.
        stack: Closes its keeper and its verifiers.
    """

    generation: Generation
    stack: AsyncExitStack


class Succession:
    """
    The generations of a process. Use as `async with succession:`.

    Args:
        environ: The environment secrets may come from.
        clock: What time it is.
        metrics: Where requests are counted.
        on_event: Told of what happens to tokens, credentials and issuers.
        callers: Every open connection.
        revoked: The service users that are revoked from the start.
    """

    _asking: Asking
    _lasting: Lasting

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Clock,
        metrics: Metrics,
        on_event: Callable[..., None],
        callers: Collection[Downstream],
        revoked: Iterable[str] = (),
    ) -> None:
        self._revocations = Revocations(revoked)
        self._environ = environ
        self._clock = clock
        self._metrics = metrics
        self._on_event = on_event
        self._callers = callers
        self._rates = Rates(metrics.rate_limited)
        self._via = f"Via: 1.1 authproxy-{secrets.token_hex(4)}\r\n".encode()
        self._term: Term | None = None
        self._retired: list[Term] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        issuers = await enter(open_issuers(self._clock, self._on_event))
        self._lasting = Lasting(issuers, revocations=self._revocations)
        self._asking = await enter(open_asking(self._clock, self._on_event))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in tuple(self._tasks):
            with suppress(Exception):
                await task
        terms = (*self._retired, *(() if self._term is None else (self._term,)))
        for pool in _pools(terms):
            pool.close()
        for term in terms:
            await term.stack.aclose()
        await self._stack.aclose()

    @property
    def retired(self) -> int:
        """
        How many generations still have requests.
        """
        return len(self._retired)

    def revoked(self) -> tuple[str, ...]:
        """
        Return the service users that an operator has revoked.
        """
        return tuple(self._revocations)

    async def prepare(self, loaded: Loaded, numbers: Mapping[int, int | None]) -> Term:
        """
        Make a generation of a configuration. The one that serves rests its keeper meanwhile.

        Args:
            loaded: The configuration.
            numbers: The place of listeners' settings in the file, as `Plan.numbers`.

        Raises:
            ConfigError: Something of it cannot be read or used.
        """
        environ, clock, on_event = self._environ, self._clock, self._on_event
        before = None if self._term is None else self._term.generation
        stack = AsyncExitStack()
        try:
            callers = await stack.enter_async_context(
                open_registry(loaded, environ, clock, on_event, lasting=self._asking)
            )
            keeper = await stack.enter_async_context(
                open_keeper(
                    loaded,
                    environ,
                    clock,
                    on_event,
                    lasting=self._lasting,
                    before=None if before is None else before.keeper,
                )
            )
            return Term(self._compile(loaded, keeper, callers, numbers), stack)
        except BaseException:
            await self._abandon(stack)
            raise

    async def discard(self, term: Term) -> None:
        """
        Close a generation that was prepared, and is not to serve after all.
        """
        standing = () if self._term is None else self._term.generation.pools
        for pool in term.generation.pools:
            if pool not in standing:
                pool.close()
        await self._abandon(term.stack)

    async def warm(self, term: Term, patience: float) -> tuple[str, ...]:
        """
        Wait until a prepared generation's service users have tokens, or there are none to be had.

        Args:
            term: What was prepared.
            patience: Seconds to wait at most.

        Returns:
            Those without.
        """
        keeper = term.generation.keeper
        cold = [state.name for state in keeper.states() if _cold(state)]
        tasks = [spawn(self._tasks, _mint(keeper, name), name="warm") for name in cold]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
            for task in tasks:
                task.cancel()
        return tuple(state.name for state in keeper.states() if _cold(state))

    def succeed(self, term: Term, house: Serving) -> None:
        """
        Serve new requests by a prepared generation.
        """
        new, before = term.generation, self._term
        house.generation = new
        self._term = term
        self._retain(new)
        if before is not None:
            self._lasting.issuers.line.trust_anew()
            self._asking.issuers.line.trust_anew()
            before.generation.retire(new)
            self._retired.append(before)
            self._forget()

    def sweep(self, now: float) -> None:
        """
        See to the connections to upstreams, and close the generations without requests.
        """
        if self._term is None:
            return
        for pool in _pools((self._term, *self._retired)):
            pool.sweep(now)
        if not self._retired:
            return
        begun = {id(each.generation) for caller in self._callers for each in _begun(caller)}
        over = [term for term in self._retired if id(term.generation) not in begun]
        if over:
            self._retired = [term for term in self._retired if term not in over]
            _ = spawn(self._tasks, self._end(over), name="retire")

    async def _end(self, over: list[Term]) -> None:
        """
        Close generations that serve nobody any more, and let go of them.
        """
        assert self._term is not None
        others = _pools((self._term, *self._retired))
        for pool in _pools(over):
            if pool not in others:
                pool.close()
        for term in over:
            await term.stack.aclose()
        self._forget()  # who was busy when they were retired may remember them still
        over.clear()
        gc.collect()  # some milliseconds: what was there before the first one is frozen

    def _forget(self) -> None:
        for caller in self._callers:
            caller.forget()

    async def _abandon(self, stack: AsyncExitStack) -> None:
        await stack.aclose()
        if self._term is not None:
            standing = self._term.generation
            standing.keeper.at_rest = False
            self._retain(standing)

    def _retain(self, generation: Generation) -> None:
        """
        Forget what was counted for others than this one.
        """
        self._metrics.retain(route.action.metrics for route in generation.table.routes)
        self._rates.retain(generation.gate)

    def _compile(
        self, loaded: Loaded, keeper: Keeper, callers: Registry, numbers: Mapping[int, int | None]
    ) -> Generation:
        try:
            return compile_generation(
                loaded.settings,
                loaded.base,
                keeper,
                via=self._via,
                callers=callers,
                metrics=self._metrics,
                rates=self._rates,
                now=self._clock.boot,
                numbers=numbers,
                before=None if self._term is None else self._term.generation,
            )
        except OSError as error:  # ssl.SSLError too: a CA file that cannot be used
            what = f"a certificate file cannot be used: {error.strerror or type(error).__name__}"
            problem = Problem("routes", what, file=loaded.origin)
            raise ConfigError([problem]) from error


def _cold(state: Any) -> bool:
    return state.required and state.condition in ("cold", "failing")


async def _mint(keeper: Keeper, name: str) -> None:
    with suppress(TokenError):  # the keeper has said why
        await keeper.get(name)


def _begun(caller: Downstream) -> tuple[Begun, ...]:
    current = () if caller.exchange is None else (caller.exchange,)
    return cast("tuple[Begun, ...]", (*current, *caller.queue))


def _pools(terms: Iterable[Term]) -> tuple[Pool, ...]:
    return tuple(dict.fromkeys(pool for term in terms for pool in term.generation.pools))

"""
A usable token per service user, before anybody waits for it.

Theory of operation
-------------------
1. A token at hand wins: `Slot.token`, read by the data path without a call (`tokens.slot`).
2. Otherwise there is one flight per service user, and all who want the token wait for it. The
   flight belongs to the keeper: whoever leaves cancels nothing (`tokens.flight`).
3. A flight looks into the store first, then asks the issuer (`tokens.supply`). Its outcome, token
   or failure, reaches all who wait. What a failure means for those who come later is the backoff's
   to say, and only its (`tokens.backoff`).
4. Renewal starts at a jittered 75 to 85 % of a token's life. While it fails the old token goes on
   being served to its true end. A token nobody wanted is not renewed; its user stays ready.
5. A token that an upstream refused is taken away only if it is still the one at hand, so a burst
   of refusals causes one mint.
6. A personal access token is at hand from the start and is never minted.

`tick` does what is due and says when to come back; the loop around it is `_watch`. Tests call
`tick` by hand and drive the clock.

State: the slots (changed here and, for `used`, by the data path) and the flights.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.errors import CredentialInvalid, MintRejected, TokenError
from proxy.tasks import spawn
from proxy.tokens.backoff import again
from proxy.tokens.flight import Flights
from proxy.tokens.slot import EXPIRED, REFUSED, REFUSED_AGAIN, Slot
from proxy.tokens.supply import Supply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from proxy.core.clock import Clock
    from proxy.core.grant import ServiceUser
    from proxy.core.token import Token
    from proxy.tokens.slot import UserState
    from proxy.tokens.store import Store
    from proxy.tokens.supply import Mints, OnEvent

# Ours, in seconds. The longest bounds how late a renewal can be after the machine slept.
LONGEST_PAUSE = 5.0
SHORTEST_PAUSE = 0.01

# Ours, in seconds: two mints' worth of deadline, and time to retry.
START_BOUND = 30.0


class Keeper:
    """
    Keeps the tokens of one generation's service users. Use as `async with keeper:`.

    Args:
        users: The service users.
        mint: Gets a new token for one (`tokens.mint.Mint`).
        store: Where tokens outlive this keeper.
        clock: Boot time for deadlines, wall time for stated expiries.
        chance: Returns a number from 0 up to 1, another one each time.
        on_event: Told of `token.minted`, `token.mint_failed`, `token.renewal_failed`,
            `token.dropped` and `token.refused`.
        start_bound: Seconds after which readiness no longer waits for first tokens.
    """

    def __init__(  # noqa: PLR0913 - its whole surroundings, written in one place, by keyword
        self,
        users: Iterable[ServiceUser],
        mint: Mints,
        store: Store,
        *,
        clock: Clock,
        chance: Callable[[], float],
        on_event: OnEvent,
        start_bound: float = START_BOUND,
    ) -> None:
        self._slots = {user.name: Slot(user) for user in users}
        self._supply = Supply(mint, store, clock, chance, on_event)
        self._clock = clock
        self._bound = clock.boot() + start_bound
        self._flights: Flights[Token | TokenError] = Flights()
        self._tasks: set[asyncio.Task[Any]] = set()  # the watch
        self._woken = asyncio.Event()
        for slot in self._slots.values():
            slot.load(clock)

    async def __aenter__(self) -> Self:
        for slot in self._slots.values():
            await self._supply.adopt(slot)
        _ = spawn(self._tasks, self._watch(), name="keeper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._flights.close()

    def slot(self, name: str) -> Slot:
        """
        Return the slot of the service user *name*, for the data path to hold on to.
        """
        return self._slots[name]

    async def get(self, name: str) -> Token:
        """
        Return a usable token: the one at hand, or the one that all who ask now get.

        Raises:
            TokenError: There is none to be had.
        """
        slot = self._slots[name]
        slot.used = True
        token = slot.token
        if token is not None and token.usable(self._clock.boot()):
            return token
        return await self._landed(slot)

    async def renew(self, name: str, refused: Token) -> Token:
        """
        Return a token after an upstream answered *refused* with 401.

        The answer is *refused* itself (compare fingerprints) if another token would not help: a
        personal access token, or one that replaced a refused token moments ago. Then the 401 is
        the caller's to see.

        Raises:
            TokenError: There is none to be had.
        """
        slot = self._slots[name]
        token = slot.token
        if token is None or token.fingerprint != refused.fingerprint:
            return await self.get(name)
        slot.used = True
        if token.kind == "static":
            if slot.doubt(CredentialInvalid(REFUSED)):
                self._supply.tell("token.refused", slot, reason=REFUSED)
            return token
        if not slot.backoff.may_replace(self._clock.boot()):
            if slot.doubt(MintRejected(REFUSED_AGAIN)):
                self._supply.tell("token.refused", slot, reason=REFUSED_AGAIN)
            return token
        slot.empty(refused=True)
        self._supply.tell("token.dropped", slot, reason="refused", fingerprint=token.fingerprint)
        return await self._landed(slot)

    def tick(self) -> float:
        """
        Start what is due; return when something will be (boot-clock seconds, or infinity).
        """
        now = self._clock.boot()
        upcoming = math.inf
        for name, slot in self._slots.items():
            self._clear(slot, now)
            if name in self._flights:
                continue
            if slot.due > now:
                upcoming = min(upcoming, slot.due)
            elif slot.wanted():
                self._flights.start(name, partial(self._fly, slot))
            elif slot.token is not None:
                # Nobody wanted it so far; the data path, which may yet, wakes nobody
                upcoming = min(upcoming, now + (slot.token.serve_until - now) / 4)
        return upcoming

    def ready(self) -> bool:
        """
        Say whether each required user has (or does not need) a token, or the bound has passed.
        """
        now = self._clock.boot()
        required = (slot for slot in self._slots.values() if slot.user.required)
        return now >= self._bound or all(slot.ready(now) for slot in required)

    def state(self, name: str) -> UserState:
        """
        Return what there is to tell of the service user *name*.
        """
        return self._slots[name].state(self._clock.boot())

    def states(self) -> tuple[UserState, ...]:
        """
        Return what there is to tell of all service users, in the configuration's order.
        """
        now = self._clock.boot()
        return tuple(slot.state(now) for slot in self._slots.values())

    def __repr__(self) -> str:
        return f"<Keeper of {len(self._slots)} service users>"

    async def _watch(self) -> None:
        while True:
            self._woken.clear()
            pause = self.tick() - self._clock.boot()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)):
                    await self._woken.wait()

    async def _landed(self, slot: Slot) -> Token:
        """
        Wait for the slot's flight, unless it is known that there is no point in one.
        """
        if slot.static:
            raise again(slot.backoff.error or CredentialInvalid(EXPIRED))
        standing = slot.backoff.standing(self._clock.boot())
        if standing is not None:
            raise standing
        outcome = await self._flights.join(slot.user.name, partial(self._fly, slot))
        if isinstance(outcome, TokenError):
            raise again(outcome)
        slot.used = True
        return outcome

    async def _fly(self, slot: Slot) -> Token | TokenError:
        try:
            return await self._supply.bring(slot)
        finally:
            self._woken.set()  # the slot's next moment has changed

    def _clear(self, slot: Slot, now: float) -> None:
        """
        Take away a token that has ended.
        """
        token = slot.token
        if token is not None and not token.usable(now):
            slot.empty()
            self._supply.tell(
                "token.dropped", slot, reason="expired", fingerprint=token.fingerprint
            )

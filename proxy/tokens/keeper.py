"""
A usable token per service user, before anybody waits for it.

Theory of operation
-------------------
1. A token at hand wins: `Slot.token`, read by the data path without a call (`tokens.slot`).
2. Otherwise there is one flight per service user, and all who want the token wait for it. The
   flight belongs to the keeper: whoever leaves cancels nothing (`tokens.flight`).
3. A flight looks into the store first, then asks the issuer (`tokens.supply`). Its outcome, token
   or failure, reaches all who wait. What a failure means for those who come later is the backoff's
   and the breaker's to say, and only theirs (`tokens.backoff`, `tokens.breaker`).
4. Renewal starts at a jittered 75 to 85 % of a token's life. While it fails the old token goes on
   being served to its true end. A token nobody wanted is not renewed; its user stays ready.
5. A token that an upstream refused is `tokens.refusals`' business.
6. A personal access token is at hand from the start and is never minted.
7. While an issuer is left alone the keeper knocks at its door; once it is well again, all that had
   failed is due at once (`tokens.vigil`).
8. Whom an operator has revoked has no token and gets none (`tokens.revocation`).
9. A token's end is told by the boot clock, which counts through a sleep. Should the wall clock
   leap ahead of it, there may have been a pause that no clock counted (a machine that was frozen),
   so tokens are taken to be that much older; the old reckoning is kept in reserve.

10. A new configuration has a keeper of its own, which takes over what is the same
   (`tokens.inheritance`). The old one rests then: it does nothing by itself any more, but still
   serves the requests it began.

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

from proxy.core.credential import SystemKey
from proxy.errors import CredentialInvalid, TokenError
from proxy.tasks import spawn
from proxy.tokens.backoff import again
from proxy.tokens.flight import Flights
from proxy.tokens.inheritance import inherit, relate
from proxy.tokens.leap import Leaps
from proxy.tokens.refusals import Refusals
from proxy.tokens.revocation import REVOKED, Revoking
from proxy.tokens.slot import EXPIRED, Slot
from proxy.tokens.supply import Supply
from proxy.tokens.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from proxy.core.credential import Issuer, ServiceUser
    from proxy.core.secret import Secret
    from proxy.core.token import Token
    from proxy.tokens.means import Means
    from proxy.tokens.revocation import Revocations
    from proxy.tokens.state import UserState

# Ours, in seconds. The longest bounds how late a leap of the clock is noticed, and how late a
# renewal can be after the machine slept.
LONGEST_PAUSE = 1.0
SHORTEST_PAUSE = 0.01

# Ours, in seconds: two mints' worth of deadline, and time to retry.
START_BOUND = 30.0

# Ours, in seconds: a caller waits that long for the next attempt rather than being turned away.
PATIENCE = 1.0


class Keeper:
    """
    Keeps the tokens of one generation's service users. Use as `async with keeper:`.

    Args:
        users: The service users.
        means: Its surroundings.
        start_bound: Seconds until `bound`.
        revocations: The service users that are revoked, whatever the generation.
        before: The keeper of the configuration before; None for the first one.

    Attributes:
        at_rest: It is to do nothing by itself, for another keeper has taken over; may be set.
        bound: Boot-clock seconds when readiness no longer waits for first tokens.
    """

    def __init__(
        self,
        users: Iterable[ServiceUser],
        means: Means,
        *,
        start_bound: float = START_BOUND,
        revocations: Revocations | None = None,
        before: Keeper | None = None,
    ) -> None:
        self._slots = {user.name: Slot(user) for user in users}
        relate(self._slots)
        older = {each.name: before.slot(each.name) for each in before.users()} if before else {}
        heirs = inherit(self._slots, older)
        self._revoking = Revoking(self._slots, means, revocations)
        self._means = means = self._revoking.means
        self._clock = clock = means.clock
        self._supply = Supply(means, self, self._recovered)
        self._refusals = Refusals(means, self._supply, self)
        self.bound: float = before.bound if before else clock.boot() + start_bound
        self._leaps = Leaps(means, self._slots)
        self._flights: Flights[Any] = Flights()
        self._tasks: set[asyncio.Task[Any]] = set()  # the watch
        self._woken = asyncio.Event()
        self._vigil = Vigil(means, self._slots, self._flights, self._supply.hurry, self._woken.set)
        self.at_rest = False
        for name, slot in self._slots.items():
            if name not in heirs:
                slot.load(clock)
            elif slot.user.credentials != older[name].user.credentials:
                self.rotate(slot.user)

    async def __aenter__(self) -> Self:
        for slot in self._slots.values():
            if not slot.revoked:
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
        await self._refusals.close()

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
        return await self.landed(slot)

    async def renew(self, name: str, refused: Token) -> Token | None:
        """
        Return a token to try once more with, after an upstream answered *refused* with 401.

        It may be *refused* itself, if that is so young that not all of its issuer knew it. None
        if another try would not help: then the 401 is the caller's to see.

        Raises:
            TokenError: There is none to be had.
        """
        slot = self._slots[name]
        token = slot.token
        if token is None or token.fingerprint != refused.fingerprint:
            return await self.get(name)
        slot.used = True
        answer = await self._refusals.answer(slot, token)
        if slot.revoked:
            raise CredentialInvalid(REVOKED)
        return answer

    async def replaced(self, name: str, refused: Secret) -> bool:
        """
        Say whether *name* has another token than *refused*, which an issuer would not exchange; see
        to it if there is none yet.
        """
        token = self._slots[name].token
        if token is None or token.value != refused:
            return token is not None
        try:
            other = await self.renew(name, token)
        except TokenError:
            return False
        return other is not None and other.value != refused

    def rotate(self, user: ServiceUser) -> None:
        """
        Take over a service user's new credentials.

        A token at hand lives on unless the user says otherwise, and is renewed at once, so that a
        credential that does not work is found out while there is time.
        """
        slot = self._slots[user.name]
        minted_by = slot.minted_by
        slot.take(user)
        if slot.static:
            slot.load(self._clock)
        else:
            slot.due = self._clock.boot()
            slot.used = slot.used or user.required  # so that it is tried although nobody asks
            if user.on_rotation == "drop" and minted_by and minted_by not in user.credentials:
                token = slot.token
                slot.empty(refused=True)
                self._means.tell_dropped(slot.user, "rotated", token)
        self._woken.set()

    def tick(self) -> float:
        """
        Start what is due; return when something will be (boot-clock seconds, or infinity).
        """
        if self.at_rest:
            return math.inf
        now = self._clock.boot()
        self._leaps.notice()
        upcoming = self._vigil.knock(now)
        for name, slot in self._slots.items():
            self._clear(slot, now)
            if slot.revoked or name in self._flights:
                continue
            if slot.due > now:
                upcoming = min(upcoming, slot.due)
            elif slot.dead is not None:
                self._flights.start(name, partial(self._refusals.revive, slot))
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
        return now >= self.bound or all(slot.revoked or slot.ready(now) for slot in required)

    async def revoke(self, name: str) -> None:
        """
        Drop the service user's tokens now, in all generations and the store; get none until `allow`.
        """
        await self._revoking.revoke(name)

    def allow(self, name: str) -> None:
        """
        Undo `revoke`, and mint at once.
        """
        slot = self._slots[name]
        revoked = slot.revoked
        self._revoking.allow(name)
        if revoked and not slot.static:
            self._flights.start(name, partial(self._fly, slot))
        self._woken.set()

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

    def resting(self) -> dict[str, bool]:
        """
        Say of each issuer, by name, whether it is left alone for a while.
        """
        return self._vigil.resting()

    def users(self) -> tuple[ServiceUser, ...]:
        """
        Return the service users with the credentials they have now.
        """
        return tuple(slot.user for slot in self._slots.values())

    def __repr__(self) -> str:
        return f"<Keeper of {len(self._slots)} service users>"

    async def landed(self, slot: Slot) -> Token:
        """
        Wait for the slot's flight, unless it is known that there is no point in one.

        Raises:
            TokenError: There is no token to be had.
        """
        if slot.revoked:
            raise CredentialInvalid(REVOKED)
        now = self._clock.boot()
        self._clear(slot, now)
        at_hand = slot.token
        if at_hand is not None:  # another personal access token
            return at_hand
        if slot.static:
            raise again(slot.backoff.error or CredentialInvalid(EXPIRED))
        error = await self._turned_away(slot)
        now = self._clock.boot()
        if slot.token is not None and slot.usable(now):
            return slot.token
        if error is None:
            return await self._joined(slot)
        if (reserve := slot.fall_back(now)) is not None:
            return reserve
        raise error

    async def _turned_away(self, slot: Slot) -> TokenError | None:
        """
        Return what to say to whoever asks for a token; None if one may be asked for. If the next
        attempt is near, wait for it first.
        """
        standing = self._vigil.standing(slot)
        if standing is not None:
            wait = standing.retry_after or 0.0
            if slot.reserve is not None or slot.backoff.final or wait > PATIENCE:
                return standing
            await self._means.sleep(wait)
            standing = self._vigil.standing(slot)
        return standing or self._unheard(slot)

    async def _joined(self, slot: Slot) -> Token:
        outcome = await self._flights.join(slot.user.name, partial(self._fly, slot))
        if slot.revoked:  # a moment after the flight had landed
            raise CredentialInvalid(REVOKED)
        if isinstance(outcome, TokenError):
            raise again(outcome)
        token: Token = outcome
        slot.used = True
        return token

    def _unheard(self, slot: Slot) -> TokenError | None:
        """
        While an issuer does not answer at all, start the trial that is due but let nobody wait for
        it: it may take its whole deadline. Return what to say instead; None if it answers.
        """
        breaker = self._means.breaker(slot.user.issuer)
        if not breaker.silent or isinstance(slot.credential, SystemKey):
            return None
        self._flights.start(slot.user.name, partial(self._fly, slot))
        return breaker.refusal(self._clock.boot())

    def _recovered(self, issuer: Issuer) -> None:
        self._vigil.recovered(issuer)

    async def _watch(self) -> None:
        while True:
            self._woken.clear()
            pause = self.tick() - self._clock.boot()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)):
                    await self._woken.wait()

    async def _fly(self, slot: Slot) -> Token | TokenError:
        try:
            while not slot.revoked:
                before = slot.revocations
                outcome = await self._supply.bring(slot)
                if slot.revocations == before:
                    return outcome
                # Revoked meanwhile: what was asked for before that is not used, nor found again
                if slot.token is not None and slot.token is outcome:
                    slot.empty(refused=True)
                await self._revoking.clear_store(slot)
            return CredentialInvalid(REVOKED)
        finally:
            self._woken.set()  # the slot's next moment has changed

    def _clear(self, slot: Slot, now: float) -> None:
        """
        Take away a token that has ended.
        """
        token = slot.token
        if token is None or token.usable(now):
            return
        if slot.stale or slot.user.name in self._flights:
            whole = token.to_its_end()
            if whole.usable(now):
                slot.token = whole  # at worst an upstream says no; without it nobody is served
                return
        slot.empty()
        slot.backoff.forgive()  # it could afford to wait for long; whoever asks now cannot
        slot.load(self._clock)
        if slot.token is None or slot.token.fingerprint != token.fingerprint:
            self._means.tell_dropped(slot.user, "expired", token)

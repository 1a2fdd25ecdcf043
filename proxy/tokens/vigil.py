"""
Watches over the issuers that are left alone, and sees to it that all is tried at once when they
are well again.

State: the flights of the knocks, which are the keeper's; what came of them is the breakers'.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.core.credential import SystemKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.core.credential import Issuer
    from proxy.errors import TokenError
    from proxy.tokens.flight import Flights
    from proxy.tokens.means import Means
    from proxy.tokens.slot import Slot


class Vigil:
    """
    One keeper's watch over the issuers of its service users.

    Args:
        means: The keeper's surroundings.
        slots: Its service users' slots.
        flights: What the keeper has under way.
        hurry: Begins a trial anew that hangs at an issuer.
        wake: Makes the keeper tick.
    """

    def __init__(
        self,
        means: Means,
        slots: Mapping[str, Slot],
        flights: Flights[Any],
        hurry: Callable[[Issuer], None],
        wake: Callable[[], None],
    ) -> None:
        self._means = means
        self._slots = slots
        self._issuers = {slot.user.issuer.place: slot.user.issuer for slot in slots.values()}
        self._flights = flights
        self._hurry = hurry
        self._wake = wake

    def knock(self, now: float) -> float:
        """
        Knock where it is time to; return when it will be next (infinite for never).
        """
        upcoming = math.inf
        for place, issuer in self._issuers.items():
            at = self._means.breaker(issuer).knock_at()
            if at > now:
                upcoming = min(upcoming, at)
            elif place not in self._flights:
                self._flights.start(place, partial(self._knocked, issuer))
        return upcoming

    def recovered(self, issuer: Issuer) -> None:
        """
        Note that an issuer which was left alone is well again.
        """
        self._means.on_event("issuer.recovered", issuer=issuer.name)
        self._retry_now(issuer)
        self._wake()

    def standing(self, slot: Slot) -> TokenError | None:
        """
        Return the error of whoever asks for a slot's token now; None if one may be asked for.
        """
        now = self._means.clock.boot()
        standing = slot.backoff.standing(now)
        breaker = self._means.breaker(slot.user.issuer)
        if isinstance(slot.credential, SystemKey):  # signed here
            return standing
        if not breaker.open or slot.backoff.final:
            return standing or breaker.standing(now)
        return breaker.standing(now) or (None if standing is None else breaker.refusal(now))

    def resting(self) -> dict[str, bool]:
        """
        Say of each issuer, by name, whether it is left alone for a while.
        """
        return {issuer.name: self._means.breaker(issuer).open for issuer in self._issuers.values()}

    async def _knocked(self, issuer: Issuer) -> None:
        well = await self._means.knock(issuer)
        if self._means.breaker(issuer).knocked(self._means.clock.boot(), well=well):
            self._hurry(issuer)
            self._retry_now(issuer)
        self._wake()

    def _retry_now(self, issuer: Issuer) -> None:
        for slot in self._slots.values():
            if slot.user.issuer.place == issuer.place and not slot.static:
                slot.backoff.forgive()
                if slot.stale or slot.token is None:
                    slot.due = max(slot.backoff.retry_at, self._means.clock.boot())

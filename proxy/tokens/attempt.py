"""
One try, or a few, at getting a token with the credential in use.

Whether an issuer may be asked at all is its breaker's to say, and what it answers is noted there:
trouble it has with everybody, or that it is well. Each attempt is told of, each failed one with
likely causes if the credential may be why.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from proxy.core.credential import Exchange, SystemKey
from proxy.errors import (
    CredentialInvalid,
    MintRejected,
    MintTimeout,
    MintUnavailable,
    TokenError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.credential import Issuer, Party, ServiceUser
    from proxy.core.secret import Secret
    from proxy.core.token import Minted, Token
    from proxy.tokens.means import Means
    from proxy.tokens.slot import Slot

# Ours: attempts for callers who wait, and the longest pause before the second, in seconds; the
# one before the third is up to twice as long.
TRIES = 3
FIRST_PAUSE = 0.25


class Parties(Protocol):
    """
    The other service users, whose tokens are exchanged.
    """

    async def get(self, name: str, /) -> Token:
        """
        Return a usable token.
        """

    async def replaced(self, name: str, refused: Secret, /) -> bool:
        """
        Say whether there is another token than the one an issuer has refused; see to it.
        """


class Attempts:
    """
    Asks issuers. Its one state is what trials are under way; the rest is in slots and breakers.

    Args:
        means: The keeper's surroundings.
        parties: Where the tokens of other service users come from, for an exchange.
        recovered: Told that an issuer's breaker has closed.
    """

    def __init__(
        self,
        means: Means,
        parties: Parties,
        recovered: Callable[[Issuer], None],
    ) -> None:
        self._means = means
        self._parties = parties
        self._recovered = recovered
        self._trials: dict[object, asyncio.Timeout] = {}

    def hurry(self, issuer: Issuer) -> None:
        """
        Begin a trial anew that hangs: *issuer* has just come back, and will not answer what it was
        asked before.
        """
        trial = self._trials.get(issuer.place)
        if trial is not None and not trial.expired():
            trial.reschedule(0.0)

    async def patiently(self, slot: Slot, acting: ServiceUser) -> Token:
        """
        Ask for a token; again after a passing failure, if somebody waits for it and this is not
        known trouble already.

        Args:
            slot: Whose; its count of mints and failures is kept here.
            acting: The service user with the one credential to ask with.

        Raises:
            TokenError: The last failure.
        """
        waited_for = not slot.usable(self._means.clock.boot()) and not slot.backoff.failures
        pauses = [FIRST_PAUSE * 2**n for n in range(TRIES - 1)] if waited_for else []
        while True:
            try:
                return await self._once(slot, acting)
            except MintUnavailable as error:
                held_back = self._means.breaker(acting.issuer).open
                if not pauses or held_back or error.retry_after is not None:
                    raise
            await self._means.sleep(self._means.chance() * pauses.pop(0))

    async def _once(self, slot: Slot, acting: ServiceUser, *, again: bool = False) -> Token:
        """
        Ask the issuer, unless its breaker says no; an exchange *again* if it was refused and one of
        its parties has another token by then.
        """
        user = await self._with_parties(acting)
        if isinstance(user.credential, SystemKey):  # signed here: the issuer is not asked
            return self._minted(slot, await self._means.mint(user), self._means.clock.boot())
        breaker = self._means.breaker(user.issuer)
        began = self._means.clock.boot()
        standing = breaker.standing(began)
        if standing is not None:
            raise standing
        trial = breaker.begin(began)
        try:
            token = self._minted(slot, await self._asked(user), began)
        except TokenError as error:
            self._failed(slot, user, error, began, trial=trial)
            if again or not isinstance(error, MintRejected) or not await self._renewed(user):
                raise
            return await self._once(slot, acting, again=True)
        except BaseException:
            breaker.ended(trial=trial)
            slot.failures += 1
            raise
        if breaker.succeeded():
            self._recovered(user.issuer)
        return token

    async def _asked(self, user: ServiceUser) -> Minted:
        """
        Ask once; a trial is begun anew if its issuer comes back meanwhile.
        """
        if not self._means.breaker(user.issuer).open:
            return await self._means.mint(user)
        place = user.issuer.place
        try:
            async with asyncio.timeout(None) as self._trials[place]:
                return await self._means.mint(user)
        except TimeoutError:
            return await self._means.mint(user)
        finally:
            self._trials.pop(place, None)

    def _minted(self, slot: Slot, minted: Minted, began: float) -> Token:
        now = self._means.clock.boot()
        token = minted.token
        if not token.usable(now):
            raise MintUnavailable("the token had ended before it arrived; is the issuer slow?")
        slot.mints += 1
        self._means.tell(
            "token.minted",
            slot.user,
            seconds=now - began,
            lifetime=token.lifetime,
            renewal=slot.usable(now),
            fingerprint=token.fingerprint,
            note=minted.note,
        )
        return token

    def _failed(
        self, slot: Slot, user: ServiceUser, error: TokenError, began: float, *, trial: bool
    ) -> None:
        """
        Note an attempt that failed: in the breaker, in the slot's count, in the log.
        """
        now = self._means.clock.boot()
        slot.failures += 1
        self._means.tell(
            "token.renewal_failed" if slot.usable(now) else "token.mint_failed",
            slot.user,
            code=error.code,
            reason=error.reason,
            in_a_row=slot.backoff.failures + 1,
            seconds=now - began,
            likely=self._means.advise(user) if about_the_credential(error) else (),
        )
        breaker = self._means.breaker(slot.user.issuer)
        if error.shared:
            if breaker.failed(error, now, self._means.chance(), trial=trial):
                self._means.tell("issuer.left_alone", slot.user, reason=error.reason)
        elif isinstance(error, MintRejected):
            if breaker.succeeded():  # a no in proper form: the issuer is well
                self._recovered(slot.user.issuer)
        else:
            breaker.ended(trial=trial)

    async def _with_parties(self, user: ServiceUser) -> ServiceUser:
        """
        Return the service user with the tokens it exchanges.
        """
        exchange = user.credential
        if not isinstance(exchange, Exchange):
            return user
        subject = await self._party(exchange.subject)
        actor = None if exchange.actor is None else await self._party(exchange.actor)
        return user.acting_with(replace(exchange, subject=subject, actor=actor))

    async def _renewed(self, user: ServiceUser) -> bool:
        """
        Have the tokens that *user* exchanged in vain replaced; say whether one was.
        """
        exchange = user.credential
        if not isinstance(exchange, Exchange):
            return False
        found = False
        for party in (exchange.subject, exchange.actor):
            if party is not None and party.service_user is not None and party.token is not None:
                found |= await self._parties.replaced(party.service_user, party.token)
        return found

    async def _party(self, party: Party) -> Party:
        if party.service_user is None:
            return party
        try:
            token = await self._parties.get(party.service_user)
        except TokenError as error:
            reason = f"no token of {party.service_user} to exchange: {error.reason}"
            # Not this user's refusal, whatever it is of the party's: no spare of its own would help
            raise MintUnavailable(reason, retry_after=error.retry_after) from None
        return replace(party, token=token.value)


def about_the_credential(error: TokenError) -> bool:
    """
    Say whether another credential of the same service user might fare better.
    """
    if isinstance(error, MintTimeout):
        return False
    return isinstance(error, (MintRejected, CredentialInvalid)) or error.doubtful

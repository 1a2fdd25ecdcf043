"""
Brings a new token to a slot: from the store, else from the issuer.

Another generation of the configuration (later: another process) may have minted for the same
identity, so the store is asked first; one that fails is done without.

If the issuer says no to the credential itself, its files are read anew, since a secret may have
been rotated a moment ago; then the user's next credential is tried, each once. The one that works
stays in use.

What a failure means for the next who asks is the slot's backoff's to say. A failure is a value
here, so that each who waits raises a copy of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import MintHeldBack, MintUnavailable, TokenError
from proxy.tokens.attempt import Attempts, about_the_credential
from proxy.tokens.backoff import again

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.credential import Credential, Issuer, ServiceUser
    from proxy.core.token import Token
    from proxy.tokens.attempt import Parties
    from proxy.tokens.means import Means
    from proxy.tokens.slot import Slot


class Supply:
    """
    Where new tokens come from. Holds no state: that is in slots, breakers and the store.

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
        self._attempts = Attempts(means, parties, recovered)

    def hurry(self, issuer: Issuer) -> None:
        """
        Begin a trial anew that hangs: *issuer* has just come back.
        """
        self._attempts.hurry(issuer)

    async def adopt(self, slot: Slot) -> None:
        """
        Put a token from the store at hand, if there is one and none is at hand.
        """
        if slot.token is None and (token := await self._held(slot)) is not None:
            slot.fill(token, self._means.chance())

    async def bring(self, slot: Slot) -> Token | TokenError:
        """
        Put a new token at hand and return it; return the failure if there is none to be had.
        """
        if slot.refused is not None:
            await self._forget(slot, slot.refused)
        token, credential = await self._held(slot), slot.credential
        if token is None:
            try:
                token, credential = await self._minted(slot)
            except TokenError as exc:
                return self._without(slot, exc)
            except Exception as exc:  # a bug: it must neither end the renewal nor make it spin
                _ = self._without(slot, MintUnavailable(f"a bug: {type(exc).__name__}"))
                raise
        slot.fill(token, self._means.chance(), minted_by=credential)
        if credential not in slot.user.credentials:  # rotated while it was asked for
            slot.due = self._means.clock.boot()
        return token

    async def _minted(self, slot: Slot) -> tuple[Token, Credential]:
        """
        Mint with the credential in use, else with one that is accepted; return it as well.

        A rotation may come in between: what the old credential got is kept unless the user says
        otherwise, and what was said of the old one does not hold for the new.
        """
        tried: list[Credential] = []
        while True:
            acting = slot.acting
            tried.append(acting.credential)
            try:
                token = await self._attempts.patiently(slot, acting)
            except TokenError as error:
                if not about_the_credential(error):
                    raise
                if slot.credential in tried and not await self._another(slot, tried, error):
                    raise
            else:
                if slot.credential in tried or slot.user.on_rotation == "keep":
                    await self._keep(slot, acting, token)
                    return token, acting.credential

    async def _another(self, slot: Slot, tried: list[Credential], error: TokenError) -> bool:
        """
        Put another credential in use that has not been tried; say whether there was one.
        """
        fresh = await self._means.reread(slot.user.name)
        if fresh is not None:
            slot.take(fresh)
        if slot.credential not in tried:  # just read, or rotated meanwhile
            return True
        credentials = slot.user.credentials
        left = [at for at, credential in enumerate(credentials) if credential not in tried]
        if not left:
            slot.at = 0
            return False
        self.switch(slot, left[0], error.reason)
        return True

    def switch(self, slot: Slot, at: int, reason: str) -> None:
        """
        Put the credential numbered *at* (from 0) in use, because the one before was refused.
        """
        before, slot.at = slot.at, at
        self._means.tell(
            "credential.switched",
            slot.user,
            refused=before + 1,
            used=at + 1,
            of=len(slot.user.credentials),
            reason=reason,
        )

    def _without(self, slot: Slot, error: TokenError) -> Token | TokenError:
        """
        Note that a flight brought nothing; return what there is instead.
        """
        now = self._means.clock.boot()
        if isinstance(error, MintHeldBack):
            slot.backoff.error = slot.backoff.error or again(error)
            slot.due = now + (error.retry_after or 0.0)
        else:
            slot.backoff.failed(error, now, self._means.chance(), urgent=not slot.usable(now))
            slot.due = slot.backoff.retry_at
        instead = slot.fall_back(now)
        slot.stale = slot.usable(now)
        return error if instead is None else instead

    async def _held(self, slot: Slot) -> Token | None:
        """
        Return a token from the store that lives longer than the one at hand.
        """
        try:
            held = await self._means.store.get(slot.place(slot.acting))
        except OSError as exc:
            self._store_failed(slot.user, exc)
            return None
        if held is None or not held.usable(self._means.clock.boot()):
            return None
        known = (slot.token, slot.reserve, slot.refused)
        if any(each is not None and each.fingerprint == held.fingerprint for each in known):
            return None
        at_hand = slot.token
        return held if at_hand is None or held.serve_until > at_hand.serve_until else None

    async def _keep(self, slot: Slot, user: ServiceUser, token: Token) -> None:
        try:
            await self._means.store.put(slot.place(user), token)
        except OSError as exc:
            self._store_failed(user, exc)

    async def _forget(self, slot: Slot, token: Token) -> None:
        try:
            await self._means.store.drop(slot.place(slot.acting), token)
        except OSError as exc:
            self._store_failed(slot.user, exc)

    def _store_failed(self, user: ServiceUser, error: OSError) -> None:
        self._means.tell("store.failed", user, reason=error.strerror or type(error).__name__)

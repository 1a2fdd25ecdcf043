"""
Brings a new token to a slot: from the store, else from the issuer.

Another generation of the configuration (later: another process) may have minted for the same
identity, so the store is asked first. What a failure leaves behind is noted in the slot's backoff.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from proxy.core.grant import identity
from proxy.errors import MintUnavailable, TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.core.clock import Clock
    from proxy.core.grant import ServiceUser
    from proxy.core.token import Minted, Token
    from proxy.tokens.slot import Slot
    from proxy.tokens.store import Store

    Mints: TypeAlias = Callable[[ServiceUser], Awaitable[Minted]]


class OnEvent(Protocol):
    """
    Takes an event's name (`token.minted`, …) and its facts; never a secret.
    """

    def __call__(self, name: str, /, **facts: Any) -> None:
        """
        Take one event.
        """


class Supply:
    """
    Where new tokens come from. Holds no state: that is in the slot and in the store.

    Args:
        mint: Gets a new token for a service user (`tokens.mint.Mint`).
        store: Where tokens outlive a generation.
        clock: The boot clock decides what is usable.
        chance: Returns a number from 0 up to 1, another one each time.
        on_event: Told of `token.minted`, `token.mint_failed` and `token.renewal_failed`.
    """

    def __init__(
        self,
        mint: Mints,
        store: Store,
        clock: Clock,
        chance: Callable[[], float],
        on_event: OnEvent,
    ) -> None:
        self._mint = mint
        self._store = store
        self._clock = clock
        self._chance = chance
        self._on_event = on_event

    async def adopt(self, slot: Slot) -> None:
        """
        Put a token from the store at hand, if there is one and none is at hand.
        """
        if slot.token is None and (token := await self._held(slot)) is not None:
            slot.fill(token, self._chance())

    async def bring(self, slot: Slot) -> Token | TokenError:
        """
        Put a new token at hand and return it; return the failure if there is none to be had.

        A failure is a value here, so that each who waits raises a copy of its own.
        """
        user = slot.user
        if slot.refused is not None:
            await self._store.drop(identity(user), slot.refused)
        token = await self._held(slot)
        if token is None:
            began = self._clock.boot()
            try:
                token = await self._minted(slot, user)
            except TokenError as exc:
                self._failed(slot, exc, began)
                return exc
            except Exception as exc:  # a bug: it must neither end the renewal nor make it spin
                self._failed(slot, MintUnavailable(f"a bug: {type(exc).__name__}"), began)
                raise
            await self._store.put(identity(user), token)
        slot.fill(token, self._chance())
        return token

    def tell(self, event: str, slot: Slot, **facts: Any) -> None:
        """
        Report an event of this slot's service user.
        """
        user = slot.user
        self._on_event(
            event, service_user=user.name, issuer=user.issuer.name, method=user.method, **facts
        )

    async def _minted(self, slot: Slot, user: ServiceUser) -> Token:
        began = self._clock.boot()
        minted = await self._mint(user)
        now = self._clock.boot()
        token = minted.token
        if not token.usable(now):
            raise MintUnavailable("the token had ended before it arrived; is the issuer slow?")
        slot.mints += 1
        self.tell(
            "token.minted",
            slot,
            seconds=now - began,
            lifetime=token.lifetime,
            renewal=slot.usable(now),
            fingerprint=token.fingerprint,
            note=minted.note,
        )
        return token

    async def _held(self, slot: Slot) -> Token | None:
        """
        Return a token from the store that lives longer than the one at hand.
        """
        held = await self._store.get(identity(slot.user))
        if held is None or not held.usable(self._clock.boot()):
            return None
        at_hand = slot.token
        return held if at_hand is None or held.serve_until > at_hand.serve_until else None

    def _failed(self, slot: Slot, error: TokenError, began: float) -> None:
        now = self._clock.boot()
        slot.failures += 1
        slot.backoff.failed(error, now, self._chance())
        slot.due = slot.backoff.retry_at
        slot.stale = slot.usable(now)
        self.tell(
            "token.renewal_failed" if slot.stale else "token.mint_failed",
            slot,
            code=error.code,
            reason=error.reason,
            in_a_row=slot.backoff.failures,
            seconds=now - began,
            retry_in=slot.due - now,
        )

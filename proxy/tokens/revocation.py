"""
The service users an operator has revoked.

Theory of operation
-------------------
`Revocations` outlives every keeper, so that a new configuration does not quietly hand a revoked
service user its tokens back. Each keeper has a `Revoking`, through which the slots of older
generations, which may still serve requests, are reached too. It is held weakly: whoever lets go of
a keeper need not tell.

What was got by exchanging a revoked user's token is dropped with it, and not got anew.

A revoked slot takes no token (`tokens.slot`). A mint that was under way when the user was revoked is
let go on, for nothing else can be done about it, but what it brings is used by nobody (`Keeper._fly`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from proxy.core.credential import Exchange
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.core.credential import ServiceUser
    from proxy.core.token import Minted
    from proxy.tokens.means import Means, Mints
    from proxy.tokens.slot import Slot

REVOKED = "revoked by an operator"
"""What requests and mints are refused with."""


class Revocations:
    """
    Names of revoked service users. Changed by `revoke` and `allow` only.

    Args:
        names: Those that are from the start.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = set(names)
        self._parts: WeakSet[Revoking] = WeakSet()

    def join(self, part: Revoking) -> None:
        """
        Tell a keeper's part of every change from now on.
        """
        self._parts.add(part)

    def revoke(self, name: str) -> None:
        """
        Revoke a service user, everywhere at once; again if it is revoked already.
        """
        self._names.add(name)
        for part in tuple(self._parts):
            part.take_away(name)

    def allow(self, name: str) -> None:
        """
        Undo it.
        """
        self._names.discard(name)
        for part in tuple(self._parts):
            part.give_back(name)

    def guarded(self, mint: Mints) -> Mints:
        """
        Return a mint that refuses revoked service users: a flight may have waited before it asks.
        """
        return partial(self._guarded, mint)

    async def _guarded(self, mint: Mints, user: ServiceUser) -> Minted:
        if user.name in self._names:
            raise CredentialInvalid(REVOKED)
        if isinstance(user.credential, Exchange) and self._names.intersection(
            user.credential.parties
        ):
            raise CredentialInvalid(f"{REVOKED}: whose token is exchanged")
        return await mint(user)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __repr__(self) -> str:
        return f"<Revocations of {len(self._names)} service users>"


class Revoking:
    """
    One keeper's part in it.

    Args:
        slots: The keeper's, by service user.
        means: The keeper's surroundings.
        revocations: Who is revoked, whatever the generation.

    Attributes:
        means: The same surroundings, but that mints of revoked service users are refused.
    """

    def __init__(
        self, slots: Mapping[str, Slot], means: Means, revocations: Revocations | None
    ) -> None:
        self._slots = slots
        self._all = Revocations() if revocations is None else revocations
        self.means = replace(means, mint=self._all.guarded(means.mint))
        for name, slot in slots.items():
            if name in self._all:
                slot.revoke()
        self._all.join(self)

    async def revoke(self, name: str) -> None:
        """
        Drop the service user's tokens, wherever they lie in this process and in the store.
        """
        slot = self._slots[name]
        token = slot.token
        self._all.revoke(name)
        if token is not None:
            self.means.tell_dropped(slot.user, "revoked", token)
        for each in (slot, *self._derived(name)):
            await self.clear_store(each)

    def allow(self, name: str) -> None:
        """
        Undo it: a personal access token is at hand again, any other is due.
        """
        self._all.allow(name)

    def take_away(self, name: str) -> None:
        """
        Take away what this keeper has.
        """
        if (slot := self._slots.get(name)) is not None:
            slot.revoke()
        for each in self._derived(name):
            each.disown()

    def _derived(self, name: str) -> tuple[Slot, ...]:
        """
        Return the slots of all whose tokens are got by exchanging *name*'s, directly or not.
        """
        found: dict[str, Slot] = {}
        sources = [name]
        while sources:
            source = sources.pop()
            for other, slot in self._slots.items():
                credential = slot.user.credential
                if other in found or not isinstance(credential, Exchange):
                    continue
                if source in credential.parties:
                    found[other] = slot
                    sources.append(other)
        return tuple(found.values())

    def give_back(self, name: str) -> None:
        """
        Let this keeper have tokens again.
        """
        if (slot := self._slots.get(name)) is not None and slot.revoked:
            slot.allow(self.means.clock)

    async def clear_store(self, slot: Slot) -> None:
        """
        Drop what the store has of a service user, got with whichever of its credentials.
        """
        for credential in slot.user.credentials:
            place = slot.place(slot.user.acting_with(credential))
            try:
                if (token := await self.means.store.get(place)) is not None:
                    await self.means.store.drop(place, token)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                self.means.tell("store.failed", slot.user, reason=reason)

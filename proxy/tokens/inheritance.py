"""
What the service users of a new configuration take over from those of the one before.

A token at hand, a failure that is waited out, a personal access token known to be dead: none of it
changes because a file was read again. It is taken over where it is still the same account that
asks the same issuer for the same: name, issuer, method, who it is there, what it asks for; and for
an exchange, whose tokens are exchanged. Credentials may be others: then it is a rotation.

The store outlives configurations as well. There an exchange says by name only whose tokens it
exchanges; who that is belongs to the place of its own, so that nobody finds what was got for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.credential import Exchange, account, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.tokens.slot import Slot


def inherit(slots: Mapping[str, Slot], before: Mapping[str, Slot]) -> frozenset[str]:
    """
    Let *slots* take over what they can; return the names of those that did.

    Args:
        slots: Those of the new configuration, by service user; `relate` has seen them.
        before: Those of the one before.
    """
    heirs = {name for name, slot in slots.items() if name in before and _same(slot, before[name])}
    for name in heirs:
        slots[name].inherit(before[name])
    return frozenset(heirs)


def relate(slots: Mapping[str, Slot]) -> None:
    """
    Note on each slot whose tokens its own are got for, over all exchanges.
    """
    for slot in slots.values():
        parties: dict[str, None] = {}
        open_ones = sorted(_parties(slot))
        while open_ones:
            party = open_ones.pop(0)
            if party not in parties and party in slots:
                parties[party] = None
                open_ones += sorted(_parties(slots[party]))
        slot.kin = tuple(text for party in parties for text in standing(slots[party].user))


def _same(slot: Slot, before: Slot) -> bool:
    return account(slot.user) == account(before.user) and slot.kin == before.kin


def _parties(slot: Slot) -> set[str]:
    credential = slot.user.credential
    return set(credential.parties) if isinstance(credential, Exchange) else set()

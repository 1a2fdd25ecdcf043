"""
An issuer's word on a credential that a caller shows: from memory at once, or asked for.

The registry holds one verifier per way to ask. What it says are the credential's claims: what the
registry compares with what proxy.yaml wants of a caller. That the issuer, the audience where the
verifier is bound to one, the times and the signature are right is the verifier's own business.

`exp`, if it is among the claims, is in seconds since the epoch: what follows from them is not
believed for longer. A verifier that wants its word believed for less says an earlier one.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


class Unasked(Enum):
    """
    Nobody has been asked yet.
    """

    PENDING = "pending"


PENDING: Final = Unasked.PENDING
"""It is not known yet: somebody must be asked first."""

Pending: TypeAlias = Literal[Unasked.PENDING]


class Verifier(Protocol):
    """
    Says what a credential claims, if it is valid.
    """

    def look(self, credential: bytes) -> Mapping[str, object] | Pending | None:
        """
        Return what is known at once, without waiting: the claims; None if it is not valid; PENDING if
        somebody must be asked.

        Args:
            credential: As the caller showed it, without a scheme; of any bytes.
        """
        ...

    async def ask(self, credential: bytes) -> Mapping[str, object] | None:
        """
        Return the claims, or None if the credential is not valid, asking whoever knows.

        Raises:
            CallerCheckUnavailable: Nobody who knows could be asked.
        """
        ...

"""
What there is to tell of a service user, to people and to monitors; no secret in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from proxy.core.credential import Method

Condition = Literal["ready", "stale", "idle", "cold", "failing", "refused", "revoked"]


@dataclass(frozen=True, slots=True)
class UserState:
    """
    How one service user fares.

    Attributes:
        name: The service user.
        issuer: Its issuer's name.
        method: Its method.
        required: Whether the proxy's readiness waits for it.
        condition: `ready` has a token · `stale` has one, but renewing it fails · `idle` needs
            none, the last one ended unused · `cold` was never asked for · `failing` has none ·
            `refused` has a token that an upstream answered with 401 and that is not replaced ·
            `revoked` gets none until an operator allows it again.
        fingerprint: Of the token at hand; empty without one.
        age: Seconds since that token was asked for; None without one.
        expires_in: Seconds it may still be handed out; None without one or without an end.
        renews_in: Seconds until the next background attempt, negative if overdue; None if none
            is planned.
        last_error: The reason of the last failure since the last success; empty if none.
        mints: Tokens minted.
        failures: Attempts to mint that failed, in all.
        credential: Which of its credentials is in use, from 1.
        credentials: How many it has.
    """

    name: str
    issuer: str
    method: Method
    required: bool
    condition: Condition
    fingerprint: str
    age: float | None
    expires_in: float | None
    renews_in: float | None
    last_error: str
    mints: int
    failures: int
    credential: int = 1
    credentials: int = 1

"""
Whether claims are meant for this proxy, and for how long they hold.

This file knows no clock. Source: RFC 7519 §4.1, RFC 8725 §3.8, §3.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Ours, in seconds: RFC 7519 §4.1.4 allows "some small leeway, usually no more than a few minutes".
LEEWAY: Final = 30.0
MAX_LEEWAY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What claims must keep to.

    Attributes:
        issuer: `iss`, byte for byte.
        audiences: One of these `aud` must be or contain; None to leave that to others.
        signed: They are a JWT's: `iss` and `exp` must be there, and `iat` is judged. Otherwise they
            are an issuer's answer, which may leave out each of them (RFC 7662 §2.2).
        leeway: Seconds by which clocks may differ, at most `MAX_LEEWAY`.
    """

    issuer: str
    audiences: frozenset[str] | None
    signed: bool = True
    leeway: float = LEEWAY

    def life(self, claims: Mapping[str, object], now: float) -> float | None:
        """
        Return the seconds until the claims expire, negative within the leeway, infinite if they do
        not say; None if they do not keep to the terms.

        Args:
            claims: Of any content.
            now: Seconds since the epoch.
        """
        if not self._meant(claims):
            return None
        expiry = _moment(claims, "exp", None if self.signed else math.inf)
        begin = _moment(claims, "nbf", -math.inf)
        made = _moment(claims, "iat", -math.inf) if self.signed else -math.inf
        if expiry is None or begin is None or made is None:
            return None
        if now >= expiry + self.leeway or max(begin, made) > now + self.leeway:
            return None
        return expiry - now

    def _meant(self, claims: Mapping[str, object]) -> bool:
        if claims.get("iss", None if self.signed else self.issuer) != self.issuer:
            return False
        if self.audiences is None:
            return True
        named = claims.get("aud")
        listed = named if isinstance(named, list) else [named]
        return any(isinstance(each, str) and each in self.audiences for each in listed)


def _moment(claims: Mapping[str, object], name: str, absent: float | None) -> float | None:
    """
    Return a NumericDate (RFC 7519 §2); None if it is something else.
    """
    if name not in claims:
        return absent
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        moment = float(value)
    except OverflowError:
        return None
    return moment if math.isfinite(moment) else None

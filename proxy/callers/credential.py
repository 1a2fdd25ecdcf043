"""
Callers known by what they show: a key, or a token somebody vouches for.

Only the SHA-256 of a key is known here. Every known digest is compared, whatever matched before, so
the time taken says nothing about which keys exist.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.callers.verifier import Pending, Verifier

LONGEST_CREDENTIAL: Final = 8192
"""Bytes of a key or token worth hashing."""


@dataclass(frozen=True, slots=True)
class Keys:
    """
    The keys of callers.

    Attributes:
        digests: SHA-256 digest of each key → the caller's name.
    """

    digests: Mapping[bytes, str] = field(default_factory=dict)

    def owner(self, credential: bytes) -> str | None:
        """
        Return whose key this is; None if nobody's.
        """
        if not credential or len(credential) > LONGEST_CREDENTIAL:
            return None
        digest = sha256(credential).digest()
        found = None
        for known, name in self.digests.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


@dataclass(frozen=True, slots=True)
class Likeness:
    """
    What the claims of a token must hold for it to be a caller's.

    Attributes:
        caller: The caller's name.
        audience: What `aud` must hold; None for whatever it holds.
        claims: Names and values; a list must hold the value, an object have it as a name.
        scopes: What `scope` must list.
    """

    caller: str
    audience: str | None = None
    claims: tuple[tuple[str, str], ...] = ()
    scopes: frozenset[str] = frozenset()

    def met_by(self, claims: Mapping[str, object]) -> bool:
        """
        Say whether a token with these claims is this caller's.
        """
        if self.audience is not None and not holds(claims.get("aud"), self.audience):
            return False
        if not all(holds(claims.get(name), value) for name, value in self.claims):
            return False
        scope = claims.get("scope")
        return self.scopes <= set(scope.split(" ") if isinstance(scope, str) else ())

    @property
    def weight(self) -> int:
        """
        How much is asked for: of several callers it could be, it is the one with the most.
        """
        return len(self.claims) + len(self.scopes)


@dataclass(frozen=True, slots=True)
class Vouched:
    """
    The callers known by the tokens of one issuer, in one way to verify them.

    Attributes:
        verifier: Says what a token claims.
        callers: What is asked of the claims per caller, the most first.
    """

    verifier: Verifier
    callers: tuple[Likeness, ...]

    def look(self, credential: bytes) -> Mapping[str, object] | Pending | None:
        """
        Return the token's claims as far as they are known at once.
        """
        if not may_be_token(credential):
            return None
        return self.verifier.look(credential)

    def owners(self, claims: Mapping[str, object]) -> tuple[str, ...]:
        """
        Return the callers whose a token with these claims may be, the likeliest first.
        """
        return tuple(each.caller for each in self.callers if each.met_by(claims))


def may_be_token(credential: bytes) -> bool:
    """
    Say whether this can be a token at all: RFC 6750 §2.1 `b64token`, of a length somebody verifies.
    """
    if not credential or len(credential) > LONGEST_CREDENTIAL:
        return False
    return credential.rstrip(b"=").translate(None, b"-._~+/").isalnum()


def holds(claim: object, value: str) -> bool:
    """
    Say whether a claim has this value: as text, number or truth value; in a list; or as a name in
    an object, which is how ZITADEL writes the roles of a user.
    """
    if isinstance(claim, str):
        return claim == value
    if isinstance(claim, bool):
        return value == ("true" if claim else "false")
    if isinstance(claim, int):
        return str(claim) == value
    if isinstance(claim, (list, tuple)):
        return any(
            not isinstance(item, (list, tuple, dict)) and holds(item, value) for item in claim
        )
    return isinstance(claim, dict) and value in claim

"""
A JWT as it was shown, and a public key that says whether it signed it.

This file knows no clock and no issuer. What a token says of how to check it is believed only as
far as it can do no harm (RFC 8725 §3.1, §3.10): the algorithm is one of a short list and has to go
with the key, and keys in the header or behind its urls (`jwk`, `jku`, `x5c`, `x5u`) are not looked
at. joserfc verifies; the reading is ours, because two readings of one token (a repeated name,
another spelling of the same base64) are how checks are talked around.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from proxy.core.answer import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

# Ours, in bytes: a ZITADEL token with many roles has 3 KiB, and head and token share a limit.
MAX_TOKEN: Final = 8192
MAX_HEADER: Final = 2048

# RFC 7515 §7.1: a compact serialisation. Three parts, none empty: an unsigned token has no third.
_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# RFC 7518 §3.1, RFC 8037 §3.1: what may sign, by the kind of key. Nothing symmetric, ever.
ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "PS256"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "Ed25519": ("EdDSA",),
}
_KNOWN: Final = frozenset(name for names in ALGORITHMS.values() for name in names)

# RFC 7519 §5.1, RFC 9068 §2.1; RFC 7515 §4.1.9 lets the prefix be left out. Another type of token
# (an id token's logout sibling, a DPoP proof) is not meant to be shown as a credential.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey


@dataclass(frozen=True, slots=True, repr=False)
class Jwt:
    """
    A token, read and not yet believed. It has no repr: it is a credential.

    Attributes:
        algorithm: One of `ALGORITHMS`.
        key_id: The `kid`; None if there is none.
        claims: What it says.
        signed: The bytes the signature is about.
        signature: The signature.
    """

    algorithm: str
    key_id: str | None
    claims: dict[str, object]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """
    A public key of an issuer.

    Attributes:
        key_id: What the issuer calls it; None if it has no name.
        algorithms: What it may have signed with.
        fingerprint: RFC 7638 thumbprint.
        key: The key, loaded once.
    """

    key_id: str | None
    algorithms: tuple[str, ...]
    fingerprint: str
    key: PublicKey = field(repr=False, compare=False)

    def signed(self, token: Jwt) -> bool:
        """
        Say whether this key signed *token*.
        """
        if token.algorithm not in self.algorithms:
            return False
        # Not by the registry's `get_alg`, which warns of each EdDSA token
        algorithm = JWSRegistry.algorithms[token.algorithm]
        try:
            return algorithm.verify(token.signed, token.signature, self.key)
        except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
            return False


def read_jwt(token: bytes) -> Jwt | None:
    """
    Read a compact JWT; None if it is none, or one that is refused whoever signed it.

    Args:
        token: Any bytes.
    """
    parts = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if parts is None:
        return None
    try:
        head, claims, signature = map(decoded, parts.groups())
        if len(head) > MAX_HEADER:
            return None
        header = read_object(head)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not _readable(header) or algorithm not in _KNOWN:
            return None
        signed = token[: parts.end(2)]
        return Jwt(algorithm, key_id, read_object(claims), signed, signature)
    except (ValueError, TypeError):  # TypeError: an `alg` that is a list or an object
        return None


def _readable(header: Mapping[str, object]) -> bool:
    """
    Say whether nothing in the header stands against reading the token as any JWT.

    RFC 7515 §4.1.11: extensions that must be understood (`crit`) are not.
    """
    if "crit" in header or not isinstance(header.get("kid"), (str, type(None))):
        return False
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower() in _TYPES


def decoded(part: bytes) -> bytes:
    """
    Return the content of base64url.

    Raises:
        ValueError: It is not spelled in the one canonical way.
    """
    data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part:
        raise ValueError("not canonical")
    return data

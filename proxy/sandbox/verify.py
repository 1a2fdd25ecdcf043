"""
Whether a signed assertion holds: the checks ZITADEL makes, in its order.

Source: zitadel/oidc pkg/op/verifier_jwt_profile.go and pkg/oidc/verifier.go (aud, exp, iat, sub,
signature).
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PublicKey: TypeAlias = RSAKey | ECKey

# Source: ZITADEL internal/api/oidc/token_jwt_profile.go: NewJWTProfileVerifier(…, 1h, 1s).
MAX_AGE = 3_600.0
OFFSET = 1.0

# The library also allows ES256, but stored machine keys are RSA only.
ALGORITHMS = ("RS256", "PS256")

# What an issuer that is not ZITADEL takes for a client's assertion.
CLIENT_ALGORITHMS = (*ALGORITHMS, "ES256")

# Ours: no honest assertion is longer, in characters.
MAX_ASSERTION = 65_536


class AssertionRefusedError(Exception):
    """
    An assertion does not hold; the message says why, which ZITADEL does not.
    """


@dataclass(frozen=True, slots=True)
class Assertion:
    """
    An assertion's content, before anything is checked.
    """

    header: dict[str, object] = field(default_factory=dict)
    claims: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What an assertion must keep to.

    Attributes:
        audiences: `aud` must contain one of these, byte for byte.
        now: Seconds since the epoch.
        key_of: Finds the public key for a `kid` (empty if there is none) and an `iss`.
        algorithms: What `alg` may be.
        self_issued: Whether `iss` and `sub` must be the same.
    """

    audiences: tuple[str, ...]
    now: float
    key_of: Callable[[str, str], PublicKey | None]
    algorithms: tuple[str, ...] = ALGORITHMS
    self_issued: bool = True


def read_assertion(text: str) -> Assertion:
    """
    Return an assertion's header and claims, unverified.

    Raises:
        AssertionRefusedError: It is not a compact JWS with JSON objects in it.
    """
    parts = text.split(".")
    if len(parts) != 3 or len(text) > MAX_ASSERTION:
        raise AssertionRefusedError("not a JWT")
    try:
        header, claims = (json.loads(_base64url(part)) for part in parts[:2])
    except (ValueError, RecursionError) as exc:
        raise AssertionRefusedError("not a JWT") from exc
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise AssertionRefusedError("not a JWT")
    return Assertion(header, claims)


def verify_assertion(text: str, terms: Terms) -> Assertion:
    """
    Check an assertion and return its content.

    Raises:
        AssertionRefusedError: Something is wrong with it.
    """
    assertion = read_assertion(text)
    claims = assertion.claims
    aud = claims.get("aud")
    named = aud if isinstance(aud, list) else [aud]
    if not any(each in named for each in terms.audiences):
        raise AssertionRefusedError("aud does not contain the issuer byte for byte")
    _check_times(claims, terms.now)
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not isinstance(subject, str) or not subject or not isinstance(issuer, str):
        raise AssertionRefusedError("iss or sub is missing")
    if terms.self_issued and issuer != subject:
        raise AssertionRefusedError("iss and sub are not the same id")
    _check_signature(text, assertion, issuer, terms)
    return assertion


def _check_signature(text: str, assertion: Assertion, issuer: str, terms: Terms) -> None:
    alg, kid = assertion.header.get("alg"), assertion.header.get("kid")
    if alg not in terms.algorithms:
        raise AssertionRefusedError(f"alg is none of {', '.join(terms.algorithms)}")
    key = terms.key_of(kid if isinstance(kid, str) else "", issuer)
    if key is None:
        raise AssertionRefusedError("no usable key with this kid belongs to this iss")
    if isinstance(key, ECKey) != (alg == "ES256"):
        raise AssertionRefusedError("alg does not fit the key")
    try:
        jws.deserialize_compact(text, key, algorithms=list(terms.algorithms))
    except (JoseError, ValueError) as exc:
        raise AssertionRefusedError("the signature does not match the key") from exc


def _check_times(claims: Mapping[str, object], now: float) -> None:
    exp, iat = _number(claims.get("exp")), _number(claims.get("iat"))
    if exp is None or exp <= now + OFFSET:
        raise AssertionRefusedError("exp is missing or over")
    if iat is None or iat > _rounded(now + OFFSET):
        raise AssertionRefusedError("iat is missing or in the future: the client's clock is fast")
    if iat < _rounded(now - MAX_AGE):
        raise AssertionRefusedError("iat is more than an hour ago")


def _base64url(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number else None


def _rounded(seconds: float) -> float:
    return math.floor(seconds + 0.5)

"""
Whether an assertion or a client's credentials hold: the checks ZITADEL makes, in its order.

Source: zitadel/oidc pkg/op/verifier_jwt_profile.go and pkg/oidc/verifier.go (aud, exp, iat, sub,
signature), pkg/op/server_http.go `parseClientCredentials`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from joserfc import jws
from joserfc.errors import JoseError

from proxy.core.secret import Secret
from proxy.sandbox.replies import OAuthRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import RSAKey

# Source: ZITADEL internal/api/oidc/token_jwt_profile.go: NewJWTProfileVerifier(…, 1h, 1s).
MAX_AGE = 3_600.0
OFFSET = 1.0

# The library also allows ES256, but stored machine keys are RSA only.
ALGORITHMS = ("RS256", "PS256")

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Ours: no honest assertion is longer, in characters.
MAX_ASSERTION = 65_536

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


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


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """
    How a client says who it is.

    Attributes:
        how: `basic`, `post` or `none` (an assertion, or an id alone).
        client_id: From the header if Basic was sent, else from the form.
        secret: Likewise; empty if none was sent.
        assertion: A client assertion; empty if none was sent.
    """

    how: str
    client_id: str
    secret: Secret
    assertion: str


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


def verify_assertion(
    text: str,
    *,
    issuer: str,
    now: float,
    key_of: Callable[[str, str], RSAKey | None],
) -> Assertion:
    """
    Check an assertion and return its content.

    Args:
        text: The assertion as sent.
        issuer: What `aud` must contain, byte for byte.
        now: Seconds since the epoch.
        key_of: Finds the public key for a `kid` and an `iss`.

    Raises:
        AssertionRefusedError: Something is wrong with it.
    """
    assertion = read_assertion(text)
    claims, header = assertion.claims, assertion.header
    aud = claims.get("aud")
    if issuer not in (aud if isinstance(aud, list) else [aud]):
        raise AssertionRefusedError("aud does not contain the issuer byte for byte")
    _check_times(claims, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or claims.get("iss") != subject:
        raise AssertionRefusedError("iss and sub are not the same id")
    if header.get("alg") not in ALGORITHMS:
        raise AssertionRefusedError("alg is neither RS256 nor PS256")
    kid = header.get("kid")
    key = key_of(kid, subject) if isinstance(kid, str) else None
    if key is None:
        raise AssertionRefusedError("no usable key with this kid belongs to this iss")
    try:
        jws.deserialize_compact(text, key, algorithms=list(ALGORITHMS))
    except (JoseError, ValueError) as exc:
        raise AssertionRefusedError("the signature does not match the key") from exc
    return assertion


def _check_times(claims: Mapping[str, object], now: float) -> None:
    exp, iat = _number(claims.get("exp")), _number(claims.get("iat"))
    if exp is None or exp <= now + OFFSET:
        raise AssertionRefusedError("exp is missing or over")
    if iat is None or iat > _rounded(now + OFFSET):
        raise AssertionRefusedError("iat is missing or in the future: the client's clock is fast")
    if iat < _rounded(now - MAX_AGE):
        raise AssertionRefusedError("iat is more than an hour ago")


def parse_client(authorization: str, form: Mapping[str, str]) -> ClientAuth:
    """
    Read a client's credentials from the header and the form.

    Args:
        authorization: Value of the Authorization header; empty if there is none.
        form: Parameters of the request.

    Raises:
        OAuthRefusedError: They are malformed, missing, or there are two kinds at once.
    """
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    assertion, kind = form.get("client_assertion", ""), form.get("client_assertion_type", "")
    by_assertion, by_post = bool(assertion and kind), bool(client_id and secret)
    basic = _basic(authorization)
    if by_assertion + by_post + (basic is not None) > 1:
        raise OAuthRefusedError(
            "invalid_request", "client authentication must not use more than one method"
        )
    if basic is not None:
        return ClientAuth("basic", _unescape(basic[0]), Secret(_unescape(basic[1])), "")
    if not client_id and not assertion:
        raise OAuthRefusedError("invalid_request", "client_id or client_assertion must be provided")
    if assertion and kind != ASSERTION_TYPE:
        raise OAuthRefusedError("invalid_request", f"invalid client_assertion_type {kind[:100]}")
    return ClientAuth("post" if secret else "none", client_id, Secret(secret), assertion)


def _basic(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = raw.partition(b":")
    return (client_id, secret) if colon else None


def _unescape(half: bytes) -> str:
    # RFC 6749 §2.3.1: both halves are form-encoded.
    if _BAD_ESCAPE.search(half):
        raise OAuthRefusedError("invalid_client", "invalid basic auth header")
    return unquote_to_bytes(half.replace(b"+", b" ")).decode("utf-8", "replace")


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

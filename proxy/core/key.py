"""
A service user's RSA key: loading it, and signing assertions with it.

Two traps of authlib are stepped around here: it writes `jti` into the claims it is given (so each
assertion gets a new dict), and takes 0 for a missing `issued_at`. PEM texts as keys are deprecated
there, so a key is a joserfc object, loaded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authlib.oauth2.rfc7523 import JWTBearerGrant
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import RSAKey

from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from proxy.core.grant import PrivateKey

# ZITADEL refuses an `iat` more than 1 s ahead of its clock and allows one up to 1 h old, so being
# a little old costs nothing; `exp` has no upper bound there, RFC 7523 §3 asks for a short life.
BACK_DATED = 10
ASSERTION_LIFE = 300

# RFC 7518 §3.3: a key of size 2048 bits or larger MUST be used with RS256.
MIN_KEY_BITS = 2048


def parse_pem(pem: Secret) -> rsa.RSAPrivateKey:
    """
    Read an unencrypted PEM text: PKCS#1 as ZITADEL writes it, or PKCS#8.

    Raises:
        CredentialInvalid: It is encrypted, no RSA key, shorter than 2048 bits, or no key at all.
    """
    try:
        key = load_pem_private_key(pem.reveal().encode(), password=None)
    except TypeError:
        raise CredentialInvalid(
            "the private key is encrypted; store it without a passphrase: openssl pkey -in OLD -out NEW"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialInvalid(
            "the private key is not readable as PEM; store it from -----BEGIN to the end of END-----"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CredentialInvalid(
            "the private key is not RSA; ZITADEL's machine keys are RSA: make one"
        )
    if key.key_size < MIN_KEY_BITS:
        raise CredentialInvalid(
            f"the RSA key is shorter than {MIN_KEY_BITS} bits; make a longer one"
        )
    return key


def load_rsa(pem: Secret, key_id: str) -> RSAKey:
    """
    Load a PEM text as a key to sign with; once per change of its file, it takes a while.

    Raises:
        CredentialInvalid: As `parse_pem`.
    """
    return RSAKey.import_key(parse_pem(pem), {"kid": key_id})


def sign_assertion(key: PrivateKey, audience: str, wall: float, jti: str) -> Secret:
    """
    Sign a fresh assertion.

    Source: RFC 7523 §3. ZITADEL wants the issuer as `aud` (and not its token endpoint), the user's
    id as `iss` and `sub`, and needs `kid` to find the key.

    Args:
        key: The key and whose it is.
        audience: The issuer's url, byte for byte.
        wall: Seconds since the epoch, UTC.
        jti: A text never used before.

    Raises:
        CredentialInvalid: The key's own expiry has passed.
    """
    if key.expires is not None and wall >= key.expires:
        raise CredentialInvalid(
            f"the private key {key.key_id} has expired; create a new one for user {key.user_id}"
        )
    signed = JWTBearerGrant.sign(
        key.key,
        issuer=key.user_id,
        subject=key.user_id,
        audience=audience,
        issued_at=max(1, int(wall) - BACK_DATED),
        expires_at=int(wall) + ASSERTION_LIFE,
        claims={"jti": jti},
        header={"alg": "RS256", "kid": key.key_id},
    )
    return Secret(str(signed))

"""
Private keys: loading them, and signing assertions with them.

With `core.grant` the thin typed wrapper over authlib, which is untyped: nothing of it leaves these
two files. Two of its traps are stepped around here: it writes `jti` into the claims it is given (so
each assertion gets a new dict), and takes 0 for a missing `issued_at`. PEM texts as keys are
deprecated there, so a key is a joserfc object, loaded once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from authlib.oauth2.rfc7523 import JWTBearerGrant
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, RSAKey

from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.credential import PrivateKey

# ZITADEL refuses an `iat` more than 1 s ahead of its clock and allows one up to 1 h old, so being
# a little old costs nothing; `exp` has no upper bound there, RFC 7523 §3 asks for a short life.
BACK_DATED = 10
ASSERTION_LIFE = 300

# RFC 7518 §3.3: a key of size 2048 bits or larger MUST be used with RS256.
MIN_KEY_BITS = 2048

# RFC 7518 §3.1, §3.4: what signs with which key; the first is the one taken if none is named.
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "PS256"),
    "secp256r1": ("ES256",),
    "secp384r1": ("ES384",),
}

AnyKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    A private key and how it signs.

    Attributes:
        key: The key, loaded once.
        algorithm: RFC 7518 §3.1, one that goes with the key.
        fingerprint: RFC 7638 thumbprint of the public half.
        key_id: Goes into the header as `kid`; None to send none.
    """

    key: RSAKey | ECKey = field(repr=False, compare=False)
    algorithm: str
    fingerprint: str
    key_id: str | None = None


def parse_pem(pem: Secret) -> rsa.RSAPrivateKey:
    """
    Read an unencrypted PEM text of an RSA key: PKCS#1 as ZITADEL writes it, or PKCS#8.

    Raises:
        CredentialInvalid: It is encrypted, no RSA key, shorter than 2048 bits, or no key at all.
    """
    key = parse_any_pem(pem)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CredentialInvalid(
            "the private key is not RSA; ZITADEL's machine keys are RSA: make one"
        )
    return key


def parse_any_pem(pem: Secret) -> AnyKey:
    """
    Read an unencrypted PEM text of a key that can sign: RSA, or P-256 or P-384.

    Raises:
        CredentialInvalid: It is encrypted, another kind of key, too short, or no key at all.
    """
    try:
        key = load_pem_private_key(
            pem.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=True
        )
        if isinstance(key, rsa.RSAPrivateKey):
            _check(key.private_numbers())
    except TypeError:
        raise CredentialInvalid(
            "the private key is encrypted; store it without a passphrase: openssl pkey -in OLD -out NEW"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialInvalid(
            "the private key is not readable as PEM; store it from -----BEGIN to the end of END-----"
        ) from None
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_KEY_BITS:
            raise CredentialInvalid(
                f"the RSA key is shorter than {MIN_KEY_BITS} bits; make a longer one"
            )
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in ALGORITHMS:
        return key
    raise CredentialInvalid("the private key is not RSA, and not EC on P-256 or P-384: make one")


def _check(key: rsa.RSAPrivateNumbers) -> None:
    """
    See that the numbers of an RSA key belong together (RFC 8017 §3.2).

    The library would look for more, whether its two factors are primes, which takes 50 ms during
    which no request is served. Whoever could write such a key into the file could as well put one of
    their own there; what a damaged file does to a key shows here.

    Raises:
        ValueError: They do not.
    """
    p, q, d, e = key.p, key.q, key.d, key.public_numbers.e
    right = min(p, q) > 2 and p != q and p * q == key.public_numbers.n
    right = right and e > 2 and e & 1 == 1 and 1 < d < key.public_numbers.n
    if not (
        right
        and (e * d) % (p - 1) == 1
        and (e * d) % (q - 1) == 1
        and key.dmp1 == d % (p - 1)
        and key.dmq1 == d % (q - 1)
        and (key.iqmp * q) % p == 1
    ):
        raise ValueError("the numbers of the RSA key do not belong together")


def load_rsa(key: rsa.RSAPrivateKey, key_id: str) -> RSAKey:
    """
    Return a parsed key as one to sign with.
    """
    return RSAKey.import_key(key, {"kid": key_id})


def signing_key(
    pem: Secret, *, key_id: str | None = None, algorithm: str | None = None
) -> SigningKey:
    """
    Load a PEM text as a key to sign with.

    Args:
        pem: The text of the key.
        key_id: What the issuer calls it; None to send no `kid`.
        algorithm: RFC 7518 §3.1; None for the usual one of such a key.

    Raises:
        CredentialInvalid: As `parse_any_pem`, or *algorithm* does not go with the key.
    """
    parsed = parse_any_pem(pem)
    key: RSAKey | ECKey
    if isinstance(parsed, rsa.RSAPrivateKey):
        key, known = RSAKey.import_key(parsed), ALGORITHMS["RSA"]
    else:
        key, known = ECKey.import_key(parsed), ALGORITHMS[parsed.curve.name]
    chosen = algorithm or known[0]
    if chosen not in known:
        raise CredentialInvalid(
            f"the private key cannot sign {chosen}; it can {' or '.join(known)}"
        )
    return SigningKey(key, chosen, key.thumbprint(), key_id)


def sign_assertion(key: PrivateKey, audience: str, wall: float, jti: str) -> Secret:
    """
    Sign a fresh assertion.

    Source: RFC 7523 §3. ZITADEL wants the issuer as `aud` (and not its token endpoint), the user's
    id as `iss` and `sub`, and needs `kid` to find the key.

    Args:
        key: The key and whose it is.
        audience: The issuer's url, byte for byte.
        wall: Seconds since the epoch, UTC, by the issuer's clock.
        jti: A text never used before.

    Raises:
        CredentialInvalid: The key's own expiry has passed.
    """
    if key.expires is not None and wall >= key.expires:
        raise CredentialInvalid(
            f"the private key {key.key_id} has expired; create a new one for user {key.user_id}"
        )
    signing = SigningKey(key.key, "RS256", key.fingerprint, key.key_id)
    return sign_jwt(signing, key.user_id, audience, wall, jti)


def sign_jwt(
    key: SigningKey, who: str, audience: str, wall: float, jti: str, life: float = ASSERTION_LIFE
) -> Secret:
    """
    Sign a JWT by which *who* speaks for itself.

    Args:
        key: What signs.
        who: `iss` and `sub`.
        audience: `aud`.
        wall: Seconds since the epoch, UTC, by the audience's clock.
        jti: A text never used before.
        life: Seconds from *wall* to `exp`.
    """
    header = {"alg": key.algorithm}
    if key.key_id is not None:
        header["kid"] = key.key_id
    signed = JWTBearerGrant.sign(
        key.key,
        issuer=who,
        subject=who,
        audience=audience,
        issued_at=max(1, int(wall) - BACK_DATED),
        expires_at=int(wall + life),
        claims={"jti": jti},
        header=header,
    )
    return Secret(str(signed))

"""
Key pairs, and the two JSON files ZITADEL lets a person download for them.

The issuer keeps public halves only; a private half leaves in a `Secret`, once, like a download.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from proxy.core.secret import Secret

if TYPE_CHECKING:
    from proxy.sandbox.verify import PublicKey

# Source: ZITADEL internal/domain/expiration.go: what "no expiry" is written as.
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

# Source: ZITADEL cmd/defaults.yaml, MachineKeySize.
KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    An RSA key pair.

    Attributes:
        private: The key, private half included; signs.
        public: The public half alone; verifies.
    """

    private: RSAKey = field(repr=False)
    public: RSAKey = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        """
        Make a new pair of 2048 bits; takes about 0.1 s of CPU time.
        """
        private = RSAKey.generate_key(KEY_BITS)
        return cls(private, RSAKey.import_key(private.as_dict(private=False)))

    def pem(self, *, pkcs8: bool = False) -> Secret:
        """
        Return the private half as PEM: PKCS#1 as ZITADEL writes it, or PKCS#8.
        """
        form = PrivateFormat.PKCS8 if pkcs8 else PrivateFormat.TraditionalOpenSSL
        text = self.private.private_key.private_bytes(Encoding.PEM, form, NoEncryption())  # type: ignore[union-attr]
        return Secret(text.decode("ascii"))


@dataclass(frozen=True, slots=True)
class SandboxKeys:
    """
    The two pairs every sandbox needs; make them once to start many sandboxes fast.

    Attributes:
        provisioner: Belongs to the service user `provisioner`.
        signing: Signs the issuer's JWT access tokens and id tokens.
    """

    provisioner: KeyPair
    signing: KeyPair

    @classmethod
    def generate(cls) -> SandboxKeys:
        """
        Make both pairs, one after the other.
        """
        return cls(KeyPair.generate(), KeyPair.generate())

    @classmethod
    async def generate_together(cls) -> SandboxKeys:
        """
        Make both pairs at once, in threads: OpenSSL works without the interpreter lock.
        """
        return cls(
            *await asyncio.gather(
                asyncio.to_thread(KeyPair.generate), asyncio.to_thread(KeyPair.generate)
            )
        )


def public_key(pem: str) -> PublicKey:
    """
    Return the public key in a PEM text; of a private one only the public half is kept.

    Raises:
        ValueError: It holds no key, or another one than RSA or EC on the curve P-256.
    """
    for kind in (RSAKey, ECKey):
        try:
            key = kind.import_key(kind.import_key(pem).as_dict(private=False))
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, RSAKey) or key.curve_name == "P-256":
            return key
    raise ValueError("neither an RSA key nor an EC key on the curve P-256")


def service_account_json(key_id: str, user_id: str, pem: Secret, expires: datetime) -> Secret:
    """
    Return a service user's key file as ZITADEL's console downloads it.

    Source: ZITADEL internal/domain/machine_key.go.
    """
    return Secret(
        json.dumps(
            {
                "type": "serviceaccount",
                "keyId": key_id,
                "key": pem.reveal(),
                "expirationDate": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "userId": user_id,
            }
        )
    )


def application_json(key_id: str, app_id: str, client_id: str, pem: Secret) -> Secret:
    """
    Return an application's key file; of no use for a service user's grant.

    Source: ZITADEL internal/domain/application_key.go.
    """
    return Secret(
        json.dumps(
            {
                "type": "application",
                "keyId": key_id,
                "key": pem.reveal(),
                "appId": app_id,
                "clientId": client_id,
            }
        )
    )

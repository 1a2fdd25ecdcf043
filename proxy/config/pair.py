"""
A certificate and the private key that must belong to it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from proxy.config.secrets import read_file, read_public
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from pathlib import Path

ENCRYPTED: Final = (
    "the key is encrypted; store it without a passphrase: openssl pkey -in KEY -out NEW"
)
STRANGERS: Final = (
    "the key is not that of the certificate, which must come first in its file; "
    "write the two that belong together"
)

# OpenSSL's reasons, in words.
_REASONS: Final = {
    "KEY_VALUES_MISMATCH": STRANGERS,
    "KEY_TYPE_MISMATCH": STRANGERS,
    "EE_KEY_TOO_SMALL": "the certificate's key is too short to be safe; have a new one issued",
    "CA_MD_TOO_WEAK": "the certificate is signed with a broken hash; have a new one issued",
}


def read_pair(cert_file: Path, key_file: Path, base: Path) -> ssl.SSLContext:
    """
    Return a server's context that shows this certificate.

    Args:
        cert_file: The certificate and its chain, in PEM.
        key_file: Its private key, in PEM, without a passphrase.
        base: Folder that relative paths start from.

    Raises:
        CredentialInvalid: A file cannot be read, is not safe, or the two do not belong together.
    """
    read_public(cert_file, base)
    key = read_file(key_file, base).reveal()
    if "ENCRYPTED" in key:  # RFC 7468 §11 in the first line, RFC 1421 §4.6.1.1 in the second
        raise CredentialInvalid(ENCRYPTED)
    if "PRIVATE KEY-----" not in key:
        raise CredentialInvalid("the file holds no private key in PEM; check which file it is")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(base / cert_file, base / key_file, password="")
    except ssl.SSLError as error:
        fallback = f"the certificate or key cannot be used ({error.reason or 'unreadable'})"
        raise CredentialInvalid(_REASONS.get(error.reason or "", fallback)) from None
    except (OSError, ValueError):
        raise CredentialInvalid("the certificate or key cannot be read") from None
    return context

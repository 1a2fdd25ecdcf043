"""
A certificate as it lies in a file: which names it holds, and when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from pathlib import Path

NAMES = 100
"""Names of one certificate that are told in a log line."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    The first certificate of a file: the one that is shown.

    Attributes:
        file: Where it lies.
        names: The DNS names it holds, in lower case; addresses are not among them.
        ends: When it ends, in seconds since the epoch.
        fingerprint: Its SHA-256.
    """

    file: Path
    names: tuple[str, ...]
    ends: float
    fingerprint: bytes


def parse_certificate(file: Path, text: str) -> Certificate:
    """
    Return what the first certificate in *text* says.

    Args:
        file: Where the text comes from.
        text: Certificates in PEM.

    Raises:
        CredentialInvalid: It holds none that can be read.
    """
    try:
        found = x509.load_pem_x509_certificates(text.encode())[0]
        names = _names(found)
        ends = found.not_valid_after_utc.timestamp()
    except ValueError:
        raise CredentialInvalid(
            "the file holds no certificates in PEM; check which file it is"
        ) from None
    return Certificate(file, names, ends, found.fingerprint(SHA256()))


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """
    Return the DNS names of the subject alternative name; the common name counts for nothing.

    Source: RFC 9525 §2, and what clients do.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))

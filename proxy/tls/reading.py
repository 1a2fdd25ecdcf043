"""
All files of a listener, read once: a context for each certificate, and which name leads to which.

Of several certificates the first is the default; the others are chosen by the name a caller sends
(SNI, RFC 6066 §3), an exact name before a wildcard, and among equals the earlier in the file.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.pair import read_pair
from proxy.config.secrets import read_public
from proxy.errors import CredentialInvalid
from proxy.tls.certificate import Certificate, parse_certificate
from proxy.tls.hardening import harden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from proxy.config.model import ListenerTls


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What the files of a listener said.

    Attributes:
        context: Makes connections; chooses among the certificates.
        certificates: All of them, the default first.
    """

    context: ssl.SSLContext
    certificates: tuple[Certificate, ...]


class Refused(Exception):
    """
    A file of a listener cannot be used.

    Args:
        file: Which; as it is named in the settings.
        reason: Why not, and what to do.
    """

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(reason)
        self.file = file
        self.reason = reason


def read_listener(settings: ListenerTls, base: Path) -> Reading:
    """
    Read all files of a listener.

    Args:
        settings: Which.
        base: Folder that relative paths start from.

    Raises:
        Refused: One of them cannot be used.
    """
    authorities = None
    if settings.client_ca_file is not None:
        try:
            authorities = read_public(settings.client_ca_file, base)
        except CredentialInvalid as error:
            raise Refused(settings.client_ca_file, error.reason) from None
    contexts, certificates = [], []
    for pair in (settings, *settings.certificates):
        try:
            text = read_public(pair.cert_file, base)
            certificates.append(parse_certificate(pair.cert_file, text))
        except CredentialInvalid as error:
            raise Refused(pair.cert_file, error.reason) from None
        try:
            context = read_pair(pair.cert_file, pair.key_file, base)
        except CredentialInvalid as error:
            raise Refused(pair.key_file, error.reason) from None
        harden(context)
        if authorities is not None:
            _ask(context, authorities, settings)
        contexts.append(context)
    if len(contexts) > 1:
        contexts[0].sni_callback = _chooser(contexts, certificates)
    return Reading(contexts[0], tuple(certificates))


def _ask(context: ssl.SSLContext, authorities: str, settings: ListenerTls) -> None:
    """
    Ask callers for a certificate of these authorities.
    """
    assert settings.client_ca_file is not None
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise Refused(
            settings.client_ca_file, "the file holds no certificates in PEM; check which file it is"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _chooser(
    contexts: Sequence[ssl.SSLContext], certificates: Sequence[Certificate]
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """
    Return what OpenSSL asks once it knows which name a caller wants; None if it sent none.
    """
    default = contexts[0]
    by_name: dict[str, ssl.SSLContext | None] = {}
    for context, certificate in zip(contexts, certificates, strict=True):
        for name in certificate.names:
            # The default's own names lead nowhere else; itself in here, it would keep itself
            by_name.setdefault(name, None if context is default else context)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        context = _find(by_name, name.lower()) if name else None
        if context is not None:
            connection.context = context

    return choose


def _find(by_name: Mapping[str, ssl.SSLContext | None], name: str) -> ssl.SSLContext | None:
    """
    Return the context for *name*; a wildcard stands for one label (RFC 9525 §6.3).
    """
    if name in by_name:
        return by_name[name]
    return by_name.get(f"*.{name.partition('.')[2]}")

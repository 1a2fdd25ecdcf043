"""
As which client an issuer is asked about callers' tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.reading import compile_issuer
from proxy.config.secrets import read, read_file
from proxy.core.credential import ClientKey, ClientSecret, Issuer
from proxy.core.keyfile import parse_application_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import model


@dataclass(frozen=True, slots=True)
class IntrospectionClient:
    """
    The client that asks an issuer.

    Attributes:
        issuer: The issuer, and how it is reached.
        credential: How the client proves who it is: by its secret, or by an assertion it signs.
    """

    issuer: Issuer
    credential: ClientSecret | ClientKey

    @property
    def client_id(self) -> str:
        """
        What the issuer calls the client.
        """
        return self.credential.client_id


def introspection_clients(
    settings: model.Settings, base: Path, environ: Mapping[str, str]
) -> dict[str, IntrospectionClient]:
    """
    Read how each issuer is asked; return the clients by the issuer's name.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at.
        environ: The environment.

    Raises:
        CredentialInvalid: A secret or key cannot be read or used.
    """
    found = {}
    for name, issuer in settings.issuers.items():
        asked = issuer.introspection
        if asked is None:
            continue
        credential: ClientSecret | ClientKey
        if asked.key_file is not None:
            credential = parse_application_key(read_file(asked.key_file, base))
        else:
            assert asked.client_id is not None
            assert asked.client_secret is not None
            secret = read(asked.client_secret, base, environ)
            credential = ClientSecret(asked.client_id, secret, asked.client_auth)
        found[name] = IntrospectionClient(compile_issuer(name, issuer, base), credential)
    return found

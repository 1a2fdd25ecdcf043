"""
Service users as the settings name them → service users with their credentials read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.secrets import read, read_file, read_token
from proxy.config.service_user import ClientCredentials, PersonalAccessToken, PrivateKeyJwt
from proxy.core import grant
from proxy.core.keyfile import parse_key_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import model, service_user


def compile_users(
    settings: model.Settings, base: Path, environ: Mapping[str, str], *, only: str | None = None
) -> tuple[grant.ServiceUser, ...]:
    """
    Read every credential; return the service users.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at.
        environ: The environment.
        only: The one service user wanted; None for all.

    Raises:
        CredentialInvalid: A secret cannot be read or used.
    """
    issuers = {
        name: grant.Issuer(
            name=name,
            url=issuer.url.text,
            token_endpoint=None if issuer.token_endpoint is None else issuer.token_endpoint.text,
            connect_to=None if issuer.connect_to is None else issuer.connect_to.text,
            ca_file=None if issuer.ca_file is None else str(base / issuer.ca_file),
        )
        for name, issuer in settings.issuers.items()
    }
    routed = {entry.service_user for entry in settings.routes}
    return tuple(
        grant.ServiceUser(
            name=name,
            issuer=issuers[user.issuer],
            credential=_credential(user, base, environ),
            scopes=() if isinstance(user, PersonalAccessToken) else user.requested_scopes,
            required=name in routed,
        )
        for name, user in settings.service_users.items()
        if only in (None, name)
    )


def _credential(
    user: service_user.ServiceUser, base: Path, environ: Mapping[str, str]
) -> grant.Credential:
    match user:
        case PrivateKeyJwt(key_file=None):
            assert user.key_pem_file is not None
            pem = read_file(user.key_pem_file, base)
            return grant.private_key(pem, key_id=user.key_id or "", user_id=user.user_id or "")
        case PrivateKeyJwt():
            assert user.key_file is not None
            key = parse_key_json(read_file(user.key_file, base))
            return grant.private_key(
                key.pem, key_id=key.key_id, user_id=key.user_id, expires=key.expires
            )
        case ClientCredentials():
            secret = read(user.client_secret, base, environ)
            return grant.ClientSecret(user.client_id, secret, user.client_auth)
        case PersonalAccessToken():
            return grant.FixedToken(read_token(user.token, base, environ), user.expires)

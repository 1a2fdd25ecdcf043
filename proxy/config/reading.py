"""
A service user's settings → its credentials, each read when it is asked for.

A new method is one `case` here, besides its model and what `core.credential` holds of it.
"""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, assert_never

from proxy.config.client_user import Client, ClientCredentials
from proxy.config.exchange_user import TokenExchange
from proxy.config.key_user import PrivateKeyJwt, SystemJwt
from proxy.config.secrets import read, read_file, read_token
from proxy.config.service_user import PersonalAccessToken
from proxy.core.credential import (
    ACCESS_TOKEN,
    JWT_TYPE,
    USER_ID,
    ClientKey,
    ClientSecret,
    Credential,
    Exchange,
    FixedToken,
    Issuer,
    Party,
    PrivateKey,
    SystemKey,
    private_key,
)
from proxy.core.key import signing_key
from proxy.core.keyfile import parse_key_json
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from proxy.config import model, service_user
    from proxy.config.exchange_user import ExchangeParty
    from proxy.config.model import Settings
    from proxy.config.network import Url
    from proxy.config.secret_source import SecretSource

# RFC 8693 §3, for each word of the settings.
_TYPES: Final[Mapping[str, str]] = {"access_token": ACCESS_TOKEN, "jwt": JWT_TYPE}


class Where(NamedTuple):
    """
    Where secrets are looked for.

    Attributes:
        base: The folder relative paths start at.
        environ: The environment.
    """

    base: Path
    environ: Mapping[str, str]


def ways(
    user: service_user.ServiceUser, settings: Settings, where: Where
) -> Iterator[Callable[[], Credential]]:
    """
    Yield how to read each of a service user's credentials, in their order.

    Both the steps and what they yield raise CredentialInvalid if a secret cannot be read or used.
    """
    match user:
        case PrivateKeyJwt(key_file=None):
            yield partial(_pem_key, user, where)
        case PrivateKeyJwt():
            yield from (partial(_json_key, path, where) for path in user.key_file or ())
        case SystemJwt():
            yield partial(_system_key, user, where)
        case PersonalAccessToken():
            for source, expires in zip(user.token, user.expires or repeat(None)):  # noqa: B905 - one is endless
                yield partial(_fixed_token, source, expires, where)
        case ClientCredentials():
            yield from _clients(user, where)
        case TokenExchange():
            subject = _party(user.subject, settings, where)
            actor = None if user.actor is None else _party(user.actor, settings, where)
            for client in _clients(user, where):
                yield partial(_exchange, client, subject, actor, user.requested_token_type)
        case _:
            assert_never(user)


def _pem_key(user: PrivateKeyJwt, where: Where) -> PrivateKey:
    assert user.key_pem_file is not None
    pem = read_file(user.key_pem_file, where.base)
    return private_key(pem, key_id=user.key_id or "", user_id=user.user_id or "")


def _json_key(path: Path, where: Where) -> PrivateKey:
    key = parse_key_json(read_file(path, where.base))
    return private_key(key.key, key_id=key.key_id, user_id=key.user_id, expires=key.expires)


def _system_key(user: SystemJwt, where: Where) -> SystemKey:
    # ZITADEL verifies RS256 alone here, and finds the key by the user's name, not by `kid`.
    key = signing_key(read_file(user.key_pem_file, where.base), algorithm="RS256")
    return SystemKey(user.user, key, user.lifetime)


def _fixed_token(source: SecretSource, expires: float | None, where: Where) -> FixedToken:
    return FixedToken(read_token(source, *where), expires)


def _clients(user: Client, where: Where) -> Iterator[Callable[[], ClientSecret | ClientKey]]:
    if user.client_auth == "private_key_jwt":
        yield partial(_client_key, user, where)
    else:
        for source in user.client_secret or ():
            yield partial(_client_secret, user, source, where)


def _client_secret(user: Client, source: SecretSource, where: Where) -> ClientSecret:
    auth: Literal["basic", "post"] = "post" if user.client_auth == "post" else "basic"
    return ClientSecret(user.client_id, read(source, *where), auth)


def _client_key(user: Client, where: Where) -> ClientKey:
    assert user.key_pem_file is not None
    pem = read_file(user.key_pem_file, where.base)
    key = signing_key(pem, key_id=user.key_id, algorithm=user.algorithm)
    return ClientKey(user.client_id, key, user.assertion_audience or "issuer")


def _exchange(
    client: Callable[[], ClientSecret | ClientKey],
    subject: Party,
    actor: Party | None,
    requested: str | None,
) -> Exchange:
    return Exchange(client(), subject, actor, None if requested is None else _TYPES[requested])


def _party(party: ExchangeParty, settings: Settings, where: Where) -> Party:
    if party.service_user is not None:
        signs = isinstance(settings.service_users[party.service_user], SystemJwt)
        return Party(JWT_TYPE if signs else ACCESS_TOKEN, service_user=party.service_user)
    if party.user_id is not None:
        return Party(USER_ID, token=Secret(party.user_id))
    assert party.token is not None
    return Party(_TYPES[party.type or "access_token"], token=read_token(party.token, *where))


def compile_issuer(name: str, issuer: model.Issuer, base: Path) -> Issuer:
    """
    Return an issuer of the settings as the core holds it.

    Args:
        name: What proxy.yaml calls it.
        issuer: Its settings.
        base: The folder relative paths start at.
    """
    return Issuer(
        name=name,
        url=issuer.url.text,
        token_endpoint=_text(issuer.token_endpoint),
        connect_to=_text(issuer.connect_to),
        ca_file=None if issuer.ca_file is None else str(base / issuer.ca_file),
        jwks_uri=_text(issuer.jwks_uri),
        introspection_endpoint=_text(issuer.introspection_endpoint),
    )


def _text(url: Url | None) -> str | None:
    return None if url is None else url.text

"""
Service users as the settings name them → service users with their credentials read.

At start every credential must be readable. Read anew later, those that still can be are taken: an
old key that was removed must not disturb the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.exchange_user import TokenExchange
from proxy.config.files import of_user
from proxy.config.minted import Minted
from proxy.config.reading import Where, compile_issuer, ways
from proxy.config.secrets import path_of
from proxy.core.credential import ServiceUser
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from proxy.config import service_user
    from proxy.config.model import Settings
    from proxy.core.credential import Credential


def compile_users(
    settings: Settings, base: Path, environ: Mapping[str, str], *, only: str | None = None
) -> tuple[ServiceUser, ...]:
    """
    Read every credential; return the service users.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at.
        environ: The environment.
        only: The one service user wanted, with those whose tokens it exchanges; None for all.

    Raises:
        CredentialInvalid: A secret cannot be read or used.
    """
    wanted = settings.service_users if only is None else _with_parties(settings, [only])
    where = Where(base, environ)
    required = _required(settings)
    return tuple(
        _service_user(
            settings, where, name, required, [way() for way in ways(user, settings, where)]
        )
        for name, user in settings.service_users.items()
        if name in wanted
    )


def read_user(settings: Settings, base: Path, environ: Mapping[str, str], name: str) -> ServiceUser:
    """
    Read one service user's credentials anew; of several those that can be read.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at.
        environ: The environment.
        name: A service user of these settings.

    Raises:
        CredentialInvalid: None of its credentials can be read or used; the reason is the first's.
    """
    where = Where(base, environ)
    credentials: list[Credential] = []
    errors: list[CredentialInvalid] = []
    for way in ways(settings.service_users[name], settings, where):
        try:
            credentials.append(way())
        except CredentialInvalid as error:
            errors.append(error)
    if not credentials:
        raise errors[0]
    return _service_user(settings, where, name, _required(settings), credentials)


def credential_files(
    settings: Settings, base: Path, environ: Mapping[str, str], name: str
) -> tuple[Path, ...]:
    """
    Return the files a service user's credentials are read from, systemd's among them; none for
    variables and for secrets that stand in the settings themselves.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at, absolute.
        environ: The environment.
        name: A service user of these settings.
    """
    user = settings.service_users[name]
    paths = (path_of(thing.source, base, environ) for thing in of_user(name, user))
    return tuple(path for path in paths if path is not None)


def _with_parties(settings: Settings, names: Iterable[str]) -> set[str]:
    """
    Return *names* and every service user whose token one of them needs.
    """
    found: set[str] = set()
    rest = [*names]
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest.extend(_parties(settings.service_users.get(name)))
    return found


def _parties(user: service_user.ServiceUser | None) -> Iterator[str]:
    if isinstance(user, TokenExchange):
        for party in (user.subject, user.actor):
            if party is not None and party.service_user is not None:
                yield party.service_user


def _required(settings: Settings) -> set[str]:
    return _with_parties(settings, (entry.service_user for entry in settings.routes))


def _service_user(
    settings: Settings,
    where: Where,
    name: str,
    required: set[str],
    credentials: Iterable[Credential],
) -> ServiceUser:
    user = settings.service_users[name]
    first, *spares = dict.fromkeys(credentials)  # two files may hold the same one
    return ServiceUser(
        name=name,
        issuer=compile_issuer(user.issuer, settings.issuers[user.issuer], where.base),
        credential=first,
        scopes=user.requested_scopes if isinstance(user, Minted) else (),
        required=name in required,
        spares=tuple(spares),
        audience=user.audience if isinstance(user, Minted) else (),
        resource=user.resource if isinstance(user, Minted) else (),
        on_rotation=user.on_rotation,
    )

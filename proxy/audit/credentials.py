"""
How service users prove themselves: where their secrets are, and for how long.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.audit.rule import Hit
from proxy.config.client_user import Client, ClientCredentials
from proxy.config.secret_source import SecretEnv
from proxy.config.service_user import PersonalAccessToken
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Place

DAY: Final = 86_400.0

SOON: Final = 30
"""Days before its end from which a credential is a finding; `check` warns from there on as well."""

PLACEHOLDER: Final = Secret("put-the-token-here")
"""Stands in the starter proxy.yaml where a token goes, and is none."""


def written_out(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each secret that stands in the configuration.
    """
    for thing in evidence.things:
        if isinstance(thing.source, Secret) and thing.source != PLACEHOLDER:
            yield Hit(
                thing.place,
                "the secret stands in this file itself",
                "write {file: PATH}, {env: NAME} or {credential: NAME}, and replace the secret",
            )


def in_environment(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each secret that comes in a variable.
    """
    for thing in evidence.things:
        if isinstance(thing.source, SecretEnv):
            yield Hit(
                thing.place,
                "the secret comes in an environment variable",
                "write {file: PATH} or {credential: NAME}",
            )


def _tokens(evidence: Evidence) -> Iterator[tuple[Place, PersonalAccessToken]]:
    for name, user in evidence.settings.service_users.items():
        if isinstance(user, PersonalAccessToken):
            yield ("service_users", name), user


def personal_access_token(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each service user with a personal access token.
    """
    for place, _ in _tokens(evidence):
        yield Hit(
            (*place, "method"),
            "a personal access token goes to every upstream as it is, and lives until its end",
            "write method: private_key_jwt, with the service user's key_file",
        )


def token_without_end(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each personal access token whose end nobody has written down.
    """
    for place, user in _tokens(evidence):
        if user.expires is None:
            yield Hit(
                (*place, "token"),
                "nothing says when the token ends",
                "make tokens with an end, and write it: expires: 2027-01-31",
            )


class _Dated(NamedTuple):
    """
    A credential with a known end.
    """

    place: Place
    noun: str
    renew: str
    expires: float


def _dated(evidence: Evidence) -> Iterator[_Dated]:
    for place, user in _tokens(evidence):
        for index, expires in enumerate(user.expires or ()):
            yield _Dated((*place, "expires", index), "token", "make a new one", expires)
    for spot, end in evidence.ends.items():
        if end is not None:
            yield _Dated(spot, "key", "download a new one", end)


def ended(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each credential that has ended.
    """
    for each in _dated(evidence):
        if each.expires <= evidence.now:
            what = f"the {each.noun} ended on {_day(each.expires)}"
            yield Hit(each.place, what, f"{each.renew} in the console, and remove this one")


def ending(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each credential that ends soon.
    """
    for each in _dated(evidence):
        if evidence.now < each.expires < evidence.now + SOON * DAY:
            what = f"the {each.noun} ends on {_day(each.expires)}"
            yield Hit(each.place, what, f"{each.renew} in the console, and list it before this one")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def key_without_end(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each key file whose key never ends.
    """
    for place, end in evidence.ends.items():
        if end is None:
            yield Hit(place, "the key never ends", "make a key with an end, and rotate it")


def client_secret(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each client that sends a secret where it could sign.
    """
    for name, user in evidence.settings.service_users.items():
        if not isinstance(user, Client) or user.client_secret is None:
            continue
        instead = "write client_auth: private_key_jwt with key_pem_file, if the issuer takes it"
        if isinstance(user, ClientCredentials):
            instead = "at ZITADEL write method: private_key_jwt with key_file; elsewhere client_auth: private_key_jwt with key_pem_file"
        yield Hit(
            ("service_users", name, "client_secret"),
            "the client sends a secret where it could sign with a key",
            instead,
        )
    for name, issuer in evidence.settings.issuers.items():
        if issuer.introspection is not None and issuer.introspection.client_secret is not None:
            yield Hit(
                ("issuers", name, "introspection", "client_secret"),
                "the client sends a secret where it could sign with a key",
                "at ZITADEL write key_file, with the key JSON of the API application",
            )

"""
Every file and variable a configuration names: is it there, is it safe, is it what it should be?
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from proxy.config import secrets
from proxy.config.draft import Finding, Place
from proxy.config.pair import read_pair
from proxy.config.secret_source import SecretCredential, SecretFile, SecretSource
from proxy.config.service_user import ClientCredentials, PersonalAccessToken, PrivateKeyJwt
from proxy.core import key, keyfile
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config.rules import Entries

Kind = Literal["key_json", "pem", "secret", "token", "private", "certificates"]


@dataclass(frozen=True, slots=True)
class Outside:
    """
    Something a setting points at.
    """

    place: Place
    kind: Kind
    source: SecretSource


def outside(entries: Entries) -> Iterator[Outside]:
    """
    Yield everything the settings point at, in no particular order.
    """
    for name, user in entries.service_users.items():
        place: Place = ("service_users", name)
        match user:
            case PrivateKeyJwt():
                yield from _file((*place, "key_file"), "key_json", user.key_file)
                yield from _file((*place, "key_pem_file"), "pem", user.key_pem_file)
            case ClientCredentials():
                yield Outside((*place, "client_secret"), "secret", user.client_secret)
            case PersonalAccessToken():
                yield Outside((*place, "token"), "token", user.token)
    for index, listener in entries.listeners.items():
        if listener.tls:
            place = ("listen", index, "tls")
            yield from _file(
                (*place, "client_ca_file"), "certificates", listener.tls.client_ca_file
            )
    for issuer_name, issuer in entries.issuers.items():
        yield from _file(("issuers", issuer_name, "ca_file"), "certificates", issuer.ca_file)
    for index, route in entries.routes.items():
        yield from _file(("routes", index, "ca_file"), "certificates", route.ca_file)
    for pair in _pairs(entries):
        yield from _file(pair.cert, "certificates", pair.cert_file)
        yield from _file(pair.key, "private", pair.key_file)


@dataclass(frozen=True, slots=True)
class Pair:
    """
    A certificate and its key, each with its place.
    """

    cert: Place
    cert_file: Path
    key: Place
    key_file: Path


def _pairs(entries: Entries) -> Iterator[Pair]:
    for index, listener in entries.listeners.items():
        place: Place = ("listen", index, "tls")
        for at, pair in enumerate(
            (listener.tls, *listener.tls.certificates) if listener.tls else ()
        ):
            inner: Place = (*place, "certificates", at - 1) if at else place
            yield Pair((*inner, "cert_file"), pair.cert_file, (*inner, "key_file"), pair.key_file)
    for index, route in entries.routes.items():
        if route.client_cert_file and route.client_key_file:
            place = ("routes", index)
            yield Pair(
                (*place, "client_cert_file"), route.client_cert_file,
                (*place, "client_key_file"), route.client_key_file,
            )  # fmt: skip


def _file(place: Place, kind: Kind, path: Path | None) -> Iterator[Outside]:
    if path is not None:
        yield Outside(place, kind, SecretFile(path))


def check(
    entries: Entries, base: Path, start: str, environ: Mapping[str, str], now: float
) -> Iterator[Finding]:
    """
    Yield what is wrong with the files and variables.

    Args:
        entries: Settings of the right shape.
        base: Folder that relative paths start from.
        start: What that folder is called in messages.
        environ: The environment.
        now: Seconds since the epoch; a key that has ended by then is refused.
    """
    broken = set()
    for thing in outside(entries):
        try:
            _judge(thing, base, environ, now)
        except CredentialInvalid as error:
            broken.add(thing.place)
            absent = error.reason == secrets.ABSENT
            instead = _instead_of_absent(thing.source, start) if absent else ""
            yield Finding(thing.place, error.reason, instead)
    for pair in _pairs(entries):
        if not broken & {pair.cert, pair.key}:
            try:
                read_pair(pair.cert_file, pair.key_file, base)
            except CredentialInvalid as error:
                yield Finding(pair.key, error.reason)


def _instead_of_absent(source: SecretSource, start: str) -> str:
    match source:
        case SecretFile(path) if not path.is_absolute():
            return f"a relative path starts at {start}"
        case SecretCredential():
            return "add LoadCredential= with this name to the unit"
        case _:
            return "write the path of one that does"


def _judge(thing: Outside, base: Path, environ: Mapping[str, str], now: float) -> None:
    match thing.kind, thing.source:
        case "key_json", SecretFile(path):
            found = keyfile.parse_key_json(secrets.read_file(path, base))
            if found.expires is not None and found.expires <= now:
                day = datetime.fromtimestamp(found.expires, UTC).date()
                raise CredentialInvalid(
                    f"the key ended on {day}; download a new one in the console"
                )
        case "pem", SecretFile(path):
            key.parse_pem(secrets.read_file(path, base))
        case "certificates", SecretFile(path):
            _certificates(secrets.read_public(path, base))
        case "private", SecretFile(path):
            secrets.read_file(path, base)
        case "token", source:
            secrets.read_token(source, base, environ)
        case _, source:
            secrets.read(source, base, environ)


def _certificates(text: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise CredentialInvalid(
            "the file holds no certificates in PEM; check which file it is"
        ) from None

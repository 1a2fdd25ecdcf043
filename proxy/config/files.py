"""
Every file and variable a configuration names: is it there, is it safe, is it what it should be?
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from proxy.config import secrets
from proxy.config.client_user import Client
from proxy.config.draft import Finding, Place
from proxy.config.exchange_user import PARTIES, TokenExchange
from proxy.config.key_user import PrivateKeyJwt, SystemJwt
from proxy.config.pair import read_pair
from proxy.config.secret_source import SecretCredential, SecretFile, SecretSource
from proxy.config.service_user import PersonalAccessToken
from proxy.core import key, keyfile
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config.model import Issuer
    from proxy.config.rules import Entries
    from proxy.config.service_user import ServiceUser

Kind = Literal[
    "key_json", "application", "pem", "signing", "secret", "token", "private", "certificates"
]


@dataclass(frozen=True, slots=True)
class Outside:
    """
    Something a setting points at.

    Attributes:
        place: The setting.
        kind: What it should be.
        source: Where it is.
        algorithm: How it must be able to sign; None for as it can.
    """

    place: Place
    kind: Kind
    source: SecretSource
    algorithm: str | None = None


def outside(entries: Entries) -> Iterator[Outside]:
    """
    Yield everything the settings point at, in no particular order.
    """
    for name, user in entries.service_users.items():
        yield from of_user(name, user)
    for index, listener in entries.listeners.items():
        if listener.tls:
            place: Place = ("listen", index, "tls")
            yield from _file(
                (*place, "client_ca_file"), "certificates", listener.tls.client_ca_file
            )
    for issuer_name, issuer in entries.issuers.items():
        yield from _file(("issuers", issuer_name, "ca_file"), "certificates", issuer.ca_file)
        yield from _of_introspection(("issuers", issuer_name, "introspection"), issuer)
    for index, route in entries.routes.items():
        yield from _file(("routes", index, "ca_file"), "certificates", route.ca_file)
    for audit in entries.audit.values():
        if audit.hmac_key is not None:
            yield Outside(("audit", "hmac_key"), "secret", audit.hmac_key)
    for pair in _pairs(entries):
        yield from _file(pair.cert, "certificates", pair.cert_file)
        yield from _file(pair.key, "private", pair.key_file)


def of_user(name: str, user: ServiceUser) -> Iterator[Outside]:
    """
    Yield everything a service user's settings point at: its credentials, and tokens to exchange.
    """
    place: Place = ("service_users", name)
    match user:
        case PrivateKeyJwt():
            for index, path in enumerate(user.key_file or ()):
                yield from _file((*place, "key_file", index), "key_json", path)
            yield from _file((*place, "key_pem_file"), "pem", user.key_pem_file)
        case SystemJwt():
            yield from _file((*place, "key_pem_file"), "pem", user.key_pem_file)
        case PersonalAccessToken():
            for index, source in enumerate(user.token):
                yield Outside((*place, "token", index), "token", source)
        case Client():
            for index, source in enumerate(user.client_secret or ()):
                yield Outside((*place, "client_secret", index), "secret", source)
            if user.key_pem_file is not None:
                key_file = SecretFile(user.key_pem_file)
                yield Outside((*place, "key_pem_file"), "signing", key_file, user.algorithm)
            yield from _of_parties(place, user)
        case _:
            assert_never(user)


def _of_introspection(place: Place, issuer: Issuer) -> Iterator[Outside]:
    asked = issuer.introspection
    if asked is not None:
        yield from _file((*place, "key_file"), "application", asked.key_file)
        if asked.client_secret is not None:
            yield Outside((*place, "client_secret"), "secret", asked.client_secret)


def _of_parties(place: Place, user: Client) -> Iterator[Outside]:
    if isinstance(user, TokenExchange):
        for role, party in zip(PARTIES, (user.subject, user.actor), strict=True):
            if party is not None and party.token is not None:
                yield Outside((*place, role, "token"), "token", party.token)


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
    entries: Entries, base: Path, start: str, environ: Mapping[str, str], ends: dict[Place, float]
) -> Iterator[Finding]:
    """
    Yield what is wrong with the files and variables.

    Args:
        entries: Settings of the right shape.
        base: Folder that relative paths start from.
        start: What that folder is called in messages.
        environ: The environment.
        ends: Takes when each key file's key ends, in seconds since the epoch, if it says so.
    """
    broken = set()
    for thing in outside(entries):
        try:
            end = _judge(thing, base, environ)
            if end is not None:
                ends[thing.place] = end
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


def doubts(entries: Entries, base: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield which files that were found right are less safe than they could be.
    """
    for thing in outside(entries):
        path = secrets.path_of(thing.source, base, environ)
        if thing.kind != "certificates" and path is not None and secrets.shared(path):
            what = "every member of the file's group may change it"
            yield Finding(thing.place, what, "run chmod g-w on it")


def _instead_of_absent(source: SecretSource, start: str) -> str:
    match source:
        case SecretFile(path) if not path.is_absolute():
            return f"a relative path starts at {start}"
        case SecretCredential():
            return "add LoadCredential= with this name to the unit"
        case _:
            return "write the path of one that does"


def _judge(thing: Outside, base: Path, environ: Mapping[str, str]) -> float | None:
    """
    Read *thing*; return when it ends, if it says so.
    """
    match thing.kind, thing.source:
        case "key_json", SecretFile(path):
            return keyfile.parse_key_json(secrets.read_file(path, base)).expires
        case "application", SecretFile(path):
            keyfile.parse_application_key(secrets.read_file(path, base))
        case "pem", SecretFile(path):
            key.parse_pem(secrets.read_file(path, base))
        case "signing", SecretFile(path):
            key.signing_key(secrets.read_file(path, base), algorithm=thing.algorithm)
        case "certificates", SecretFile(path):
            _certificates(secrets.read_public(path, base))
        case "private", SecretFile(path):
            secrets.read_file(path, base)
        case "token", source:
            secrets.read_token(source, base, environ)
        case _, source:
            secrets.read(source, base, environ)
    return None


def _certificates(text: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise CredentialInvalid(
            "the file holds no certificates in PEM; check which file it is"
        ) from None

"""
What must hold within and between callers: nothing two of them are known by, and somewhere to be
known at all.

Issuers and listeners are looked up in the settings as they were written, so that a mistake in one of
them does not hide that it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.draft import Finding, Place, look
from proxy.config.reference import check_name, written
from proxy.core.admit import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from proxy.config.caller import Caller

_TOKENS = ("jwt", "introspection")


def check(data: Mapping[str, object], callers: Mapping[str, Caller]) -> Iterator[Finding]:
    """
    Yield everything that does not hold.

    Args:
        data: All settings.
        callers: Those whose own shape is right, by name.
    """
    if ANONYMOUS in callers:
        yield Finding(
            ("callers", ANONYMOUS), "means whoever shows no credential", "rename this caller"
        )
    yield from _shared(callers)
    yield from _issuers(data)
    yield from _listeners(data, callers)
    yield from _modes(data)


def _shared(callers: Mapping[str, Caller]) -> Iterator[Finding]:
    seen: dict[Hashable, str] = {}
    for name, caller in callers.items():
        for place, what, noun in _known_by(caller):
            owner = seen.setdefault(what, name)
            if owner != name:
                yield Finding(
                    ("callers", name, *place),
                    f'is also {noun} "{owner}"',
                    "give each caller its own",
                )


def _known_by(caller: Caller) -> Iterator[tuple[Place, Hashable, str]]:
    """
    Yield what a caller is known by: the place below its name, what it is, what it is called.
    """
    for index, key in enumerate(caller.api_key_sha256 or ()):
        yield ("api_key_sha256", index), ("key", key), "the key of"
    for index, san in enumerate(caller.mtls_san or ()):
        yield ("mtls_san", index), ("san", san), "the name of"
    if caller.jwt is not None:
        jwt = caller.jwt
        terms = frozenset(jwt.claims.items())
        yield ("jwt",), ("jwt", jwt.issuer, jwt.audience, terms), "what is asked of tokens of"
    if caller.introspection is not None:
        asked = caller.introspection
        terms = frozenset(asked.claims.items())
        token = ("introspection", asked.issuer, terms, frozenset(asked.scopes))
        yield ("introspection",), token, "what is asked of tokens of"
    if caller.unix is not None:
        for index, uid in enumerate(caller.unix.uid or ()):
            yield ("unix", "uid", index), ("uid", uid), "a user of"
        for index, gid in enumerate(() if caller.unix.uid else caller.unix.gid or ()):
            yield ("unix", "gid", index), ("gid", gid), "a group of"
    if caller.by_network_alone:
        for index, network in enumerate(caller.networks or ()):
            yield ("networks", index), ("network", network), "a network of"


def _issuers(data: Mapping[str, object]) -> Iterator[Finding]:
    for name, caller in written(data, "callers"):
        for way in _TOKENS:
            place = ("callers", name, way, "issuer")
            issuer = look(caller, (way, "issuer"))
            yield from check_name(data, place, issuer, "issuers", "issuer")
            settings = look(data, ("issuers", issuer)) if isinstance(issuer, str) else None
            if way == "introspection" and isinstance(settings, dict) and way not in settings:
                yield Finding(
                    place,
                    "is an issuer that cannot be asked about tokens",
                    "write introspection: {key_file: PATH}, or client_id with client_secret, there",
                )


def _listeners(data: Mapping[str, object], callers: Mapping[str, Caller]) -> Iterator[Finding]:
    """
    Yield ways to be known that no listener offers.
    """
    listen = data.get("listen")
    addresses = [listen, *(each.get("address") for _, each in written(data, "listen"))]
    local = any(isinstance(each, str) and each.startswith("unix:") for each in addresses)
    asks = any(look(each, ("tls", "client_ca_file")) for _, each in written(data, "listen"))
    for name, caller in callers.items():
        if caller.mtls_san is not None and not asks:
            yield Finding(
                ("callers", name, "mtls_san"),
                "cannot be shown: no listener asks for a certificate",
                "write tls: {client_ca_file: PATH, …} on one",
            )
        if caller.unix is not None and not local:
            yield Finding(
                ("callers", name, "unix"),
                "cannot be known: no listener is a Unix socket",
                "write address: unix:/run/authproxy/proxy.sock for one",
            )


def _modes(data: Mapping[str, object]) -> Iterator[Finding]:
    for section in ("listen", "routes"):
        for index, settings in written(data, section):
            if settings.get("mode") == "report" and "callers" not in settings:
                yield Finding(
                    (section, index, "mode"),
                    "means nothing without callers",
                    "write callers: [NAME, …] beside it, or remove it",
                )

"""
Settings → registry.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from proxy.callers.connection import Connections, Owner
from proxy.callers.credential import Keys, Likeness, Vouched
from proxy.callers.registry import Registry
from proxy.callers.verifier import PENDING
from proxy.errors import CallerCheckUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.callers.verifier import Pending, Verifier
    from proxy.config.caller import Caller
    from proxy.config.model import Settings
    from proxy.core.clock import Clock

_ALL_BELOW: Final = "/*"


class Way(NamedTuple):
    """
    A way to verify tokens.

    Attributes:
        kind: `jwt`: by the issuer's keys; `introspection`: by asking it.
        issuer: What proxy.yaml calls the issuer.
    """

    kind: Literal["jwt", "introspection"]
    issuer: str


class NobodyToAsk:
    """
    Stands where a configuration is served without what would verify tokens: nobody is let in by one.
    """

    def look(self, _: bytes) -> Pending:
        """
        Return that somebody must be asked.
        """
        return PENDING

    async def ask(self, _: bytes) -> Mapping[str, object] | None:
        """
        Refuse.

        Raises:
            CallerCheckUnavailable: Always.
        """
        raise CallerCheckUnavailable("nothing here verifies callers' tokens")


def ways(settings: Settings) -> tuple[Way, ...]:
    """
    Return the ways to verify tokens that these settings need, JWTs first.
    """
    jwt, asked = [], []
    for caller in settings.callers.values():
        if caller.jwt is not None:
            jwt.append(Way("jwt", caller.jwt.issuer))
        if caller.introspection is not None:
            asked.append(Way("introspection", caller.introspection.issuer))
    return tuple(dict.fromkeys((*jwt, *asked)))


def compile_registry(
    settings: Settings, verifiers: Mapping[Way, Verifier], clock: Clock
) -> Registry:
    """
    Return the callers of these settings.

    Args:
        settings: The checked settings.
        verifiers: What verifies tokens in each of the `ways`; nobody is let in by what is not here.
        clock: What time it is.
    """
    callers = settings.callers
    nobody = NobodyToAsk()
    return Registry(
        clock,
        Keys(
            MappingProxyType(
                {
                    bytes.fromhex(digest): name
                    for name, caller in callers.items()
                    for digest in caller.api_key_sha256 or ()
                }
            )
        ),
        tuple(
            Vouched(verifiers.get(way, nobody), tuple(_likenesses(settings, way)))
            for way in ways(settings)
        ),
        _connections(callers),
        MappingProxyType(
            {name: each.networks for name, each in callers.items() if each.networks is not None}
        ),
    )


def _likenesses(settings: Settings, way: Way) -> list[Likeness]:
    found = []
    for name, caller in settings.callers.items():
        jwt, asked = caller.jwt, caller.introspection
        if way.kind == "jwt" and jwt is not None and jwt.issuer == way.issuer:
            found.append(Likeness(name, jwt.audience, tuple(jwt.claims.items())))
        elif way.kind == "introspection" and asked is not None and asked.issuer == way.issuer:
            claims = tuple(asked.claims.items())
            found.append(Likeness(name, None, claims, frozenset(asked.scopes)))
    return sorted(found, key=lambda each: -each.weight)


def _connections(callers: Mapping[str, Caller]) -> Connections:
    names, below = {}, []
    for name, caller in callers.items():
        for san in caller.mtls_san or ():
            if san.endswith(_ALL_BELOW):
                below.append((san[:-1], name))
            else:
                names[san] = name
    networks = [
        (network, name)
        for name, caller in callers.items()
        if caller.by_network_alone
        for network in caller.networks or ()
    ]
    return Connections(
        MappingProxyType(names),
        tuple(sorted(below, key=lambda pair: -len(pair[0]))),
        tuple(sorted(_owners(callers), key=lambda owner: not owner.uids)),
        tuple(sorted(networks, key=lambda pair: -pair[0].prefixlen)),
    )


def _owners(callers: Mapping[str, Caller]) -> Iterator[Owner]:
    for name, caller in callers.items():
        if caller.unix is not None:
            yield Owner(name, frozenset(caller.unix.uid or ()), frozenset(caller.unix.gid or ()))

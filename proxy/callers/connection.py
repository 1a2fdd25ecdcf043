"""
Callers known by their connection: the certificate they proved to have, who runs them, where they
connect from.

The nearest wins: a name before a SPIFFE id with all below it, the longest of these first; a user
before a group; the smallest of the networks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from proxy.wire.peer import Peer

# SPIFFE-ID §2: what may stand below a path; no empty segments and no dots that climb.
_BELOW: Final = re.compile(
    r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*"
)

_SPIFFE: Final = "spiffe://"

# RFC 5280 §4.2.1.6: a DNS name is in the preferred name syntax, which knows neither.
_NO_DNS: Final = re.compile(r"[:@/]")


@dataclass(frozen=True, slots=True)
class Owner:
    """
    Who runs a caller on a Unix socket.

    Attributes:
        caller: The caller's name.
        uids: The users; empty for any.
        gids: The main groups; empty for any.
    """

    caller: str
    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def runs(self, uid: int | None, gid: int | None) -> bool:
        """
        Say whether it is this user; nobody is if the system does not tell.
        """
        if uid is None or gid is None:
            return False
        return (not self.uids or uid in self.uids) and (not self.gids or gid in self.gids)


@dataclass(frozen=True, slots=True)
class Connections:
    """
    The callers known by their connections.

    Attributes:
        names: Name in a certificate → the caller's name.
        below: The start of SPIFFE ids and the caller's name, the longest first.
        owners: Who runs callers, those by user first.
        networks: Networks that are all a caller is known by, with its name, the smallest first.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    below: tuple[tuple[str, str], ...] = ()
    owners: tuple[Owner, ...] = ()
    networks: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()

    def owners_of(self, peer: Peer) -> Iterator[str]:
        """
        Yield the callers that this connection may be of, the likeliest first.
        """
        shown = tuple(usable(peer.names))
        yield from (self.names[name] for name in shown if name in self.names)
        for start, caller in self.below:
            if any(is_below(start, name) for name in shown):
                yield caller
        yield from (each.caller for each in self.owners if each.runs(peer.uid, peer.gid))
        yield from (caller for network, caller in self.networks if within(peer.address, network))


def usable(names: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """
    Yield the names of a certificate that callers can be known by.

    A SPIFFE id counts only if it is the certificate's one URI (X.509-SVID §2). A name counts only if
    it has the form of its kind: an authority may check one kind and let another pass as it comes.
    """
    uris = sum(kind == "URI" for kind, _ in names)
    for kind, name in names:
        if kind == "DNS" and not _NO_DNS.search(name):
            yield name.lower()
        elif (kind == "email" and "@" in name and "://" not in name) or (
            kind == "URI" and ":" in name and (uris == 1 or not name.startswith(_SPIFFE))
        ):
            yield name


def is_below(start: str, name: str) -> bool:
    """
    Say whether a SPIFFE id lies below the one that *start*, with its slash, begins.
    """
    return name.startswith(start) and _BELOW.fullmatch(name, len(start)) is not None


def within(address: IPv4Address | IPv6Address | None, network: IPv4Network | IPv6Network) -> bool:
    """
    Say whether an address lies in a network; none lies in no network.
    """
    return address is not None and address.version == network.version and address in network

"""
Which addresses an upstream may turn out to have.

An upstream is written in the configuration, but where its name leads is said by name servers, some
of which belong to others. So each address is judged right before it is dialled, whatever the name
led to a moment ago:

1. The proxy's own listeners are never dialled: a request would come back in, and the admin
   listener knows no callers.
2. What the route's `allow_addresses` holds may be dialled.
3. Cloud metadata, link-local, multicast and unspecified addresses may not.
4. Loopback may only where the upstream says loopback: as an address, or as `localhost`. Another
   name that leads there has been rebound.
5. Everything else may. Private networks too: that is where an egress gateway's upstreams often are.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from proxy.core.address import IP, embedded, kind, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.address import Kind

Network = IPv4Network | IPv6Network

WORDS: Final[dict[Kind, str]] = {
    "metadata": "a cloud's metadata service",
    "link_local": "a link-local address",
    "multicast": "a multicast address",
    "unspecified": "an unspecified address",
}
"""What may not be dialled unless the route says so."""

LOOPBACK: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
"""What `localhost` means to a listener."""

EXCEPTION: Final = "allow_addresses on the route permits it"


@dataclass(frozen=True, slots=True)
class Listening:
    """
    Where this process listens.

    Attributes:
        ip: The address; None for every address of this machine, or if only a name is known.
        version: 4 or 6 if it is every address of that family; 0 for both.
        port: The TCP port.
    """

    ip: IP | None
    port: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """
    What one upstream's addresses may be.

    Attributes:
        host: As the upstream is written: a name, or an address without brackets.
        allowed: What its route permits beyond the rule.
        own: Where this process listens.
        is_local: Says whether an address is one of this machine's own; asked only of addresses
            with the port of a listener at every address.
    """

    host: str
    allowed: tuple[Network, ...] = ()
    own: tuple[Listening, ...] = ()
    is_local: Callable[[IP], bool] = lambda _: False

    def refusal(self, ip: IP, port: int) -> str:
        """
        Return why this address may not be dialled, without naming it; empty if it may.
        """
        which = kind(ip)
        if any(self._meets(listening, ip, port, which) for listening in self.own):
            return "it is this proxy's own listener"
        if self._is_allowed(ip):
            return ""
        leads = "it is" if _literal(self.host) else "the name leads to"
        if which in WORDS:
            return f"{leads} {WORDS[which]}; {EXCEPTION}"
        if which == "loopback" and not says_loopback(self.host):
            return f"{leads} loopback although it is not localhost; {EXCEPTION}"
        return ""

    def _is_allowed(self, ip: IP) -> bool:
        def permitted(one: IP) -> bool:
            return any(one in network for network in self.allowed)

        inner = embedded(ip)
        return permitted(ip) or (bool(inner) and all(map(permitted, inner)))

    def _meets(self, listening: Listening, ip: IP, port: int, which: Kind) -> bool:
        if port != listening.port:
            return False
        ip = plain(ip)
        if listening.ip is not None:
            if which == "unspecified":  # the kernel takes it for loopback's
                return kind(listening.ip) == "loopback"
            return ip == listening.ip
        if listening.version not in (0, ip.version):
            return False
        return which in ("loopback", "unspecified") or self.is_local(ip)


def says_loopback(host: str) -> bool:
    """
    Return whether a host says that it is this machine: a loopback address, or a name that always
    means one (RFC 6761 §6.3).
    """
    ip = _literal(host)
    if ip is not None:
        return kind(ip) == "loopback"
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def listening(host: str, port: int) -> tuple[Listening, ...]:
    """
    Return where a listener at this host and port listens.
    """
    ip = _literal(host)
    if ip is None and says_loopback(host):
        return tuple(Listening(each, port) for each in LOOPBACK)
    if ip is None:
        return (Listening(None, port),)  # whichever of this machine's addresses the name means
    if kind(ip) == "unspecified":
        return (Listening(None, port, plain(ip).version),)
    return (Listening(plain(ip), port),)


def _literal(host: str) -> IP | None:
    try:
        return ip_address(host)
    except ValueError:
        return None

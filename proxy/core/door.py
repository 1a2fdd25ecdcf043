"""
Whether a listener takes a request at all: by its Host, by what browsers add, by a header it wants.

A listener without callers trusts whoever can connect. On loopback that includes the browser of
whoever works there, and so every page it shows. What such a page sends can be told:

- What a page sends to another origin says so: `Sec-Fetch-Site` (to https and to loopback by
  address or `localhost`), `Origin` (all but simple GETs, WebSockets too).
- A page whose *own* name was rebound to this machine is at its own origin. Its plain GET brings
  neither header: `Sec-Fetch-Site` is not sent to http:// under another name (Fetch Metadata §2),
  and a GET within an origin has no `Origin`. All that tells is `Host`, which names the page's
  site. So without a list of its own such a listener answers to what no page's owner can have
  (`Door.unclaimable`), and to the names its routes speak of. That leaves out names of the public
  DNS alone: those a service is known by must be listed, or be in a route.

Pages can set none of these headers themselves (Fetch §2.2.2, forbidden request-headers).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from proxy.core.address import embedded, kind
from proxy.core.headers import ORIGIN, SEC_FETCH_SITE
from proxy.core.target import PORTS, parse_host
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address

    from proxy.core.target import Authority

TELLING: Final = frozenset((ORIGIN, SEC_FETCH_SITE))

# Fetch Metadata §2.2: from a page of this very origin; by a person, not a page
HARMLESS_SITES: Final = frozenset((b"same-origin", b"none"))

# Never in the public DNS: RFC 6761 §6, RFC 6762 §3, RFC 8375 §3, and ICANN's resolution
# 2024.07.29.06 for .internal
RESERVED: Final = (
    b".localhost",
    b".internal",
    b".local",
    b".test",
    b".example",
    b".invalid",
    b".home.arpa",
)

HOSTS: Final = 256
"""How many Host values are remembered with what became of them; callers choose them."""

LONGEST_REMEMBERED: Final = 262
"""Bytes of a Host value worth remembering: a name of 255 (RFC 1035 §2.3.4) and a port."""

LONGEST_SHOWN: Final = 100
"""Bytes of a host that go to the log."""

LOCALHOST: Final = b"localhost"

PAGE: Final = "a browser's page sent it; browsers: allow on the listener lets those in"


@dataclass(frozen=True, slots=True)
class Door:
    """
    What a listener asks of each request.

    Attributes:
        names: Hosts it answers to, in lower case; None for all.
        suffixes: The same of all hosts that end so, each with its dot.
        unclaimable: It also answers to hosts that are nobody's in the public DNS.
        own: Hosts that the proxy is known by here, in lower case.
        browsers: It takes what pages send.
        required: Lower-case name and value of a header every request must bring.
    """

    names: frozenset[bytes] | None = None
    suffixes: tuple[bytes, ...] = ()
    unclaimable: bool = False
    own: frozenset[bytes] = frozenset()
    browsers: bool = False
    required: tuple[bytes, bytes] | None = None
    _judged: dict[bytes, str] = field(default_factory=dict, repr=False, compare=False)

    def refusal(self, host: bytes, aside: Iterable[tuple[bytes, bytes, int]]) -> str:
        """
        Return why a request is not taken; empty if it is.

        Args:
            host: The Host header's value; empty without one.
            aside: Lower-case name and value of the headers that were set aside.
        """
        why = self._judged.get(host)
        if why is None:
            why = self._judge(host)
        return why or self.unmannerly(aside)

    def unmannerly(self, aside: Iterable[tuple[bytes, bytes, int]]) -> str:
        """
        Return why a request is not taken, whatever its host; empty if it is.

        That is all there is to ask in forward mode: no page can send an absolute-form to what its
        browser does not use as a proxy, and which hosts are answered for is for the routes to say.

        Args:
            aside: As for `refusal`.
        """
        if not self.browsers:
            for name, value, _ in aside:
                if name in TELLING and (name == ORIGIN or value not in HARMLESS_SITES):
                    return PAGE
        return "" if self.required is None else _misses(self.required, aside)

    def is_own(
        self,
        asked: Authority,
        local: tuple[bytes, int] | None,
        is_routed: Callable[[Authority], bool],
    ) -> bool:
        """
        Return whether an absolute-form target asks for the proxy itself, as if it were the server
        (RFC 9112 §3.2.2): by the address it is connected to, or by a name of its own that no route
        is for.

        Args:
            asked: Whom it asks for.
            local: The proxy's address and port of this connection; None on a Unix socket.
            is_routed: Says whether a route is for a host and port in forward mode.
        """
        address = _address(asked.host)
        loopback = asked.host == LOCALHOST or (address is not None and address.is_loopback)
        if local is not None and asked.port == local[1]:
            here = _address(local[0])
            if here is not None and (
                address == here or (asked.host == LOCALHOST and here.is_loopback)
            ):
                return True
        elif loopback or asked.port != PORTS[asked.scheme]:
            return False  # another program's port on this machine, or somewhere else's
        return asked.host in self.own and not is_routed(asked)

    def _judge(self, host: bytes) -> str:
        if self.names is None or self._answers_to(host, self.names):
            why = ""
        else:
            shown = host[:LONGEST_SHOWN].decode("ascii", "replace")
            why = f"the listener does not answer to the host {shown or '(none)'}; add it to hosts"
        if len(host) <= LONGEST_REMEMBERED:
            if len(self._judged) >= HOSTS:
                self._judged.clear()
            self._judged[host] = why
        return why

    def _answers_to(self, field: bytes, names: frozenset[bytes]) -> bool:
        try:
            host = parse_host(field) if field else b""
        except BadRequest:
            return True  # it is answered as what it is
        if host in names or host.endswith(self.suffixes):
            return True
        return self.unclaimable and unclaimable(host)


def _misses(required: tuple[bytes, bytes], aside: Iterable[tuple[bytes, bytes, int]]) -> str:
    wanted, right = required
    brought = b",".join(value for name, value, _ in aside if name == wanted)
    if hmac.compare_digest(brought, right):
        return ""
    return f"it does not bring the {wanted.decode()} that the listener requires"


def _address(host: bytes) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(host.decode("ascii").strip("[]"))
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def unclaimable(host: bytes) -> bool:
    """
    Return whether nobody can make a browser take this host for a site of theirs: an address, a
    name without a dot, a name under an end that is never in the public DNS, none at all.

    But for 0.0.0.0, [::] and IPv4 addresses within IPv6 ones, which reach loopback though browsers
    do not know it, and so send no `Sec-Fetch-Site` there.

    Args:
        host: In lower case, without port and final dot.
    """
    try:
        ip = ip_address(host.decode("ascii").strip("[]"))
    except ValueError:
        return b"." not in host or host.endswith(RESERVED)
    return not embedded(ip) and kind(ip) != "unspecified"

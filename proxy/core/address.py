"""
What kind of IP address this is: one word for each, whatever form it is written in.

An IPv6 address may carry an IPv4 address that a translator or tunnel on the way takes out again, so
that one is looked at first. Where it can stand in several places, all are read, and the reading
that is dangerous in the most ways counts.

The tables are ours rather than `ipaddress.is_global`: several Pythons in use call the metadata
addresses of clouds, multicast and translated addresses global.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Literal

IP = IPv4Address | IPv6Address

Kind = Literal[
    "metadata",
    "link_local",
    "unspecified",
    "multicast",
    "loopback",
    "shared",
    "private",
    "reserved",
    "global",
]

RANK: Final[tuple[Kind, ...]] = (
    "metadata",
    "link_local",
    "unspecified",
    "multicast",
    "loopback",
    "shared",
    "private",
    "reserved",
    "global",
)
"""The most dangerous first."""

# Where clouds hand their machines' credentials to whoever asks; AWS (EC2, ECS, EKS), Google, Azure
# and Oracle share the first. The first network that holds an address decides.
V4: Final[tuple[tuple[IPv4Network, Kind], ...]] = (
    (IPv4Network("169.254.169.254/32"), "metadata"),
    (IPv4Network("169.254.170.2/32"), "metadata"),  # AWS ECS: credentials of a task
    (IPv4Network("169.254.170.23/32"), "metadata"),  # AWS EKS: credentials of a pod
    (IPv4Network("100.100.100.200/32"), "metadata"),  # Alibaba
    (IPv4Network("168.63.129.16/32"), "metadata"),  # Azure: agent and WireServer
    (IPv4Network("192.0.0.192/32"), "metadata"),  # Oracle, first generation
    # IANA IPv4 Special-Purpose Address Registry (RFC 6890)
    (IPv4Network("0.0.0.0/8"), "unspecified"),  # "this network"; 0.0.0.0 reaches loopback
    (IPv4Network("10.0.0.0/8"), "private"),
    (IPv4Network("100.64.0.0/10"), "shared"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("169.254.0.0/16"), "link_local"),
    (IPv4Network("172.16.0.0/12"), "private"),
    (IPv4Network("192.0.0.0/24"), "reserved"),
    (IPv4Network("192.0.2.0/24"), "reserved"),
    (IPv4Network("192.88.99.0/24"), "reserved"),
    (IPv4Network("192.168.0.0/16"), "private"),
    (IPv4Network("198.18.0.0/15"), "reserved"),
    (IPv4Network("198.51.100.0/24"), "reserved"),
    (IPv4Network("203.0.113.0/24"), "reserved"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("255.255.255.255/32"), "multicast"),  # broadcast: to more than one, too
    (IPv4Network("240.0.0.0/4"), "reserved"),
)

V6: Final[tuple[tuple[IPv6Network, Kind], ...]] = (
    (IPv6Network("fd00:ec2::/32"), "metadata"),  # AWS: …::254 EC2, …::23 EKS
    (IPv6Network("fd20:ce::254/128"), "metadata"),  # Google
    (IPv6Network("fd00:c1::a9fe:a9fe/128"), "metadata"),  # Oracle
    (IPv6Network("fd00:100::100:200/128"), "metadata"),  # Alibaba
    (IPv6Network("fd00:42::42/128"), "metadata"),  # Scaleway
    # IANA IPv6 Special-Purpose Address Registry (RFC 6890)
    (IPv6Network("::1/128"), "loopback"),
    (IPv6Network("::/128"), "unspecified"),
    (IPv6Network("fe80::/10"), "link_local"),
    (IPv6Network("fec0::/10"), "private"),  # site-local, given up by RFC 3879
    (IPv6Network("fc00::/7"), "private"),
    (IPv6Network("ff00::/8"), "multicast"),
    (IPv6Network("2001::/23"), "reserved"),
    (IPv6Network("2001:db8::/32"), "reserved"),
    (IPv6Network("3fff::/20"), "reserved"),
    (IPv6Network("2000::/3"), "global"),  # RFC 4291 §2.4: all that is handed out
)

# Where an IPv4 address stands in an IPv6 one: the numbers of its four bytes in each reading.
EMBEDDED: Final[tuple[tuple[IPv6Network, tuple[tuple[int, int, int, int], ...]], ...]] = (
    (IPv6Network("::ffff:0:0/96"), ((12, 13, 14, 15),)),  # mapped, RFC 4291 §2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), ((12, 13, 14, 15),)),  # translated, RFC 2765 §2.1
    (IPv6Network("::/96"), ((12, 13, 14, 15),)),  # compatible, RFC 4291 §2.5.5.1
    (IPv6Network("64:ff9b::/96"), ((12, 13, 14, 15),)),  # NAT64, RFC 6052 §2.1
    # NAT64 as a network sees fit (RFC 8215), with any of the prefix lengths of RFC 6052 §2.2 that
    # fit in; byte 8 is always skipped
    (
        IPv6Network("64:ff9b:1::/48"),
        ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15)),
    ),
    (IPv6Network("2002::/16"), ((2, 3, 4, 5),)),  # 6to4, RFC 3056 §2
)
TEREDO: Final = IPv6Network("2001::/32")
"""RFC 4380 §4: a server in bytes 4 to 7, a client with all bits turned in the last four."""

NEITHER: Final = (IPv6Address("::"), IPv6Address("::1"))
"""In the range of the compatible ones, and none of them."""


def kind(ip: IP) -> Kind:
    """
    Return what kind of address this is; a scope id makes no difference.
    """
    kinds = [_found(each) for each in embedded(ip)] or [_found(ip)]
    return min(kinds, key=RANK.index)


def embedded(ip: IP) -> tuple[IPv4Address, ...]:
    """
    Return the IPv4 addresses that *ip* may stand for; none if it stands for itself.
    """
    if ip.version == 4 or IPv6Address(int(ip)) in NEITHER:
        return ()
    packed = ip.packed
    if ip in TEREDO:
        client = bytes(255 - byte for byte in packed[12:])
        return IPv4Address(packed[4:8]), IPv4Address(client)
    for network, places in EMBEDDED:
        if ip in network:
            found = [IPv4Address(bytes(packed[at] for at in place)) for place in places]
            # Several readings: those that come out as 0.x.y.z are not how it is meant
            meant = [each for each in found if each.packed[0]] if len(found) > 1 else found
            return tuple(meant or found)
    return ()


def plain(ip: IP) -> IP:
    """
    Return the address in the form the kernel dials it: IPv4 if it is mapped, no scope id.
    """
    if isinstance(ip, IPv4Address):
        return ip
    return ip.ipv4_mapped or IPv6Address(int(ip))


def _found(ip: IP) -> Kind:
    table = V4 if isinstance(ip, IPv4Address) else V6
    for network, word in table:
        if ip in network:
            return word
    return "global" if ip.version == 4 else "reserved"

"""
Addresses and URLs: where to listen, where to go. No name is looked up here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from proxy.config.section import wrong

# sun_path in Linux's unix(7) is 108 bytes with its final NUL.
_MAX_SOCKET_PATH: Final = 107

_TCP: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")

# RFC 3986 §3.3 pchar, and "/" between segments.
PATH: Final = r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"

# RFC 4632 §3.1, RFC 4291 §2.3: an address, and how many of its bits count
NETWORK: Final = r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?"

# RFC 3986 appendix B, cut down to URLs with an authority.
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?")
_AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{0,5}))?"
)
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """
    Where to listen on the network.

    Attributes:
        host: Name or IP address without brackets.
        port: 0 to 65535; 0 takes any free port.
    """

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """
        Whether only this machine can connect.
        """
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """
    Where to listen on a Unix socket.
    """

    path: Path

    @property
    def loopback(self) -> bool:
        """
        Whether only this machine can connect: always.
        """
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Url:
    """
    An http(s) URL without userinfo, query and fragment.

    Attributes:
        text: What was written, byte for byte.
        scheme: `http` or `https`.
        host: In lower case, without brackets.
        port: 1 to 65535; the scheme's own if none was written.
        path: As written: empty, or from its first `/`.
    """

    text: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """
        The `Host` header for this URL: no port if it is the scheme's own.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """
        Scheme, host and port in one spelling, for comparing.
        """
        return f"{self.scheme}://{self.authority}"

    @property
    def loopback(self) -> bool:
        """
        Whether the host is this machine.
        """
        return is_loopback(self.host)

    def __str__(self) -> str:
        return self.text


def is_loopback(host: str) -> bool:
    """
    Tell whether *host* is `localhost` or a loopback IP address; no name is looked up.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def parse_address(value: object) -> Address:
    """
    Return the address for `host:port`, `[v6]:port` or `unix:/path`.
    """
    if not isinstance(value, str):
        raise wrong("is no address", "write 127.0.0.1:8080 or unix:/run/authproxy/proxy.sock")
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or path.endswith("/"):
            raise wrong(
                "is no socket's path", "write it from the root: unix:/run/authproxy/proxy.sock"
            )
        if len(path.encode()) > _MAX_SOCKET_PATH:
            raise wrong(
                f"is longer than a socket's path may be ({_MAX_SOCKET_PATH} bytes)", "shorten it"
            )
        return UnixAddress(Path(path))
    if value.startswith((":", "*:")):
        raise wrong(
            "names no host", "write 127.0.0.1:PORT for this machine only, 0.0.0.0:PORT for all"
        )
    found = _TCP.fullmatch(value)
    if found is None or int(found[3]) > 65535 or not _host_ok(found[1], found[2]):
        raise wrong("is no address", "write host:port, [::1]:port or unix:/path")
    return TcpAddress(found[1] or found[2], int(found[3]))


def parse_admin(value: object) -> Address | None:
    """
    Return the address, or None for `off`.
    """
    if value == "off":
        return None
    if isinstance(value, bool):
        raise wrong("is no address", 'write an address, or "off"')
    return parse_address(value)


def parse_network(value: object) -> Network:
    """
    Return the network for `10.0.0.0/8` or `fd00::/8`; one address alone is a network of its own.
    """
    if not isinstance(value, str) or not re.fullmatch(NETWORK, value):
        raise wrong("is no network", "write it like 10.0.0.0/8 or fd00::/8")
    try:
        network = ip_network(value, strict=False)
        if network.network_address == ip_address(value.partition("/")[0]):
            return network
    except ValueError:
        raise wrong("is no network", "write it like 10.0.0.0/8 or fd00::/8") from None
    raise wrong(f"is no network's first address with /{network.prefixlen}", f"write {network}")


def parse_url(value: object) -> Url:
    """
    Return the parts of an http(s) URL; userinfo, query and fragment are refused.

    Source: RFC 3986 §3; RFC 9110 §4.2.4 (no userinfo). Its host is not looked up.
    """
    if not isinstance(value, str):
        raise wrong("is no URL", "write https://host or https://host:port/path")
    found = _URL.fullmatch(value)
    if found is None:
        raise wrong("is no URL", "write it with its scheme: https://host")
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if scheme not in _PORTS:
        raise wrong("has a scheme other than https and http", "write https://host")
    if "@" in authority:
        raise wrong("holds a user name or password", "remove everything up to the @")
    if found[4] or found[5]:
        raise wrong("holds a query or fragment", "remove everything from the ? or # on")
    host = _AUTHORITY.fullmatch(authority)
    if host is None or not _host_ok(host[1], host[2]):
        raise wrong(
            "has no usable host",
            "write https://host or https://host:port (xn--… for other scripts)",
        )
    port = int(host[3]) if host[3] else _PORTS[scheme]
    if not 1 <= port <= 65535:
        raise wrong("has no usable port", "write one from 1 to 65535")
    if path:
        parse_path(path)
    return Url(value, scheme, (host[1] or host[2]).lower(), port, path)


def parse_path(value: object) -> str:
    """
    Return the path unchanged if it starts with `/` and is spelled as RFC 3986 §3.3 wants.
    """
    if not isinstance(value, str) or not value.startswith("/"):
        raise wrong("is no path", "start it with /")
    if not re.fullmatch(PATH, value):
        raise wrong(
            "holds a character that cannot stand in a path", "write it as %XX, without ? and #"
        )
    decoded = re.sub("%2[eE]", ".", value)
    if any(segment in {".", ".."} for segment in decoded.split("/")):
        raise wrong('holds a "." or ".." segment', "write the path it stands for")
    return value


def _host_ok(bracketed: str | None, name: str | None) -> bool:
    try:
        if bracketed is not None:
            IPv6Address(bracketed)
        elif name is not None and re.fullmatch(r"[0-9.]+", name):
            IPv4Address(name)
    except ValueError:
        return False
    return True

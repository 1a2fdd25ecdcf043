"""
Which issuer a request is meant for: computed from its headers, never configured.

A forwarding header that leaks through a proxy therefore picks another instance (404) or, with the
right name and a wrong port or scheme, another issuer (every assertion's audience is wrong).

Source: ZITADEL internal/api/http/middleware/origin_interceptor.go and instance_interceptor.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multidict import CIMultiDictProxy

# In the order ZITADEL looks; the first that names a host wins. Those marked True are read as
# RFC 7239 `Forwarded`, even X-Forwarded-For.
HOST_HEADERS = (
    ("x-zitadel-instance-host", False),
    ("Forwarded", True),
    ("x-zitadel-forwarded", True),
    ("X-Forwarded-For", True),
    ("X-Forwarded-Host", False),
)

# RFC 7239 §4: forwarded-pair = token "=" value.
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*("[^"]*"|[^;,"\s]*)\s*')


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a request thinks it is.

    Attributes:
        scheme: `http` or `https`.
        instance_host: Host that picks the instance, with port if one was given.
        public_host: Host the instance was asked to show as its own; empty if none.
    """

    scheme: str
    instance_host: str
    public_host: str = ""

    @property
    def issuer(self) -> str:
        """
        The issuer identifier: no path, no trailing slash, port as given.
        """
        return f"{self.scheme}://{self.public_host or self.instance_host}"

    def __str__(self) -> str:
        return f"&{{{self.instance_host} {self.public_host} {self.scheme}}}"

    def within(self, domains: Iterable[str], trusted: Iterable[str]) -> bool:
        """
        Tell whether this instance is meant; ports do not count.

        Args:
            domains: The instance's own host names.
            trusted: Further names it may show itself under.
        """
        own = {name.lower() for name in domains}
        if _domain(self.instance_host) not in own:
            return False
        shown = _domain(self.public_host)
        return not shown or shown in own | {name.lower() for name in trusted}


def origin_of(headers: CIMultiDictProxy[str], *, secure: bool) -> Origin:
    """
    Return the origin a request's headers describe.

    Args:
        headers: The request's headers.
        secure: Whether the instance is known to be served by https from outside.
    """
    scheme = "https" if secure else _scheme(headers)
    host = ""
    for name, structured in HOST_HEADERS:
        value = headers.get(name, "")
        host = _forwarded(value, "host") if structured else value.split(",")[0].strip()
        if host:
            break
    public = headers.get("x-zitadel-public-host", "").split(",")[0].strip()
    return Origin(scheme, host or headers.get("Host", ""), public)


def _scheme(headers: CIMultiDictProxy[str]) -> str:
    proto = (
        _forwarded(headers.get("Forwarded", ""), "proto")
        or headers.get("X-Forwarded-Proto", "").split(",")[0].strip()
    )
    return "https" if proto.lower() == "https" else "http"


def _forwarded(value: str, wanted: str) -> str:
    for name, text in _PAIR.findall(value):
        if name.lower() == wanted:
            return str(text.strip('"'))
    return ""


def _domain(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()

"""
What a private proxy makes of a configuration.

Routes, service users, issuers, limits and timeouts stay. The rest is about serving others:

- One listener, a Unix socket in a folder of its owner's alone, takes the place of `listen`. Nobody
  is asked who calls: whoever may read the credentials may use them. `callers` go, on routes too.
  What a browser's page sends is refused as ever, and so is a host that no route speaks of.
- `admin` is off, and `audit` and `traces` write nothing: they belong to the proxy that serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.audit import Audit
from proxy.config.exchange_user import TokenExchange
from proxy.config.log import Log
from proxy.config.model import Listener
from proxy.config.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from proxy.config.model import Settings
    from proxy.config.route import Route
    from proxy.config.service_user import ServiceUser

OWN_HOST: Final = "authproxy.internal"
"""The host that means the proxy itself, also where a URL is asked for in forward mode."""

BASE_HOSTS: Final = ("127.0.0.1", "localhost")
"""What a base URL on this machine calls it."""


def private_settings(
    settings: Settings, socket: Path, users: Collection[str] | None = None
) -> Settings:
    """
    Return the settings of a private proxy.

    Args:
        settings: Those of the configuration.
        socket: Where it listens.
        users: The service users that are wanted, and with them their routes; None for all that
            routes name. For no other anything is minted.
    """
    routes = tuple(
        entry.model_copy(update={"callers": None})
        for entry in settings.routes
        if users is None or entry.service_user in users
    )
    hosts = dict.fromkeys((OWN_HOST, *BASE_HOSTS, *_spoken_of(routes)))
    listener = Listener.model_validate({"address": f"unix:{socket}", "hosts": [*hosts]})
    return settings.model_copy(
        update={
            "listen": (listener,),
            "admin": None,
            "admin_key_sha256": None,
            "audit": Audit(),
            "log": Log(format="json"),
            "traces": Traces(otlp_endpoint="off"),
            "callers": {},
            "service_users": _needed(settings.service_users, routes),
            "routes": routes,
        }
    )


def _spoken_of(routes: Iterable[Route]) -> Iterable[str]:
    """
    Return the hosts that routes match, and those of their upstreams, as `hosts` spells them.
    """
    for entry in routes:
        if entry.match.host is not None:
            yield entry.match.host
        host = entry.upstream.host
        yield f"[{host}]" if ":" in host else host


def _needed(users: Mapping[str, ServiceUser], routes: Iterable[Route]) -> dict[str, ServiceUser]:
    """
    Return the service users of routes, and those whose tokens they exchange.
    """
    found: set[str] = set()
    ahead = [entry.service_user for entry in routes]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        user = users[name]
        if isinstance(user, TokenExchange):
            parties = (user.subject, user.actor)
            ahead += [each.service_user for each in parties if each and each.service_user]
    return {name: user for name, user in users.items() if name in found}

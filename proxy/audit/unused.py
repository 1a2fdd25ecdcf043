"""
What nobody needs, and somebody could find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.audit.rule import Hit
from proxy.config.exchange_user import TokenExchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence
    from proxy.config.model import Settings


def parties(settings: Settings) -> frozenset[str]:
    """
    Return the service users whose tokens others exchange.
    """
    users = settings.service_users.values()
    exchanges = [user for user in users if isinstance(user, TokenExchange)]
    named = [party for user in exchanges for party in (user.subject, user.actor) if party]
    return frozenset(party.service_user for party in named if party.service_user is not None)


def service_user(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each service user as whom nothing is requested.
    """
    settings = evidence.settings
    used = {route.service_user for route in settings.routes} | parties(settings)
    for name in settings.service_users:
        if name not in used:
            yield Hit(("service_users", name), "no route uses it", "remove it, and its credential")


def issuer(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each issuer without a service user, and without a caller whose tokens are its.
    """
    settings = evidence.settings
    used = {user.issuer for user in settings.service_users.values()}
    for each in settings.callers.values():
        used |= {way.issuer for way in (each.jwt, each.introspection) if way is not None}
    for name in settings.issuers:
        if name not in used:
            yield Hit(("issuers", name), "no service user and no caller is of it", "remove it")


def caller(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each caller that no listener and no route names.
    """
    settings = evidence.settings
    lists = [listener.callers or () for listener in settings.listen]
    lists += [route.callers or () for route in settings.routes]
    used = {name for names in lists for name in names}
    for name in settings.callers:
        if name not in used:
            yield Hit(("callers", name), "no listener and no route names this caller", "remove it")

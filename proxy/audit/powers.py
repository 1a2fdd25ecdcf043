"""
What tokens can do, and who shares them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from ipaddress import ip_address
from itertools import combinations
from typing import TYPE_CHECKING, Final

from proxy.audit.rule import Hit
from proxy.audit.unused import parties
from proxy.config.key_user import SystemJwt
from proxy.config.lint import lint, reaches_apis
from proxy.config.minted import API_AUDIENCE, AUDIENCE_PREFIX, Minted
from proxy.core.admit import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Place
    from proxy.config.route import Route

ROLES_EVERYWHERE: Final = "urn:zitadel:iam:org:projects:roles"
"""Puts the user's roles in every project of the token's audience into the token."""

SHOWN: Final = 4
"""Domains that one finding names."""


def _routes_of(evidence: Evidence) -> Mapping[str, list[Route]]:
    by_user: dict[str, list[Route]] = defaultdict(list)
    for route in evidence.settings.routes:
        by_user[route.service_user].append(route)
    return by_user


def domain(host: str) -> str:
    """
    Return the last two labels of a host; an address, and a name of one label, is its own.

    A heuristic, without a list of public suffixes: two owners below one such as `co.uk` count as
    one here.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        return ".".join(host.rstrip(".").split(".")[-2:])


def unrelated_domains(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each service user whose token goes to upstreams of different owners, as far as names tell.
    """
    for name, routes in _routes_of(evidence).items():
        hosts = (route.upstream.host for route in routes if not route.upstream.loopback)
        domains = list(dict.fromkeys(map(domain, hosts)))
        if len(domains) > 1:
            shown = ", ".join(domains[:SHOWN]) + (", …" if len(domains) > SHOWN else "")
            yield Hit(
                ("service_users", name),
                f"its token goes to domains that seem to have different owners: {shown} (judged by the last two parts of their names)",
                "make a service user for each, with the audience it needs",
            )


def unrelated_callers(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each service user that callers share who share no route.
    """
    for name, routes in _routes_of(evidence).items():
        groups = [set(route.callers) for route in routes if route.callers is not None]
        named = [group for group in groups if ANONYMOUS not in group]
        if any(one.isdisjoint(two) for one, two in combinations(named, 2)):
            yield Hit(
                ("service_users", name),
                "callers that have no route in common act as this one user",
                "make a service user for each group of callers",
            )


def idle_scope(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each scope that the issuer drops without a word.
    """
    for found in lint(evidence.settings):
        if len(found.place) == 4 and found.place[2] == "scopes":
            yield Hit(found.place, found.what, found.instead)


def _scopes(evidence: Evidence, wanted: str) -> Iterator[tuple[str, Place]]:
    """
    Yield the service users that ask for a scope, with where it is written.
    """
    project = re.fullmatch(f"{AUDIENCE_PREFIX}(.+):aud", wanted)
    for name, user in evidence.settings.service_users.items():
        if not isinstance(user, Minted):
            continue
        place: Place = ("service_users", name)
        if wanted in user.scopes:
            yield name, (*place, "scopes", user.scopes.index(wanted))
        elif project and project[1] in user.audience_projects:
            index = user.audience_projects.index(project[1])
            yield name, (*place, "audience_projects", index)


def broad_scope(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each request for roles in all projects at once.
    """
    for _, place in _scopes(evidence, ROLES_EVERYWHERE):
        yield Hit(
            place,
            "the token shows each upstream this user's roles in all projects it is for",
            "write urn:zitadel:iam:org:project:role:KEY for the roles that are needed",
        )


def idle_power(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each token that is good for ZITADEL's APIs and never goes there.

    Service users without a route are another rule's; of those whose token is exchanged the
    exchange decides.
    """
    settings = evidence.settings
    by_user = _routes_of(evidence)
    exchanged = parties(settings)
    for name, place in _scopes(evidence, API_AUDIENCE):
        routes = by_user.get(name, [])
        if name in exchanged or not routes:
            continue
        if not any(reaches_apis(settings, route) for route in routes):
            yield Hit(
                place,
                "its upstreams get a token that is good for ZITADEL's APIs, which no route of its leads to",
                "remove this scope",
            )


def system_user(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each system user.
    """
    for name, user in evidence.settings.service_users.items():
        if isinstance(user, SystemJwt):
            yield Hit(
                ("service_users", name, "method"),
                "its tokens are good for the System API, which stands above every instance",
                "write method: private_key_jwt with a service user of the one instance, where that is enough",
            )

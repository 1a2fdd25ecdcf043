"""
What is allowed but doubtful: a warning each, never a reason to refuse.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from proxy.config.client_user import ClientCredentials
from proxy.config.door import own_listeners
from proxy.config.draft import Finding, Place
from proxy.config.exchange_user import TokenExchange
from proxy.config.files import of_user
from proxy.config.key_user import SystemJwt
from proxy.config.minted import API_AUDIENCE, AUDIENCE_PREFIX, Minted
from proxy.core.admit import ANONYMOUS
from proxy.core.destination import Destination
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.model import Settings
    from proxy.config.route import Route
    from proxy.core.destination import Listening

# ZITADEL's reserved scopes; whatever else starts like one is dropped without an error.
_RESERVED: Final = re.compile(
    r"urn:zitadel:iam:(?:"
    r"user:metadata|user:resourceowner|org:projects:roles"
    r"|org:project:id:[^:]+:aud|org:project:role:.+"
    r"|org:id:.+|org:domain:primary:.+|org:roles:id:.+)"
)

_URN: Final = "urn:zitadel:"
_CLOUD: Final = ".zitadel.cloud"

# Where ZITADEL serves its APIs: REST v1 and v2, Connect and gRPC-Web, SCIM, assets.
_API_PATHS: Final = (
    "/admin/v1/", "/assets/v1/", "/auth/v1/", "/management/v1/", "/scim/v2/", "/system/v1/",
    "/v2/", "/v2beta/", "/zitadel.",
)  # fmt: skip


def lint(settings: Settings) -> Iterator[Finding]:
    """
    Yield what the operator should look at.
    """
    yield from _bare_secrets(settings)
    yield from _scopes(settings)
    yield from _strangers(settings)
    yield from _issuers(settings)
    yield from _admin(settings)
    yield from _reporting(settings)
    yield from _idle_limits(settings)
    own = own_listeners(settings)
    for index, route in enumerate(settings.routes):
        yield from _api_route(settings, ("routes", index), route)
        yield from _address(route, own, ("routes", index, "upstream"))


def _bare_secrets(settings: Settings) -> Iterator[Finding]:
    for name, user in settings.service_users.items():
        for thing in of_user(name, user):
            if isinstance(thing.source, Secret):
                yield Finding(
                    thing.place,
                    "the secret stands in this file itself",
                    "write {file: PATH}, {env: NAME} or {credential: NAME}",
                )
    if isinstance(settings.audit.hmac_key, Secret):
        yield Finding(
            ("audit", "hmac_key"),
            "the secret stands in this file itself",
            "write {file: PATH}, {env: NAME} or {credential: NAME}",
        )


def _scopes(settings: Settings) -> Iterator[Finding]:
    for name, user in settings.service_users.items():
        if not isinstance(user, Minted):
            continue
        for index, scope in enumerate(user.scopes):
            place = ("service_users", name, "scopes", index)
            if scope.startswith(AUDIENCE_PREFIX) and not scope.endswith(":aud"):
                yield Finding(place, "has no effect without its end", 'add ":aud"')
            elif scope.startswith(_URN) and not _RESERVED.fullmatch(scope):
                yield Finding(
                    place,
                    "is no scope ZITADEL knows; it would be dropped silently",
                    "check its spelling",
                )


def _strangers(settings: Settings) -> Iterator[Finding]:
    """
    Yield what other issuers have and ZITADEL has not, where the issuer is certainly ZITADEL.
    """
    for name, user in settings.service_users.items():
        place: Place = ("service_users", name)
        cloud = settings.issuers[user.issuer].url.host.endswith(_CLOUD)
        if isinstance(user, SystemJwt) and cloud:
            yield Finding(
                (*place, "method"),
                "ZITADEL Cloud has no system users",
                "write method: private_key_jwt, with a service user's key_file",
            )
        if not isinstance(user, Minted):
            continue
        if not cloud and not any(scope.startswith(_URN) for scope in user.requested_scopes):
            continue
        if isinstance(user, ClientCredentials) and user.client_auth == "private_key_jwt":
            yield Finding(
                (*place, "client_auth"),
                "ZITADEL takes no key for client_credentials",
                "write method: private_key_jwt, with the service user's key_file",
            )
        if user.audience and not isinstance(user, TokenExchange):
            yield Finding(
                (*place, "audience"),
                "ZITADEL reads no audience here",
                "write audience_projects: [ID]",
            )
        if user.resource:
            refuses = isinstance(user, TokenExchange)
            does = "refuses resource (invalid_target)" if refuses else "reads no resource"
            yield Finding((*place, "resource"), f"ZITADEL {does}", "remove it")


def _issuers(settings: Settings) -> Iterator[Finding]:
    for name, issuer in settings.issuers.items():
        if issuer.url.text.endswith("/"):
            yield Finding(
                ("issuers", name, "url"),
                "ends with a slash, which ZITADEL's issuer never does",
                "remove it, unless the issuer's discovery document has it",
            )


def _admin(settings: Settings) -> Iterator[Finding]:
    if settings.admin is None or settings.admin.loopback:
        return
    if settings.admin_key_sha256 is None:
        yield Finding(
            ("admin",),
            "other machines can connect here, and no caller has to say who they are",
            "set admin_key_sha256, or keep it to loopback",
        )


def _idle_limits(settings: Settings) -> Iterator[Finding]:
    """
    Yield limits that never count a request.
    """
    for index, listener in enumerate(settings.listen):
        named = listener.callers
        if listener.limits is not None and named is not None and ANONYMOUS not in named:
            yield Finding(
                ("listen", index, "limits"),
                "counts callers nobody knows, and none of them may use this listener",
                "write limits under each of its callers",
            )
    used = {route.upstream.origin for route in settings.routes}
    for url in settings.upstreams:
        if url.origin not in used:
            yield Finding(
                ("upstreams", url.text),
                "is no route's upstream",
                "write scheme, host and port as the routes do",
            )


def _reporting(settings: Settings) -> Iterator[Finding]:
    for index, listener in enumerate(settings.listen):
        if listener.mode == "report" and not listener.address.loopback:
            yield Finding(
                ("listen", index, "mode"),
                "other machines can connect here, and whoever is not among the callers is let in",
                "write mode: enforce once the log reports nobody who should come in",
            )


def _address(route: Route, own: tuple[Listening, ...], place: Place) -> Iterator[Finding]:
    """
    Yield why an upstream that is an address itself will never be dialled.
    """
    with suppress(ValueError):
        ip = ip_address(route.upstream.host)
        destination = Destination(route.upstream.host, route.allow_addresses, own)
        why, _, instead = destination.refusal(ip, route.upstream.port).partition("; ")
        if why:
            yield Finding(place, f"will not be dialled: {why}", instead)


def reaches_issuer(settings: Settings, route: Route) -> bool:
    """
    Tell whether a route leads to its service user's own issuer.
    """
    issuer = settings.issuers[settings.service_users[route.service_user].issuer]
    return route.upstream.origin in {url.origin for url in (issuer.url, issuer.connect_to) if url}


def reaches_apis(settings: Settings, route: Route) -> bool:
    """
    Tell whether a route leads to where ZITADEL has its APIs, at its service user's own issuer.
    """
    path = route.upstream.path.rstrip("/") + (route.rewrite_path or route.match.path)
    at_apis = any(path.startswith(api) or api.startswith(path) for api in _API_PATHS)
    return at_apis and reaches_issuer(settings, route)


def _api_route(settings: Settings, place: Place, route: Route) -> Iterator[Finding]:
    user = settings.service_users[route.service_user]
    if not isinstance(user, Minted) or not reaches_apis(settings, route):
        return
    if isinstance(user, TokenExchange) and user.actor is not None:
        yield Finding(
            (*place, "service_user"),
            f'ZITADEL\'s APIs answer 403 to tokens of "{route.service_user}", which have an actor',
            "take another service user for this route",
        )
    elif API_AUDIENCE not in user.requested_scopes:
        yield Finding(
            (*place, "service_user"),
            f'ZITADEL\'s APIs answer 401 to tokens of "{route.service_user}"',
            f"add the scope {API_AUDIENCE} to it",
        )

"""
Where requests go, and on which terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.audit.rule import Hit
from proxy.config.exchange_user import TokenExchange
from proxy.config.key_user import SystemJwt
from proxy.config.lint import reaches_issuer
from proxy.config.minted import API_AUDIENCE, Minted
from proxy.config.service_user import PersonalAccessToken
from proxy.core.address import V4, V6
from proxy.core.destination import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Place
    from proxy.config.network import Network
    from proxy.config.route import Route
    from proxy.config.service_user import ServiceUser
    from proxy.core.address import Kind


def _routes(evidence: Evidence) -> Iterator[tuple[Place, Route]]:
    for index, route in enumerate(evidence.settings.routes):
        yield ("routes", index), route


def plain_issuer(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each URL of an issuer that secrets go to readable for the network.
    """
    for name, issuer in evidence.settings.issuers.items():
        urls = (
            ("url", issuer.url),
            ("connect_to", issuer.connect_to),
            ("token_endpoint", issuer.token_endpoint),
        )
        for setting, url in urls:
            if url is None or url.scheme != "http" or url.loopback:
                continue
            if setting == "url" and issuer.connect_to is not None:
                continue  # only its name: nothing is sent there
            yield Hit(
                ("issuers", name, setting),
                "assertions, client secrets and tokens cross the network readable",
                "write https://, and remove allow_insecure",
            )


def plain_upstream(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each upstream that tokens go to readable for the network.
    """
    for place, route in _routes(evidence):
        if route.upstream.scheme == "http" and not route.upstream.loopback:
            yield Hit(
                (*place, "upstream"),
                "tokens cross the network readable",
                "write https://, and remove allow_insecure",
            )


def takes_everything(route: Route) -> bool:
    """
    Tell whether a route takes any request: no path, host or method is asked for.

    Headers are the caller's to choose, so asking for some holds nobody off.
    """
    match = route.match
    return not (match.path.rstrip("/") or match.host or match.methods)


def good_at_apis(user: ServiceUser) -> bool:
    """
    Tell whether ZITADEL's APIs take the tokens of a service user.

    Personal access tokens and system users' tokens need no audience for that; tokens with an actor
    are refused whatever their audience.
    """
    if isinstance(user, TokenExchange) and user.actor is not None:
        return False
    if isinstance(user, Minted):
        return API_AUDIENCE in user.requested_scopes
    return isinstance(user, (PersonalAccessToken, SystemJwt))


def catch_all(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each route that takes any request, for a service user without power over ZITADEL.
    """
    for place, route in _routes(evidence):
        if takes_everything(route) and not good_at_apis(_user(evidence, route)):
            yield Hit(
                (*place, "match"),
                "any request whatever gets this service user's token",
                "write the path, and the methods, that callers need",
            )


def catch_all_at_apis(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each route that takes any request, for a service user that ZITADEL's APIs obey.
    """
    for place, route in _routes(evidence):
        if takes_everything(route) and good_at_apis(_user(evidence, route)):
            yield Hit(
                (*place, "match"),
                "any request whatever gets a token that is good for ZITADEL's own APIs",
                "write the path that callers need: match: {path: /management/v1/}",
            )


def _user(evidence: Evidence, route: Route) -> ServiceUser:
    return evidence.settings.service_users[route.service_user]


def callers_own(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each route where callers may bring a credential of their own.
    """
    for place, route in _routes(evidence):
        if route.authorization == "keep":
            yield Hit(
                (*place, "authorization"),
                "callers may go up with any credential of their own",
                "write replace, or reject; or take such callers to a route of their own",
            )


def echo_allowed(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each route whose answers may hold the service user's token.
    """
    for place, route in _routes(evidence):
        if route.token_echo == "allow":
            yield Hit(
                (*place, "token_echo"),
                "an answer that repeats the token goes to the caller as it is",
                "write redact, or block",
            )


def replays_elsewhere(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each route whose requests are all sent again after a 401, though not to ZITADEL itself.
    """
    for place, route in _routes(evidence):
        if route.replay == "always" and not reaches_issuer(evidence.settings, route):
            yield Hit(
                (*place, "replay"),
                "a POST is sent twice if this upstream answers 401 after it has taken effect",
                "write auto, unless the upstream is known to check tokens before all else",
            )


def metadata_allowed(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each permission to dial a cloud's metadata service.
    """
    for place, network, kinds in _permissions(evidence):
        if "metadata" in kinds:
            yield Hit(
                place,
                f"{network} holds a cloud's metadata service, which hands out credentials",
                "permit the one address that is needed",
            )


def inner_allowed(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each permission to dial this machine, its link or nobody in particular.
    """
    for place, network, kinds in _permissions(evidence):
        inner = [word for word in (*WORDS, "loopback") if word in kinds]
        if inner and "metadata" not in inner:
            shown = ", ".join(word.replace("_", "-") for word in inner)
            yield Hit(
                place,
                f"{network} lets the upstream's name lead to {shown} addresses",
                "permit the one address that is needed",
            )


def needless_permission(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each permission of what is permitted anyway.
    """
    for place, route in _routes(evidence):
        encrypted = route.upstream.scheme == "https" or route.upstream.loopback
        if route.allow_insecure and encrypted:
            what = "this upstream needs no permission to be insecure"
            yield Hit((*place, "allow_insecure"), what, "remove it")
    for place, network, kinds in _permissions(evidence):
        if not kinds & {*WORDS, "loopback"}:
            yield Hit(place, f"{network} needs no permission", "remove it")


def _permissions(evidence: Evidence) -> Iterator[tuple[Place, Network, set[Kind]]]:
    for place, route in _routes(evidence):
        for index, network in enumerate(route.allow_addresses):
            yield (*place, "allow_addresses", index), network, _kinds(network)


def _kinds(network: Network) -> set[Kind]:
    """
    Return the kinds of address that *network* may hold, besides global ones.
    """
    # The first entry of the table that holds an address decides, so a network within one entry is
    # of no kind that comes later.
    found: set[Kind] = set()
    first, last = int(network.network_address), int(network.broadcast_address)
    for known, kind in V4 if network.version == 4 else V6:
        low, high = int(known.network_address), int(known.broadcast_address)
        if low <= last and first <= high:
            found.add(kind)
            if low <= first and last <= high:
                break
    return found

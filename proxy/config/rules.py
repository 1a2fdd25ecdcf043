"""
What must hold between settings: references, names used once, routes that could tie, open doors.

References and names are checked on the settings as they were written, so that an entry with two
mistakes shows both, and so are service users (`user_rules`); the rest on those entries whose own
shape is right.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from proxy.config import caller_rules, user_rules
from proxy.config.draft import Finding, Place
from proxy.config.model import ANONYMOUS, DEFAULT_ADMIN, Issuer, Listener
from proxy.config.network import TcpAddress, parse_admin
from proxy.config.reference import check_name, written
from proxy.config.traces import OFF, can_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.audit import Audit
    from proxy.config.caller import Caller
    from proxy.config.route import Route
    from proxy.config.service_user import ServiceUser
    from proxy.core import route


@dataclass(frozen=True, slots=True)
class Entries:
    """
    The entries of a draft whose own shape is right, by name or by index in the file.
    """

    listeners: Mapping[int, Listener]
    issuers: Mapping[str, Issuer]
    service_users: Mapping[str, ServiceUser]
    callers: Mapping[str, Caller]
    routes: Mapping[int, Route]
    audit: Mapping[str, Audit] = field(default_factory=dict)


def check(data: Mapping[str, object], entries: Entries) -> Iterator[Finding]:
    """
    Yield everything that does not hold.
    """
    yield from _references(data)
    yield from user_rules.check(data)
    yield from _listeners(entries)
    yield from _admin(data, entries)
    yield from _traces(data)
    yield from caller_rules.check(data, entries.callers)
    yield from _route_names(data)
    yield from _ties(entries)


def _references(data: Mapping[str, object]) -> Iterator[Finding]:
    for index, settings in written(data, "routes"):
        place: Place = ("routes", index, "service_user")
        name = settings.get("service_user")
        yield from check_name(data, place, name, "service_users", "service user")
    for section in ("listen", "routes"):
        for index, settings in written(data, section):
            names = settings.get("callers")
            for at, name in enumerate(names if isinstance(names, list) else ()):
                if name != ANONYMOUS:
                    place = (section, index, "callers", at)
                    yield from check_name(data, place, name, "callers", "caller")


def _listeners(entries: Entries) -> Iterator[Finding]:
    seen: dict[object, int] = {}
    for index, listener in entries.listeners.items():
        address = listener.address
        if not address.loopback and listener.callers is None:
            yield Finding(
                ("listen", index),
                "other machines can connect here, and nothing says who may",
                "write callers: [NAME, …] beside its address, or callers: [anonymous] for everyone",
            )
        if isinstance(address, TcpAddress) and address.port == 0:
            continue
        if address in seen:
            yield Finding(
                ("listen", index, "address"), f"is already listen[{seen[address]}]", "keep one"
            )
        seen.setdefault(address, index)


def _admin(data: Mapping[str, object], entries: Entries) -> Iterator[Finding]:
    admin = None
    with suppress(PydanticCustomError):  # an address that is none is found with the settings
        admin = parse_admin(data.get("admin", DEFAULT_ADMIN))
    if admin is None or (isinstance(admin, TcpAddress) and admin.port == 0):
        return
    for index, listener in entries.listeners.items():
        if listener.address != admin:
            continue
        if "admin" in data:
            yield Finding(
                ("admin",), "is also the address of a listener", 'write another, or "off"'
            )
        else:
            yield Finding(
                ("listen", index, "address"),
                "is also where admin listens if nothing is written",
                'write another, or set admin to another or to "off"',
            )


def _traces(data: Mapping[str, object]) -> Iterator[Finding]:
    traces = data.get("traces")
    endpoint = traces.get("otlp_endpoint") if isinstance(traces, dict) else None
    if isinstance(endpoint, str) and endpoint != OFF and not can_trace():
        yield Finding(
            ("traces", "otlp_endpoint"),
            "needs OpenTelemetry, which is not installed",
            "install zitadel-authproxy[otel], or leave it out",
        )


def _route_names(data: Mapping[str, object]) -> Iterator[Finding]:
    seen: dict[str, str | int] = {}
    for index, settings in written(data, "routes"):
        name = settings.get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            place = ("routes", index, "name")
            yield Finding(place, f"is already the name of routes[{seen[name]}]", "rename one")
        seen.setdefault(name, index)


def _ties(entries: Entries) -> Iterator[Finding]:
    """
    Yield each pair of routes that can take the same request with equal rank.
    """
    equals: dict[object, list[tuple[int, route.Match]]] = defaultdict(list)
    for index, entry in entries.routes.items():
        match = entry.match.compiled()
        equals[match.rank(), match.path].append((index, match))
    for group in equals.values():
        for (first, one), (second, two) in combinations(group, 2):
            if one.overlaps(two):
                names = [entries.routes[index].name for index in (first, second)]
                yield Finding(
                    ("routes", second, "match"),
                    f'routes "{names[0]}" and "{names[1]}" can take the same request, and neither is more specific',
                    "give one of them a host, path, header or method the other has not",
                )

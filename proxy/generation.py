"""
One loaded configuration, ready to serve: routes, keeper, pools. Immutable; swapped whole.

`plan_routes` needs nothing but settings, so `explain` and `check` use it without a key or a
socket; `compile_generation` adds what a route needs to run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proxy.callers.compiling import compile_registry
from proxy.config.door import doors, entrances, own_listeners
from proxy.config.rate import gate
from proxy.core.admit import rule
from proxy.core.clock import Clock
from proxy.core.decide import Plan, confine, decide, host_lines, upstream_target
from proxy.core.destination import Destination
from proxy.core.headers import (
    AUTHORIZATION,
    CALLER_CREDENTIALS,
    PROXY_STATUS,
    REQUEST_ID,
    is_forwarding,
    looked_at,
)
from proxy.core.location import LOCATIONS, WayBack, longer
from proxy.core.rate import Gate, Meter, Rates
from proxy.core.route import Route, Table
from proxy.observe.metrics import Metrics
from proxy.tls.upstream import upstream_tls
from proxy.wire.dial import Dialler
from proxy.wire.limits import Limits, PoolLimits, Timeouts
from proxy.wire.local import is_local
from proxy.wire.origin import Origin
from proxy.wire.pool import Pool
from proxy.wire.resolve import Resolver
from proxy.wire.roles import REQUEST_ROLES, RESPONSE_ROLES, Roles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from proxy.callers.registry import Registry
    from proxy.config import model, route
    from proxy.config.network import Url
    from proxy.core.admit import Entrance
    from proxy.core.door import Door
    from proxy.observe.cells import RouteMetrics
    from proxy.tokens.keeper import Keeper
    from proxy.tokens.slot import Slot
    from proxy.wire.dial import Address
    from proxy.wire.request import RequestFields


@dataclass(frozen=True, slots=True)
class Lane:
    """
    What a route needs to run.

    Attributes:
        plan: What it does with a request.
        pool: The connections to its upstream.
        slot: Where its service user's token lies at hand.
        timeouts: How long its upstream may take.
        metrics: Where its requests are counted.
        meter: Counts the requests to its upstream; None if they are not limited.
    """

    plan: Plan
    pool: Pool
    slot: Slot
    timeouts: Timeouts
    metrics: RouteMetrics
    meter: Meter | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """
    What follows from a request line, Host and the routes.

    Attributes:
        lane: The route's.
        route: Its name.
        method: As in the request line.
        path: As it came, without the query.
        line: What the upstream's head begins with: method and path.
        host: What stands behind the query there: the version, and `Host`.
    """

    lane: Lane
    route: str
    method: str
    path: str
    line: bytes
    host: bytes


ERRANDS = 2048
"""How many errands are remembered at once; callers choose them."""

LONGEST_ERRAND = 512
"""Bytes of path and Host worth remembering."""


@dataclass(frozen=True, slots=True)
class Generation:
    """
    One loaded configuration.

    Attributes:
        table: The routes.
        keeper: The tokens of its service users.
        callers: Who may prove to be whom.
        entrances: Who may use each listener, in the file's order.
        doors: What each listener asks of requests, in the same order.
        roles: Which request headers the wire sets aside.
        pools: Every pool, to be swept and retired.
        via: The `Via` line that goes up.
        metrics: Where requests are counted; outlives the generation.
        rates: What was used of all limits; outlives the generation.
        gate: Which limits a request is under; None if there are none.
        errands: Those remembered.
    """

    table: Table[Lane]
    keeper: Keeper
    callers: Registry
    entrances: tuple[Entrance, ...]
    doors: tuple[Door, ...]
    roles: Roles
    pools: tuple[Pool, ...]
    via: bytes = field(default=b"Via: 1.1 authproxy\r\n")
    metrics: Metrics = field(default_factory=Metrics)
    rates: Rates = field(default_factory=Rates)
    gate: Gate | None = None
    errands: dict[tuple[bytes, bytes, bytes], Errand] = field(default_factory=dict)

    @property
    def last(self) -> bytes:
        """
        What the upstream's head ends with, of a request without chunks.
        """
        return self.via + b"\r\n"

    def errand(self, method: bytes, target: bytes, fields: RequestFields) -> Errand:
        """
        Return where a request goes, by its target without the query.

        Raises:
            RequestRefused: Nowhere.
        """
        key = (method, target, fields.host)
        known = self.errands.get(key)
        if known is not None:
            return known
        route, asked = decide(self.table, method, target, fields.host, fields.field)
        plan = route.action.plan
        confine(plan, route.match.path, asked)
        goal = upstream_target(plan, route.match.path, asked)
        errand = Errand(
            lane=route.action,
            route=route.name,
            method=method.decode("ascii"),
            path=asked.path.decode("ascii"),
            line=b"%b %b" % (method, goal),
            host=host_lines(plan),
        )
        if len(target) + len(fields.host) <= LONGEST_ERRAND and not self.table.conditional:
            if len(self.errands) >= ERRANDS:
                self.errands.clear()
            self.errands[key] = errand
        return errand

    def retire(self) -> None:
        """
        Close what is idle, and the rest once its requests have ended.
        """
        for pool in self.pools:
            pool.retire()


def plan_routes(settings: model.Settings) -> tuple[Route[Plan], ...]:
    """
    Return the routes of *settings*, in the file's order.
    """
    prefixes = sorted({entry.match.compiled().path + b"/" for entry in settings.routes})
    return tuple(_route(entry, settings, prefixes) for entry in settings.routes)


def _route(entry: route.Route, settings: model.Settings, prefixes: list[bytes]) -> Route[Plan]:
    headers = entry.request_headers
    hidden = {name.encode() for name in (*headers.set, *headers.remove)}
    hidden |= {name for name in map(str.encode, entry.match.headers) if is_forwarding(name)}
    marks = (listener.require_header for listener in settings.listen)
    hidden |= {mark.name.encode() for mark in marks if mark is not None}
    if entry.authorization != "keep":
        hidden.add(AUTHORIZATION)
    issuer = settings.issuers[settings.service_users[entry.service_user].issuer]
    plan = Plan(
        upstream=entry.upstream.origin,
        host_line=f"Host: {entry.upstream.authority}\r\n".encode(),
        base=entry.upstream.path.rstrip("/").encode(),
        rewrite=None if entry.rewrite_path is None else entry.rewrite_path.rstrip("/").encode(),
        service_user=entry.service_user,
        callers=rule(entry.callers, entry.mode),
        authorization=entry.authorization,
        replay=entry.replay,
        own_api=entry.upstream.origin == issuer.url.origin,
        strip=frozenset(hidden | CALLER_CREDENTIALS),
        set_lines="".join(f"{name}: {value}\r\n" for name, value in headers.set.items()).encode(),
        token_echo=entry.token_echo,
    )
    match = entry.match.compiled()
    if entry.redirects == "rewrite":
        taken = longer(match.path, prefixes)
        way_back = WayBack(plan.upstream.encode(), plan.base, plan.rewrite, match.path, taken)
        plan = replace(plan, way_back=way_back)
    return Route(entry.name, match, plan)


def compile_generation(  # noqa: PLR0913 - what outlives a generation is handed over by name
    settings: model.Settings,
    base: Path,
    keeper: Keeper,
    *,
    via: bytes,
    callers: Registry | None = None,
    metrics: Metrics | None = None,
    rates: Rates | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Generation:
    """
    Return a generation that serves these settings with this keeper's tokens.

    Args:
        settings: The checked settings.
        base: The folder relative paths start at.
        keeper: Holds the tokens of the settings' service users.
        via: The `Via` line that goes up.
        callers: Who calls; None if nobody is to be let in by what an issuer must be asked about.
        metrics: Where requests are counted; None to count them for this generation alone.
        rates: What was used of all limits so far; None for nothing, refusals counted in metrics.
        now: Returns boot-clock seconds, for the pools.
    """
    metrics = Metrics() if metrics is None else metrics
    rates = Rates(metrics.rate_limited) if rates is None else rates
    limited = gate(settings, rates)
    upstreams = {} if limited is None else limited.upstreams
    pools: dict[object, Pool] = {}
    own, opened = own_listeners(settings), doors(settings)
    answers = Roles(RESPONSE_ROLES, lambda name: name in (PROXY_STATUS, REQUEST_ID), alias=False)
    answers_with_locations = Roles(
        RESPONSE_ROLES,
        lambda name: name in LOCATIONS or name in (PROXY_STATUS, REQUEST_ID),
        alias=False,
    )

    def lane(entry: route.Route, plan: Plan) -> Lane:
        dial, ca_file = _dial(entry, settings)
        shown = entry.client_cert_file, entry.client_key_file
        allowed = tuple(sorted(set(entry.allow_addresses), key=str))
        roles = answers if plan.way_back is None else answers_with_locations
        key = (dial.origin, entry.upstream.origin, ca_file, shown, allowed, plan.way_back is None)
        if key not in pools:
            files = (file and base / file for file in (ca_file, *shown))
            tls = upstream_tls(*files) if dial.scheme == "https" else None
            origin = Origin(dial.host, dial.port, tls, entry.upstream.host)
            may_dial = _policy(Destination(dial.host, allowed, own, is_local))
            dialler = Dialler(Resolver(now), now, may_dial=may_dial)
            pools[key] = Pool(origin, roles, pool_limits(settings), now=now, dialler=dialler)
        limits = entry.timeouts
        timeouts = Timeouts(limits.connect, limits.response, limits.idle, limits.request)
        user = entry.service_user
        counted = metrics.route(entry.name, entry.upstream.authority, user)
        meter = upstreams.get(plan.upstream)
        return Lane(plan, pools[key], keeper.slot(user), timeouts, counted, meter)

    planned = plan_routes(settings)
    routes = [
        Route(planned_route.name, planned_route.match, lane(entry, planned_route.action))
        for planned_route, entry in zip(planned, settings.routes, strict=True)
    ]
    return Generation(
        table=Table(routes),
        keeper=keeper,
        callers=callers or compile_registry(settings, {}, Clock(now, now)),
        entrances=entrances(settings),
        doors=opened,
        roles=request_roles(planned, opened),
        pools=tuple(pools.values()),
        via=via,
        metrics=metrics,
        rates=rates,
        gate=limited,
    )


def caller_limits(settings: model.Settings) -> Limits:
    """
    Return what callers may use up.
    """
    said = settings.limits
    return Limits(
        target=said.target,
        head=said.head,
        headers=said.headers,
        body=said.body,
        connections=said.connections,
        in_flight=said.in_flight,
        head_time=said.head_time,
        body_time=said.body_time,
        body_rate=said.body_rate,
        idle_time=said.idle_time,
    )


def pool_limits(settings: model.Settings) -> PoolLimits:
    """
    Return what the connections to one origin may use up.
    """
    said = settings.pools
    return PoolLimits(
        connections=said.connections,
        idle=said.idle,
        age=said.age,
        queue=said.queue,
        wait=said.wait,
        failures=said.failures,
    )


def request_roles(routes: Iterable[Route[Plan]], opened: Iterable[Door]) -> Roles:
    """
    Return which role each request header plays: the wire's own, and those the routes and the
    listeners' doors look at.
    """
    names = {door.required[0] for door in opened if door.required is not None}
    for entry in routes:
        names |= entry.action.strip
        names.update(name for name, _ in entry.match.headers)
    return Roles(REQUEST_ROLES, looked_at(frozenset(names)), drop=is_forwarding)


def _dial(entry: route.Route, settings: model.Settings) -> tuple[Url, Path | None]:
    """
    Return where to dial for a route, and which authorities to trust there.

    An issuer's `connect_to` and `ca_file` also hold for routes to that issuer's own APIs: they are
    on the same host.
    """
    issuer = settings.issuers[settings.service_users[entry.service_user].issuer]
    if entry.upstream.origin != issuer.url.origin:
        return entry.upstream, entry.ca_file
    return issuer.connect_to or entry.upstream, entry.ca_file or issuer.ca_file


def _policy(destination: Destination) -> Callable[[Address], bool | str]:
    return lambda address: destination.refusal(address.ip, address.port) or True

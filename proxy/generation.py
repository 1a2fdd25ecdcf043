"""
One loaded configuration, ready to serve: routes, keeper, pools. Immutable; swapped whole.

`planning` says what each route does with a request; `compile_generation` adds what it needs to run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from proxy.bounds import pool_limits
from proxy.callers.compiling import compile_registry
from proxy.config.door import doors, entrances, own_listeners
from proxy.config.rate import gate
from proxy.core.admit import CLOSED
from proxy.core.clock import Clock
from proxy.core.decide import Plan, confine, decide, host_lines, upstream_target
from proxy.core.destination import Destination
from proxy.core.door import Door
from proxy.core.forward import ForwardTable
from proxy.core.headers import (
    PROXY_STATUS,
    REQUEST_ID,
)
from proxy.core.location import LOCATIONS, WayBack
from proxy.core.rate import Gate, Meter, Rates
from proxy.core.route import Route, Table
from proxy.core.target import PATHLESS
from proxy.observe.metrics import Metrics
from proxy.planning import plan_routes, request_roles
from proxy.tls.upstream import upstream_tls
from proxy.wire.dial import Dialler
from proxy.wire.limits import Timeouts
from proxy.wire.local import is_local
from proxy.wire.origin import Origin
from proxy.wire.pool import Pool
from proxy.wire.resolve import Resolver
from proxy.wire.roles import RESPONSE_ROLES, Roles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from proxy.callers.registry import Registry
    from proxy.config import model, route
    from proxy.config.network import Url
    from proxy.core.admit import Entrance
    from proxy.observe.cells import RouteMetrics
    from proxy.tokens.keeper import Keeper
    from proxy.tokens.slot import Slot
    from proxy.wire.dial import Address
    from proxy.wire.request import RequestFields

T = TypeVar("T")


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
        way_back: How addresses in its response become the proxy's own; None to leave them.
    """

    lane: Lane
    route: str
    method: str
    path: str
    line: bytes
    host: bytes
    way_back: WayBack | None = None


FORWARD = b"\n"
"""Stands for the Host in forward mode, where it says nothing; no Host can be this."""


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
        forward: What they are for in forward mode.
        keeper: The tokens of its service users.
        callers: Who may prove to be whom.
        entrances: Who may use each listener, by its number.
        doors: What each listener asks of requests, likewise.
        roles: Which request headers the wire sets aside.
        pools: Every pool, to be swept and retired.
        pool_keys: What each depends on, in the same order.
        via: The `Via` line that goes up.
        metrics: Where requests are counted; outlives the generation.
        rates: What was used of all limits; outlives the generation.
        gate: Which limits a request is under; None if there are none.
        errands: Those remembered.
    """

    table: Table[Lane]
    forward: ForwardTable[Lane]
    keeper: Keeper
    callers: Registry
    entrances: tuple[Entrance, ...]
    doors: tuple[Door, ...]
    roles: Roles
    pools: tuple[Pool, ...]
    pool_keys: tuple[object, ...] = ()
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
            way_back=plan.way_back,
        )
        self._remember(key, errand)
        return errand

    def forwarded(self, method: bytes, target: bytes, fields: RequestFields) -> Errand:
        """
        Return where a request in forward mode goes, by its target without the query.

        Raises:
            RequestRefused: Nowhere.
        """
        key = (method, target, FORWARD)
        known = self.errands.get(key)
        if known is not None:
            return known
        route, asked, _, goal, way_back = self.forward.decide(method, target, fields.field)
        if method == b"OPTIONS" and goal == b"/" and target.count(b"/") == PATHLESS:
            goal = b"*"  # RFC 9112 §3.2.4: a URL without a path asks about the whole server
        errand = Errand(
            lane=route.action,
            route=route.name,
            method=method.decode("ascii"),
            path=asked.path.decode("ascii"),
            line=b"%b %b" % (method, goal),
            host=host_lines(route.action.plan),
            way_back=way_back,
        )
        self._remember(key, errand)
        return errand

    def _remember(self, key: tuple[bytes, bytes, bytes], errand: Errand) -> None:
        if len(key[1]) + len(key[2]) <= LONGEST_ERRAND and not self.table.conditional:
            if len(self.errands) >= ERRANDS:
                self.errands.clear()
            self.errands[key] = errand

    def retire(self, successor: Generation | None = None) -> tuple[Pool, ...]:
        """
        Close what is idle, and the rest once its requests have ended; return the pools that are
        not the successor's as well.
        """
        kept = () if successor is None else successor.pools
        own = tuple(pool for pool in self.pools if pool not in kept)
        for pool in own:
            pool.retire()
        return own


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
    numbers: Mapping[int, int | None] | None = None,
    before: Generation | None = None,
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
        numbers: The place of its settings in the file, by listener's number, as `numbered` takes it;
            None if that is its number.
        before: The generation before, whose pools go on where nothing about them has changed.

    Raises:
        OSError: A certificate's file cannot be used (ssl.SSLError is one).
    """
    metrics = Metrics() if metrics is None else metrics
    rates = Rates(metrics.rate_limited) if rates is None else rates
    limited = gate(settings, rates)
    if limited is not None:
        limited = replace(limited, listeners=numbered(limited.listeners, numbers, None))
    upstreams = {} if limited is None else limited.upstreams
    standing = {} if before is None else dict(zip(before.pool_keys, before.pools, strict=True))
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
        files = [file and base / file for file in (ca_file, *shown)]
        marks = tuple(file and sha256(file.read_bytes()).digest() for file in files)
        limits = pool_limits(settings)
        place = (dial.origin, entry.upstream.origin, entry.upstream.host)
        key = (*place, *files, *marks, allowed, own, limits, plan.way_back is None)
        if key in standing:
            pools[key] = standing[key]
        elif key not in pools:
            tls = upstream_tls(*files) if dial.scheme == "https" else None
            origin = Origin(dial.host, dial.port, tls, entry.upstream.host)
            may_dial = _policy(Destination(dial.host, allowed, own, is_local))
            dialler = Dialler(Resolver(now), now, may_dial=may_dial)
            pools[key] = Pool(origin, roles, limits, now=now, dialler=dialler)
        said = entry.timeouts
        timeouts = Timeouts(said.connect, said.response, said.idle, said.request)
        user = entry.service_user
        counted = metrics.route(entry.name, entry.upstream.authority, user)
        meter = upstreams.get(plan.upstream)
        return Lane(plan, pools[key], keeper.slot(user), timeouts, counted, meter)

    planned = plan_routes(settings)
    routes = [
        Route(planned_route.name, planned_route.match, lane(entry, planned_route.action))
        for planned_route, entry in zip(planned, settings.routes, strict=True)
    ]
    table = Table(routes)
    return Generation(
        table=table,
        forward=ForwardTable(table, lambda lane: lane.plan),
        keeper=keeper,
        callers=callers or compile_registry(settings, {}, Clock(now, now)),
        entrances=numbered(entrances(settings), numbers, CLOSED),
        doors=numbered(opened, numbers, Door()),
        roles=request_roles(planned, opened),
        pools=tuple(pools.values()),
        pool_keys=tuple(pools),
        via=via,
        metrics=metrics,
        rates=rates,
        gate=limited,
    )


def numbered(
    values: Sequence[T], numbers: Mapping[int, int | None] | None, absent: T
) -> tuple[T, ...]:
    """
    Return what belongs to each listener's settings by the listener's number.

    Args:
        values: In the file's order.
        numbers: The place in the file by the number of each listener that a connection may still
            name, None there for those that are no more; None if the place is the number.
        absent: For the listeners that are no more.
    """
    if numbers is None:
        return tuple(values)
    spread = [absent] * (max(numbers) + 1)
    for number, place in numbers.items():
        if place is not None:
            spread[number] = values[place]
    return tuple(spread)


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

"""
Forward mode: the URL of an API, asked for at the proxy → the route that is for it.

An application that is told of the proxy (`http_proxy`) asks it for whole URLs, `GET
http://api.example.com/v1/x`, and expects that API's answer, or none. So a route takes such a request
only if it is *for* that host:

- a route with `match.host` is for the hosts it names, whatever the port, just as where `Host` says
  so;
- a route without is for its upstream's own address: there the path is the upstream's own too, must
  lie in the part of the upstream the route leads to, and goes up as it came. `http://` may be asked
  for where the upstream is `https://`, never the other way round; a port that is written must be the
  upstream's.

The first come before the second; then the longest path, more headers and listed methods win, as
ever. What two routes are for alike is neither's: as which service user to ask would be a guess.

Nothing can be reached in forward mode that could not be reached without it. A request that a route
is for by its upstream's address is put in the words of the proxy's own paths, must fall into that
very route there, and goes up from there as all others do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from proxy.core.decide import Plan, check_method, confine, settled, upstream_target
from proxy.core.door import LONGEST_SHOWN
from proxy.core.forward_errors import NotForwarded
from proxy.core.location import WayBack, longer
from proxy.core.route import Lost, Route, Table, reason
from proxy.core.target import PORTS, Authority, Target, parse_authority, parse_target, stem

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.route import Fields

T = TypeVar("T")


class Forwarded(NamedTuple, Generic[T]):
    """
    Which route a request in forward mode takes, and what it becomes there.

    Attributes:
        route: The route.
        asked: What was asked for.
        target: The same in the words of the proxy's own paths, as `decide` would have found it.
        goal: The request target to send upstream.
        way_back: How addresses in the response become what the caller asks for; None to leave them.
    """

    route: Route[T]
    asked: Target
    target: Target
    goal: bytes
    way_back: WayBack | None


@dataclass(frozen=True, slots=True)
class _Site(Generic[T]):
    """
    The routes for one upstream's address.

    Attributes:
        table: Those routes by their parts of the upstream in the place of paths.
        parts: All the parts, with final slash, sorted.
    """

    table: Table[Route[T]]
    parts: tuple[bytes, ...]


class ForwardTable(Generic[T]):
    """
    What each route of a table is for. Frozen once built.

    Args:
        table: All routes.
        plan_of: Returns what a route's action plans.
    """

    def __init__(self, table: Table[T], plan_of: Callable[[T], Plan]) -> None:
        self._table = table
        self._plan_of = plan_of
        gathered: dict[Authority, list[Route[Route[T]]]] = {}
        for route in table.routes:
            if route.match.host:
                continue
            plan = plan_of(route.action)
            part = stem(plan.base, plan.rewrite, route.match.path)
            entry = Route(route.name, replace(route.match, path=part), route)
            for address in _addresses(plan.upstream.encode()):
                gathered.setdefault(address, []).append(entry)
        made: dict[tuple[str, ...], _Site[T]] = {}  # mostly one upstream has all of its addresses
        self._sites: dict[Authority, _Site[T]] = {}
        for address, each in gathered.items():
            names = tuple(one.name for one in each)
            if names not in made:
                parts = tuple(sorted({one.match.path + b"/" for one in each}))
                made[names] = _Site(Table(each), parts)
            self._sites[address] = made[names]

    def names(self, asked: Authority) -> bool:
        """
        Return whether any route is for this host and port.
        """
        return _plain(asked) in self._sites or self._table.names(asked.host)

    def decide(self, method: bytes, raw_target: bytes, fields: Fields) -> Forwarded[T]:
        """
        Find the route of a request in forward mode. Its Host says nothing (RFC 9112 §3.2.2).

        Args:
            method: As in the request line.
            raw_target: An absolute-form, as in the request line.
            fields: Header look-up by lower-case name.

        Raises:
            MethodNotSupported: CONNECT or TRACE.
            BadRequest: No URL, or one that servers on the way may read as another route's.
            NotForwarded: No route is for it.
        """
        check_method(method, raw_target)
        authority = parse_authority(raw_target)
        asked = parse_target(raw_target, b"")
        named = settled(
            lambda path: self._table.find_named(method, authority.host, path, fields), asked.path
        )
        if named is not None:
            plan = self._plan_of(named.action)
            confine(plan, named.match.path, asked)
            goal = upstream_target(plan, named.match.path, asked)
            return Forwarded(named, asked, asked, goal, plan.way_back)
        site = self._sites.get(_plain(authority))
        if site is None:
            shown = authority.host[:LONGEST_SHOWN].decode("ascii")
            raise NotForwarded(f"no route is for {shown}:{authority.port} in forward mode")
        return self._at(site, method, asked, fields)

    def explain(
        self, method: bytes, raw_target: bytes, fields: Fields, chosen: Route[T] | None
    ) -> list[Lost]:
        """
        Say of every route but the chosen one why it is not for a URL.

        Args:
            method: As for `decide`.
            raw_target: As for `decide`.
            fields: As for `decide`.
            chosen: What `decide` found; None if it found none.

        Raises:
            BadRequest: It is no URL.
        """
        authority = parse_authority(raw_target)
        path = parse_target(raw_target, b"").path
        site = self._sites.get(_plain(authority))
        here = {} if site is None else {each.name: each.match for each in site.table.routes}
        lost = []
        for route in self._table.routes:
            match = route.match if route.match.host else here.get(route.name)
            if route is not chosen:
                why = "its upstream has another address"
                if match is not None:
                    why = reason(match, method, authority.host, path, fields)
                lost.append(Lost(route.name, why))
        return lost

    def _at(self, site: _Site[T], method: bytes, asked: Target, fields: Fields) -> Forwarded[T]:
        """
        Find the route at the upstream that was asked for.
        """
        found = settled(lambda path: site.table.find(method, b"", path, fields), asked.path)
        if found is None:
            raise NotForwarded("no route for this host takes the path, method and headers")
        route, part = found.action, found.match.path
        rival = site.table.rival(found, method, fields)
        if rival is not None:
            both = " and ".join(sorted((route.name, rival.name)))
            raise NotForwarded(f"the routes {both} are both for it; give them a match.host each")
        plan = self._plan_of(route.action)
        prefix = route.match.path
        target = Target(prefix + asked.path[len(part) :] or b"/", asked.query, b"")
        taken = settled(lambda path: self._table.find_unnamed(method, path, fields), target.path)
        if taken is not route:
            other = "no route" if taken is None else f"the route {taken.name}"
            raise NotForwarded(
                f"the route {route.name} is for it, but its path here leads to {other}; "
                "give them a match.host each"
            )
        confine(plan, prefix, target)
        goal = upstream_target(plan, prefix, target)
        if goal != asked.path + asked.query:  # a final slash that the route always adds
            raise NotForwarded(f"the route {route.name} cannot ask for this very path")
        return Forwarded(route, asked, target, goal, _way_back(plan, part, site.parts))


def _way_back(plan: Plan, part: bytes, parts: tuple[bytes, ...]) -> WayBack | None:
    """
    Return how addresses at the upstream become those that were asked for: the path stays.
    """
    if plan.way_back is None:
        return None
    return WayBack(plan.way_back.origin, b"", None, part, longer(part, parts))


def _addresses(upstream: bytes) -> tuple[Authority, ...]:
    """
    Return what is asked for when an upstream is meant.

    Args:
        upstream: `scheme://host[:port]`.
    """
    own = _plain(parse_authority(upstream))
    if own.scheme == b"http":
        return (own,)
    plain = own._replace(scheme=b"http")
    if own.port == PORTS[b"https"]:
        return own, plain, plain._replace(port=PORTS[b"http"])
    return own, plain


def _plain(authority: Authority) -> Authority:
    """
    Return the same with an IPv6 address in its one short spelling (RFC 5952).
    """
    host = authority.host
    if host[:1] != b"[":
        return authority
    return authority._replace(host=b"[%b]" % str(ip_address(host[1:-1].decode())).encode())

"""
Compiled route table: which route a request falls into, and why the others lost.

The most specific route wins, whatever the order in the file: exact host before `*.wildcard` host
before any host; then the longest path prefix on segment borders; then more header conditions; then
listed methods before any method. `/orders` and `/orders/` are the same prefix: it
matches `/orders`, `/orders/` and all below, never `/orders-archive`.

A look-up walks the request's own path from its end, one dictionary look-up per segment, so ten
thousand routes cost what ten do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
DOT = ord(".")
Fields = Callable[[bytes], bytes | None]
"""Looks up a request header by lower-case name; None if absent."""


@dataclass(frozen=True, slots=True)
class Match:
    """
    What a route asks of a request.

    Attributes:
        host: Exact lower-case host, `*.suffix`, or empty for any.
        path: Prefix without final slash; empty for all paths.
        methods: Upper-case methods; empty for any.
        headers: Lower-case name and exact value, each required.
    """

    host: bytes = b""
    path: bytes = b""
    methods: frozenset[bytes] = frozenset()
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def rank(self) -> tuple[int, int, int, int]:
        """
        Return how specific this is; the greatest of those that match wins.
        """
        host = 0 if not self.host else 1 if self.host.startswith(b"*.") else 2
        return host, len(self.path), len(self.headers), int(bool(self.methods))

    def _wild_with(self, other: Match) -> bool:
        """
        Return whether every host of *other*'s wildcard is one of this one's.
        """
        return self.host.startswith(b"*.") and other.host.endswith(self.host[1:])

    def overlaps(self, other: Match) -> bool:
        """
        Return whether some request could match both with equal rank: a configuration error.
        """
        if self.path != other.path or self.rank() != other.rank():
            return False
        if self.methods and not self.methods & other.methods:
            return False
        if self.host != other.host and not self._wild_with(other) and not other._wild_with(self):
            return False
        asked = dict(other.headers)
        return all(asked.get(name, value) == value for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """
    A name, what it matches, and whatever the owner of the table wants back.
    """

    name: str
    match: Match
    action: T


@dataclass(frozen=True, slots=True)
class Lost:
    """
    Why a route was not chosen, in words.
    """

    route: str
    why: str


@dataclass(slots=True)
class _Host(Generic[T]):
    """
    The routes of one host: prefix → routes, most specific first.
    """

    prefixes: dict[bytes, list[Route[T]]] = field(default_factory=dict)
    longest: int = 0  # bytes of the longest prefix

    def find(self, method: bytes, path: bytes, fields: Fields) -> Route[T] | None:
        prefix = path[:-1] if path[-1:] == b"/" else path
        if len(prefix) > self.longest:  # no need to go through all of a long path's segments
            prefix = prefix[: prefix.rfind(b"/", 0, self.longest + 1)]
        while True:
            for route in self.prefixes.get(prefix, ()):
                if _accepts(route.match, method, fields) is None:
                    return route
            if not prefix:
                return None
            prefix = prefix[: prefix.rfind(b"/")]


class Table(Generic[T]):
    """
    All routes of one generation. Frozen once built.

    Attributes:
        routes: In the file's order.
        conditional: Some depend on more than method, host and path.
    """

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self.routes = tuple(routes)
        self.conditional = any(route.match.headers for route in self.routes)
        self._exact: dict[bytes, _Host[T]] = {}
        self._wild: dict[bytes, _Host[T]] = {}
        self._any: _Host[T] = _Host()
        for route in self.routes:
            self._place(route).prefixes.setdefault(route.match.path, []).append(route)
        for host in (*self._exact.values(), *self._wild.values(), self._any):
            host.longest = max(map(len, host.prefixes), default=0)
            for group in host.prefixes.values():
                group.sort(key=lambda route: route.match.rank(), reverse=True)

    def _place(self, route: Route[T]) -> _Host[T]:
        host = route.match.host
        if not host:
            return self._any
        if host.startswith(b"*."):
            return self._wild.setdefault(host[1:], _Host())
        return self._exact.setdefault(host, _Host())

    def find(self, method: bytes, host: bytes, path: bytes, fields: Fields) -> Route[T] | None:
        """
        Return the most specific route, or None.

        Args:
            method: As in the request line.
            host: Lower case, without port.
            path: Starts with `/`.
            fields: Header look-up, asked only for routes with header conditions.
        """
        if self._exact or self._wild:
            route = self.find_named(method, host, path, fields)
            if route is not None:
                return route
        return self._any.find(method, path, fields)

    def find_named(
        self, method: bytes, host: bytes, path: bytes, fields: Fields
    ) -> Route[T] | None:
        """
        Return the most specific of the routes that name this host; arguments as for `find`.
        """
        if (exact := self._exact.get(host)) is not None:
            route = exact.find(method, path, fields)
            if route is not None:
                return route
        return self._find_wild(method, host, path, fields) if self._wild else None

    def find_unnamed(self, method: bytes, path: bytes, fields: Fields) -> Route[T] | None:
        """
        Return the most specific of the routes that name no host; arguments as for `find`.
        """
        return self._any.find(method, path, fields)

    def names(self, host: bytes) -> bool:
        """
        Return whether a route names this host, exactly or by a wildcard.
        """
        if host in self._exact:
            return True
        return bool(self._wild) and any(
            host[at:] in self._wild for at, byte in enumerate(host) if byte == DOT
        )

    def rival(self, chosen: Route[T], method: bytes, fields: Fields) -> Route[T] | None:
        """
        Return another route that takes the request with equal rank: what no file's routes have, as
        they are checked, but those of a table that was made of them may.

        Args:
            chosen: What `find` returned.
            method: As for `find`.
            fields: As for `find`.
        """
        rank = chosen.match.rank()
        for route in self._place(chosen).prefixes[chosen.match.path]:
            if route.match.rank() < rank:
                return None
            if route is not chosen and _accepts(route.match, method, fields) is None:
                return route
        return None

    def _find_wild(
        self, method: bytes, host: bytes, path: bytes, fields: Fields
    ) -> Route[T] | None:
        best = None
        at = host.find(b".")
        while at >= 0:
            wild = self._wild.get(host[at:])
            route = None if wild is None else wild.find(method, path, fields)
            if route is not None and (best is None or route.match.rank() > best.match.rank()):
                best = route
            at = host.find(b".", at + 1)
        return best

    def explain(self, method: bytes, host: bytes, path: bytes, fields: Fields) -> list[Lost]:
        """
        Say of every route but the chosen one why it lost.
        """
        chosen = self.find(method, host, path, fields)
        return [
            Lost(route.name, reason(route.match, method, host, path, fields))
            for route in self.routes
            if route is not chosen
        ]


def _accepts(match: Match, method: bytes, fields: Fields) -> str | None:
    """
    Return None if method and headers fit, else the reason they do not.
    """
    if match.methods and method not in match.methods:
        return "method not listed"
    for name, value in match.headers:
        if fields(name) != value:
            return f"header {name.decode()} differs"
    return None


def reason(match: Match, method: bytes, host: bytes, path: bytes, fields: Fields) -> str:
    """
    Return why a route that was not chosen was not; arguments as for `Table.find`.
    """
    wanted = match.host
    if wanted.startswith(b"*."):
        if not host.endswith(wanted[1:]):
            return "host differs"
    elif wanted and wanted != host:
        return "host differs"
    if path != match.path and not path.startswith(match.path + b"/"):
        return "path differs"
    return _accepts(match, method, fields) or "less specific"

"""
Counting requests, cheap enough for every one of them.

A `Cell` is one labelled series of a histogram; a `RouteMetrics` finds the cells of a request by its
method and status, two dictionary look-ups each. What may become a label is closed: methods and
statuses that nobody registered fall together, whatever callers and upstreams make up.
"""

from __future__ import annotations

from bisect import bisect_left
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

# OpenTelemetry semantic conventions, http.server.request.duration: upper bounds in seconds
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

# OpenTelemetry semantic conventions, http.request.method: RFC 9110 §9 and RFC 5789, else `_OTHER`
METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
OTHER = "_OTHER"

# IANA's registry of status codes as Python knows it, and the one of a caller who left
STATUSES = frozenset((*map(int, HTTPStatus), 499))

RESULTS = ("cached", "minted", "stale", "static")
"""Where the token of a request can come from; the access log's `token` says the same."""


class Cell:
    """
    One labelled series of a histogram.

    Attributes:
        counts: Observations per bucket, not summed up; the last slot is for what no bucket holds.
        total: The sum of all observations, in seconds.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """
        Count one observation.
        """
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def __repr__(self) -> str:
        return f"<Cell of {sum(self.counts)}>"


Cells: TypeAlias = dict[str, dict[int | str, Cell]]
"""The cells of one histogram by method and status, both as they become labels."""


class RouteMetrics:
    """
    What is counted of one route to one upstream as one service user.

    Attributes:
        name: The route; empty for requests that no route matched.
        server_address: The upstream's host, with its port if that is not the scheme's own.
        service_user: Whose tokens it attaches.
        server: Requests as the caller saw them; shared by all of the same route.
        client: Requests as the upstream answered them; shared by all of the same route and address.
        token_results: Requests by where their token came from, see `RESULTS`; shared by all of the
            same service user.
        replays: Requests sent once more with a new token.
        echoes: Responses that repeated the token they were asked for with.
    """

    __slots__ = (
        "client",
        "echoes",
        "name",
        "replays",
        "server",
        "server_address",
        "service_user",
        "token_results",
    )

    def __init__(
        self,
        key: tuple[str, str, str],
        server: Cells,
        client: Cells,
        token_results: dict[str, int],
    ) -> None:
        self.name, self.server_address, self.service_user = key
        self.server = server
        self.client = client
        self.token_results = token_results
        self.replays = 0
        self.echoes = 0

    def done(
        self,
        method: str,
        status: int,
        seconds: float,
        upstream_status: int,
        upstream_seconds: float,
    ) -> None:
        """
        Count a request that has ended.

        Args:
            method: As the caller sent it.
            status: What the caller got.
            seconds: From the request's head to the response's end.
            upstream_status: What the upstream answered; 0 if it was not asked or did not answer.
            upstream_seconds: From the forwarding to the response's end.
        """
        try:
            cell = self.server[method][status]
        except KeyError:
            cell = _cell(self.server, method, status)
        bucket = bisect_left(BUCKETS, seconds)
        cell.counts[bucket] += 1
        cell.total += seconds
        if upstream_status:
            try:
                cell = self.client[method][upstream_status]
            except KeyError:
                cell = _cell(self.client, method, upstream_status)
            if upstream_seconds != seconds:  # equal unless the request waited for a token
                bucket = bisect_left(BUCKETS, upstream_seconds)
            cell.counts[bucket] += 1
            cell.total += upstream_seconds

    def __repr__(self) -> str:
        return f"<RouteMetrics {self.name} → {self.server_address} as {self.service_user}>"


def _cell(cells: Cells, method: str, status: int) -> Cell:
    """
    Return the cell of a method and status that may be new, or nobody's.
    """
    by_status = cells.setdefault(method if method in METHODS else OTHER, {})
    return by_status.setdefault(status if status in STATUSES else _class(status), Cell())


def _class(status: int) -> str:
    """
    Return what statuses that nobody registered fall under: their class (RFC 9110 §15).
    """
    return f"{status // 100}xx" if 100 <= status <= 599 else OTHER


def each(cells: Cells) -> Iterator[tuple[str, str, Cell]]:
    """
    Yield method, status and cell; whoever counts meanwhile may add more.
    """
    for method, by_status in tuple(cells.items()):
        for status, cell in tuple(by_status.items()):
            yield method, str(status), cell

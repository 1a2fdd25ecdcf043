"""
What is counted, as the text that Prometheus scrapes.

Counting is ours, exporting is prometheus_client's; that takes some 10 µs a line, so a thousand
series would hold up every request for a tenth of a second. Hence the text is made in parts of a
millisecond, and the loop turns between them. Scrapes wait for each other.

The registry is our own: nothing else in the process can add to what is told here.
"""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.observe import metrics as declared
from proxy.observe.cells import BUCKETS, Cell, each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.observe.metrics import Family, Metrics
    from proxy.observe.reading import Reading, UpstreamReading

T = TypeVar("T")
Labels: TypeAlias = tuple[str, ...]

BOUNDS = (*map(str, BUCKETS), "+Inf")

# About a millisecond of work each: a histogram's series makes 17 lines
CELLS = 6
SAMPLES = 100

# OpenMetrics 1.0, "Overall Structure": the last line, which each part comes with
EOF = b"# EOF\n"

PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class Exposition(Collector):
    """
    Makes the text of what is counted.

    Args:
        metrics: What is counted.
        read: Looks up what need not be counted.
    """

    def __init__(self, metrics: Metrics, read: Callable[[], Reading]) -> None:
        self._metrics = metrics
        self._read = read
        self._build = (_version(), platform.python_version())
        self._turn = asyncio.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        _ = ProcessCollector(registry=self._registry)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """
        Return the text and its media type.

        Args:
            accept: Which format is wanted: the request's `Accept`.
        """
        encode, media_type = _encoder(accept)
        pieces: list[bytes] = []
        end = b""
        before = ""
        async with self._turn:
            for part in self._registry.collect():
                piece = encode(_One(part))
                if piece.endswith(EOF):
                    piece, end = piece[: -len(EOF)], EOF
                pieces.append(_headless(piece) if part.name == before else piece)
                before = part.name
                await asyncio.sleep(0)
        return b"".join((*pieces, end)), media_type

    def collect(self) -> Iterator[Metric]:
        """
        Yield every metric in parts; the parts of one follow each other.
        """
        metrics, reading = self._metrics, self._read()
        routes = tuple(metrics.routes.values())
        servers = {"": metrics.unrouted.server, **{route.name: route.server for route in routes}}
        yield from _histograms(
            declared.SERVER_DURATION,
            (
                ((method, status, name), cell)
                for name, cells in servers.items()
                for method, status, cell in each(cells)
            ),
        )
        clients = {(route.name, route.server_address): route.client for route in routes}
        yield from _histograms(
            declared.CLIENT_DURATION,
            (
                ((method, status, *key), cell)
                for key, cells in clients.items()
                for method, status, cell in each(cells)
            ),
        )
        yield from self._requests()
        yield from self._tokens(reading)
        yield from _number(declared.CONNECTIONS, reading.connections)
        yield from _upstreams(reading.upstreams)
        yield from _number(declared.LINES_DROPPED, reading.lines_dropped)
        yield from _number(declared.AUDIT_DROPPED, reading.audit_dropped)
        yield from self._configuration()
        yield from _numbers(declared.BUILD, [(self._build, 1)])

    def _requests(self) -> Iterator[Metric]:
        metrics = self._metrics
        replays: Counter[str] = Counter()
        echoes: Counter[str] = Counter()
        results: dict[Labels, int] = {}
        for route in metrics.routes.values():
            replays[route.name] += route.replays
            echoes[route.name] += route.echoes
            for result, count in route.token_results.items():
                results[route.service_user, result] = count
        yield from _number(declared.ACTIVE, metrics.active)
        yield from _numbers(declared.TOKEN_CACHE, results.items())
        yield from _numbers(declared.REPLAYS, _labelled(replays))
        yield from _numbers(declared.TOKEN_ECHOES, _labelled(echoes))
        yield from _numbers(declared.CALLERS_DENIED, _labelled(metrics.denied))
        yield from _numbers(declared.CALLERS_REPORTED, _labelled(metrics.reported))
        yield from _numbers(declared.RATE_LIMITED, tuple(metrics.rate_limited.items()))

    def _configuration(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield from _number(declared.RELOAD_SUCCESSFUL, int(metrics.reload_successful))
        reloaded = [((), metrics.reloaded_at)] if metrics.reloaded_at else []
        yield from _numbers(declared.RELOADED_AT, reloaded)
        yield from _number(declared.GENERATION, metrics.generation)
        yield from _numbers(declared.RELOADS, _labelled(metrics.reloads))

    def _tokens(self, reading: Reading) -> Iterator[Metric]:
        metrics = self._metrics
        none = {(user, outcome): 0 for user in reading.minting for outcome in declared.OUTCOMES}
        yield from _numbers(declared.MINTS, {**none, **metrics.mints}.items())
        yield from _histograms(declared.MINT_DURATION, _labelled(metrics.mint_durations))
        yield from _numbers(declared.TOKEN_EXPIRY, _labelled(reading.token_expiry))
        yield from _numbers(declared.TOKEN_STALE, _labelled(reading.token_stale))
        yield from _numbers(declared.REVOKED, _labelled(reading.revoked))
        yield from _numbers(declared.ISSUER_RESTING, _labelled(reading.issuer_resting))
        yield from _numbers(declared.CREDENTIAL_EXPIRY, _labelled(reading.credential_expiry))


class _One(Collector):
    """
    One part of a metric, for an encoder that takes registries.
    """

    def __init__(self, part: Metric) -> None:
        self._part = part

    def collect(self) -> Iterable[Metric]:
        return (self._part,)


def _histograms(family: Family, rows: Iterable[tuple[Labels, Cell]]) -> Iterator[Metric]:
    for some in _batches(rows, CELLS):
        part = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, cell in some:
            buckets = tuple(zip(BOUNDS, accumulate(cell.counts), strict=True))
            part.add_metric(labels, buckets, cell.total)
        yield part


def _numbers(family: Family, rows: Iterable[tuple[Labels, float]]) -> Iterator[Metric]:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    for some in _batches(rows, SAMPLES):
        part = make(family.name, family.help, labels=family.labels)
        for labels, value in some:
            part.add_metric(labels, value)
        yield part


def _upstreams(upstreams: Mapping[str, UpstreamReading]) -> Iterator[Metric]:
    connections = {
        (address, state): getattr(upstream, state)
        for address, upstream in upstreams.items()
        for state in ("active", "idle", "connecting")
    }
    waiting = {address: upstream.waiting for address, upstream in upstreams.items()}
    resting = {address: int(upstream.resting) for address, upstream in upstreams.items()}
    yield from _numbers(declared.UPSTREAM_CONNECTIONS, connections.items())
    yield from _numbers(declared.UPSTREAM_WAITING, _labelled(waiting))
    yield from _numbers(declared.UPSTREAM_RESTING, _labelled(resting))


def _number(family: Family, value: float) -> Iterator[Metric]:
    return _numbers(family, [((), value)])


def _labelled(values: Mapping[str, T]) -> Iterator[tuple[Labels, T]]:
    """
    Yield the values of a metric with one label, as they are now.
    """
    return (((label,), value) for label, value in tuple(values.items()))


def _batches(rows: Iterable[T], most: int) -> Iterator[tuple[T, ...]]:
    """
    Yield the rows, so many at once; if there are none, once nothing.

    Between two batches the loop turns: rows must not be taken from what grows with requests.
    """
    rest = iter(rows)
    batch = tuple(islice(rest, most))
    yield batch
    while batch := tuple(islice(rest, most)):
        yield batch


def _headless(piece: bytes) -> bytes:
    while piece.startswith(b"#"):
        piece = piece[piece.index(b"\n") + 1 :]
    return piece


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """
    Return the encoder for this `Accept`, and the media type it makes.
    """
    if accept.isascii() and accept.isprintable():  # the media type repeats some of it
        try:
            return choose_encoder(accept)
        except TypeError:  # a version that is no number
            pass
    return generate_latest, PLAIN


def _version() -> str:
    try:
        return version("zitadel-authproxy")
    except PackageNotFoundError:  # pragma: no cover - run from a folder
        return "unknown"

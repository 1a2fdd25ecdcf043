"""
Spans as OpenTelemetry has them, sent by OTLP over HTTP. Imported only where that is asked for.

The encoding, the sending and its retries are OpenTelemetry's own. It complains by `logging`, which
nothing here listens to: its words are kept, to tell why spans were lost, and go no further. They may
repeat the collector's address and the headers for it, whose secrets are taken out (`secret_words`).
"""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from proxy.core.answer import quoted
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.observe.traces import Span, Spot

DISTRIBUTION: Final = "zitadel-authproxy"
NAME: Final = "authproxy"
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
KINDS: Final = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
FAILED: Final = "the collector did not take them"

VARIABLES: Final = "OTEL_EXPORTER_OTLP_"
"""What the variables begin with that say where the collector is, and what it is shown."""

SHORTEST_HIDDEN: Final = 4
"""Characters of what is taken for a secret: less would be found in any word (rule of ours)."""


class Words(logging.Handler):
    """
    Keeps the last thing OpenTelemetry complained of.

    Args:
        hide: What it must not repeat.
    """

    def __init__(self, hide: tuple[Secret, ...]) -> None:
        super().__init__(logging.WARNING)
        self._hide = hide
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """
        Keep it, cut and without control characters: a collector's words may be in it.
        """
        self.last = quoted(record.getMessage(), hide=self._hide, limit=200)


class OtlpExporter:
    """
    Sends spans to a collector.

    Args:
        endpoint: Its URL, path included; empty for what the environment says.
        service_name: What this proxy is called; empty for what the environment says.
        environ: That environment; the rest of OTEL_EXPORTER_OTLP_* the exporter reads for itself.
    """

    def __init__(self, endpoint: str, service_name: str, environ: Mapping[str, str]) -> None:
        said = {"service.version": _version()}
        named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        if service_name or not named:
            said["service.name"] = service_name or NAME
        self._resource = Resource.create(said)
        self._scope = InstrumentationScope(NAME, _version())
        self._words = Words(secret_words(endpoint, environ))
        self._logger = logging.getLogger("opentelemetry")
        self._before = self._logger.propagate
        self._logger.addHandler(self._words)
        self._logger.propagate = False
        self._exporter = OTLPSpanExporter(endpoint=endpoint or None)

    def export(self, spans: Sequence[Span]) -> str:
        """
        Send spans, and return why that failed; empty if it did not.
        """
        self._words.last = ""
        try:
            result = self._exporter.export([self._readable(span) for span in spans])
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on
            return type(error).__name__
        return "" if result is SpanExportResult.SUCCESS else self._words.last or FAILED

    def hurry(self) -> None:
        """
        Have `export` come to an end: it waits for no more retries.
        """
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """
        Leave `logging` as it was.
        """
        self._logger.removeHandler(self._words)
        self._logger.propagate = self._before

    def _readable(self, span: Span) -> ReadableSpan:
        parent = None
        if span.parent:
            parent = SpanContext(span.spot.trace, span.parent, span.remote, SAMPLED)
        attributes: dict[str, Any] = dict(span.attributes)
        return ReadableSpan(
            span.name,
            context=_context(span.spot),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            links=[Link(_context(spot)) for spot in span.links],
            kind=KINDS[span.kind],
            status=Status(StatusCode.ERROR) if span.error else Status(StatusCode.UNSET),
            start_time=_nanoseconds(span.began),
            end_time=_nanoseconds(max(span.began, span.ended)),
            instrumentation_scope=self._scope,
        )


def secret_words(endpoint: str, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """
    Return what may be a secret of what a collector is reached with, the longest first: user, password
    and query of its URL, the values of headers. Each as written, and as Python would quote it.

    Args:
        endpoint: Its URL; empty for what the environment says.
        environ: That environment.
    """
    words: set[str] = set()
    for name, text in (("ENDPOINT", endpoint), *environ.items()):
        if name.startswith(VARIABLES) and name.endswith("HEADERS"):
            words |= {pair.partition("=")[2] for pair in text.split(",")}
        elif name == "ENDPOINT" or (name.startswith(VARIABLES) and name.endswith("ENDPOINT")):
            user = text.rpartition("@")[0].rpartition("//")[2]
            words |= {user, user.partition(":")[2], text.partition("?")[2]}
    words |= {unquote(word) for word in words}
    words |= {word.strip() for word in words}
    words |= {repr(word)[1:-1] for word in words}
    longest_first = sorted(words, key=len, reverse=True)
    return tuple(Secret(word) for word in longest_first if len(word) >= SHORTEST_HIDDEN)


def _context(spot: Spot) -> SpanContext:
    return SpanContext(spot.trace, spot.span, is_remote=False, trace_flags=SAMPLED)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e6) * 1000  # finer than that, a float of the epoch's seconds is not


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # pragma: no cover - run from a folder
        return "unknown"

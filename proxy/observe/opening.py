"""
Opens traces, if there is a collector by the settings or the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from typing import TYPE_CHECKING, Final

from proxy.config.network import Url
from proxy.config.traces import OFF, can_trace
from proxy.observe.spool import Spool
from proxy.observe.traces import Traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from structlog.typing import FilteringBoundLogger

    from proxy.config import traces
    from proxy.core.clock import Clock

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where a collector is, in the environment; OpenTelemetry's own exporter reads what they say."""

LAST_WORDS: Final = 2.0
"""Seconds that spans are given to be sent in the end."""


@contextlib.asynccontextmanager
async def open_traces(
    settings: traces.Traces,
    environ: Mapping[str, str],
    clock: Clock,
    log: FilteringBoundLogger,
    last_words: float = LAST_WORDS,
) -> AsyncIterator[Traces | None]:
    """
    Yield what requests are told of to; None if there is no collector.

    Nothing of OpenTelemetry is imported for None.

    Args:
        settings: `traces` of proxy.yaml.
        environ: The environment.
        clock: Wall and boot time.
        log: Told of spans that are lost.
        last_words: Seconds that spans are given to be sent in the end.
    """
    if not wanted(settings, environ):
        yield None
        return
    if not can_trace():  # proxy.yaml was checked: it is the environment that asks
        reason = "OpenTelemetry is not installed; install zitadel-authproxy[otel]"
        log.warning("traces.unavailable", reason=reason)
        yield None
        return
    from proxy.observe.otlp import OtlpExporter

    endpoint = "" if settings.otlp_endpoint is None else str(settings.otlp_endpoint)
    exporter = OtlpExporter(endpoint, settings.service_name or "", environ)
    loop = asyncio.get_running_loop()

    def tell(lost: int, reason: str) -> None:
        def write() -> None:
            log.warning("traces.lost", spans=lost, reason=reason)

        with contextlib.suppress(RuntimeError):  # the loop has ended: so has the log
            loop.call_soon_threadsafe(write)

    spool = Spool(exporter, tell)
    chance = random.Random(secrets.randbits(256))  # noqa: S311 - ids are to differ, not to be secret
    try:
        yield Traces(spool, clock, settings.sample, chance.getrandbits)
    finally:
        await asyncio.to_thread(spool.close, last_words)


def wanted(settings: traces.Traces, environ: Mapping[str, str]) -> bool:
    """
    Say whether there is a collector, by proxy.yaml or else by the environment.
    """
    if settings.otlp_endpoint == OFF or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if isinstance(settings.otlp_endpoint, Url):
        return True
    if environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environ.get(name) for name in ENDPOINTS)

"""
Every event but the per-request line: structlog, JSON unless a terminal reads.

No credential reaches a line: values travel as `Secret`, and what still bears a telling name is
blanked here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

from proxy.observe.access import dumps, timestamp
from proxy.observe.console import ConsoleRenderer, wants_colour, wants_console

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

    from proxy.observe.sink import LineSink

__all__ = ["loss_notice", "make_logger", "wants_colour", "wants_console"]

# Keys whose values would be credentials if anybody ever logged them
TELLING = frozenset(
    (
        "access_token",
        "api_key",
        "assertion",
        "authorization",
        "client_secret",
        "key",
        "password",
        "pem",
        "proxy-authorization",
        "secret",
        "x-api-key",
    )
)


class SinkLogger:
    """
    What structlog hands its finished lines to.
    """

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink

    def msg(self, message: str | bytes) -> None:
        """
        Hand over one line.
        """
        line = message if isinstance(message, bytes) else message.encode("utf-8", "replace")
        self._sink.put(line + b"\n")

    log = debug = info = warn = warning = error = critical = exception = msg


def redact(
    _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """
    Blank values under telling names, whoever put them there.
    """
    for name in event:
        if name.lower() in TELLING:
            event[name] = "***"
    return event


def make_logger(
    sink: LineSink,
    wall: Callable[[], float],
    *,
    console: bool,
    colour: bool | None = None,
    level: int = logging.INFO,
) -> FilteringBoundLogger:
    """
    Return the logger for events.

    Args:
        sink: Where lines go.
        wall: Seconds since the epoch.
        console: For a person rather than a machine.
        colour: Whether a person gets colours; by default, if standard output's reader wants them.
        level: The lowest level that is written.
    """

    def stamp(
        _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        first = {"timestamp": timestamp(wall()), "level": event["level"], "event": event["event"]}
        return {**first, **event}

    last: tuple[Processor, ...] = (_tracebacks(), structlog.processors.JSONRenderer(_to_json))
    if console:
        render = ConsoleRenderer(colour=wants_colour() if colour is None else colour)
        last = (structlog.processors.format_exc_info, render)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        SinkLogger(sink),
        processors=[structlog.processors.add_log_level, redact, stamp, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def _tracebacks() -> Processor:
    """
    Return what makes a structure of a traceback; without locals, which hold callers' headers.
    """
    return structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )


def _to_json(record: Any, **_: Any) -> bytes:
    return dumps(record, default=repr)


def loss_notice(
    wall: Callable[[], float], *, console: bool, event: str = "log.dropped"
) -> Callable[[int], bytes]:
    """
    Return what a `Sink` writes once it can write again.

    Args:
        wall: Seconds since the epoch.
        console: For a person rather than a machine; without colours.
        event: What it is called.
    """

    def notice(lines: int) -> bytes:
        said = {
            "timestamp": timestamp(wall()),
            "level": "warning",
            "event": event,
            "lines": lines,
        }
        if console:
            return f"{ConsoleRenderer(colour=False)(None, '', said)}\n".encode()
        return dumps(said) + b"\n"

    return notice

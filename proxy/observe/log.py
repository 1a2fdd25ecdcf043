"""
Every event but the per-request line: structlog, JSON unless a terminal reads.

No credential reaches a line: values travel as `Secret`, and what still bears a telling name is
blanked here.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from proxy.observe.access import dumps, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

    from proxy.observe.sink import LineSink

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
    sink: LineSink, wall: Callable[[], float], *, console: bool, level: int = logging.INFO
) -> FilteringBoundLogger:
    """
    Return the logger for events.

    Args:
        sink: Where lines go.
        wall: Seconds since the epoch.
        console: For a person rather than a machine.
        level: The lowest level that is written.
    """

    def stamp(
        _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {"timestamp": timestamp(wall()), **event}

    def to_json(record: Any, **_: Any) -> bytes:
        return dumps(record, default=repr)

    last: Processor
    if console:
        last = structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )
    else:
        last = structlog.processors.JSONRenderer(serializer=to_json)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        redact,
        *([] if console else [structlog.processors.dict_tracebacks]),
        stamp,
        last,
    ]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        SinkLogger(sink),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def wants_console(stream: TextIO = sys.stdout) -> bool:
    """
    Return whether a person reads: the stream is a terminal.
    """
    return stream.isatty()

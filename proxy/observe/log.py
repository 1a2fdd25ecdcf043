"""
Every event but the per-request line: structlog, in the form that is asked for.

No credential reaches a line: values travel as `Secret`, what still bears a telling name is blanked
here, and so is what looks like one in the text of an exception, which is nobody's to choose.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import structlog

from proxy.observe.access import timestamp
from proxy.observe.formats import event_form

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

    from proxy.observe.formats import LogFormat
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


# RFC 9110 §11.6.2 credentials, RFC 7519 §3 JWTs (a JSON object in base64url), RFC 7468 §2 keys
CREDENTIAL_LIKE = re.compile(
    r"(?i:\b(?:bearer|basic) +)[A-Za-z0-9._~+/=-]{8,}"
    r"|\beyJ[\w-]{8,}[\w.-]*"
    r"|-----BEGIN [^-\n]*KEY-----[A-Za-z0-9+/=\s\\]*"
)

# What a traceback stands under: as a structure, or as text
TRACEBACK = "exception"


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


def blot(
    _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """
    Blank what looks like a credential in a traceback: an exception's message may quote anything.
    """
    if TRACEBACK in event:
        event[TRACEBACK] = _blotted(event[TRACEBACK])
    return event


def _blotted(value: Any) -> Any:
    match value:
        case str():
            return CREDENTIAL_LIKE.sub("***", value)
        case dict():
            return {key: _blotted(each) for key, each in value.items()}
        case list() | tuple():
            return [_blotted(each) for each in value]
        case _:
            return value


def make_logger(
    sink: LineSink,
    wall: Callable[[], float],
    *,
    style: LogFormat = "json",
    colour: bool | None = None,
    level: int = logging.INFO,
) -> FilteringBoundLogger:
    """
    Return the logger for events.

    Args:
        sink: Where lines go.
        wall: Seconds since the epoch.
        style: The form of lines. Default: json.
        colour: Whether a person gets colours; by default, if standard output's reader wants them.
        level: The lowest level that is written.
    """

    def stamp(
        _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        first = {"timestamp": timestamp(wall()), "level": event["level"], "event": event["event"]}
        return {**first, **event}

    form = event_form(style, colour=colour)

    def render(
        _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> str | bytes:
        return form(event)

    explain: Processor = _tracebacks() if style == "json" else structlog.processors.format_exc_info
    logger: FilteringBoundLogger = structlog.wrap_logger(
        SinkLogger(sink),
        processors=[structlog.processors.add_log_level, redact, stamp, explain, blot, render],
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


def loss_notice(
    wall: Callable[[], float],
    *,
    style: LogFormat = "json",
    event: str = "log.dropped",
) -> Callable[[int], bytes]:
    """
    Return what a `Sink` writes once it can write again.

    Args:
        wall: Seconds since the epoch.
        style: The form of the line, without colours. Default: json.
        event: What it is called.
    """
    form = event_form(style, colour=False)

    def notice(lines: int) -> bytes:
        said = {
            "timestamp": timestamp(wall()),
            "level": "warning",
            "event": event,
            "lines": lines,
        }
        return form(said) + b"\n"

    return notice

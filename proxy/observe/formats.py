"""
The forms the log can be written in, and which one it is.

`json` and `ecs` say all there is to say, `logfmt` too; `console` is for a person. `combined` has a
form for requests alone: other events are logfmt lines among them, and begin with `timestamp=`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from proxy.errors import ConfigError
from proxy.observe import combined, ecs, logfmt
from proxy.observe.access import (
    AccessLog,
    ConsoleAccessLog,
    FailuresLog,
    FormedLog,
    NoLog,
    dumps,
    moment,
)
from proxy.observe.console import ConsoleRenderer, wants_colour, wants_console
from proxy.problem import Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from proxy.observe.access import RequestForm
    from proxy.observe.sink import LineSink

LogFormat = Literal["json", "ecs", "combined", "logfmt", "console"]

AUTO: Final = "auto"

CHOICES: Final = (AUTO, *get_args(LogFormat))
"""What can be asked for; `auto` is console if a terminal reads, else json."""

VARIABLE: Final = "AUTHPROXY_LOG_FORMAT"
"""The environment variable that asks for one."""


def choose(
    flag: str | None, environ: Mapping[str, str], setting: str, *, terminal: bool | None = None
) -> LogFormat:
    """
    Return the form to write in: what the command line says, else the environment, else proxy.yaml.

    Args:
        flag: `--log-format`; None if it was not given.
        environ: The environment.
        setting: What proxy.yaml says, or its default.
        terminal: Whether a person reads; by default, if standard output is a terminal.

    Raises:
        ConfigError: The environment asks for a form there is not.
    """
    asked = flag or environ.get(VARIABLE) or setting
    if asked not in CHOICES:
        instead = f"write one of {', '.join(CHOICES)}"
        raise ConfigError(
            [Problem(VARIABLE, "is no log format", instead=instead, file="environment")]
        )
    if asked == AUTO:
        reads = wants_console() if terminal is None else terminal
        return "console" if reads else "json"
    return cast("LogFormat", asked)


def event_form(style: LogFormat, *, colour: bool | None = None) -> Callable[[Any], bytes]:
    """
    Return what makes a line, without a line break, of any event but a request.

    Args:
        style: The form.
        colour: Whether a person gets colours; by default, if standard output's reader wants them.
    """
    if style == "console":
        render = ConsoleRenderer(colour=wants_colour() if colour is None else colour)
        return lambda facts: render(None, "", facts).encode("utf-8", "replace")
    if style == "json":
        return _dumped
    if style == "ecs":
        return lambda facts: _dumped(ecs.event(facts))
    return logfmt.line


def _dumped(facts: Mapping[str, Any]) -> bytes:
    """
    Return facts as JSON, whatever they hold: a file's name may be no text (PEP 383), a number may be
    beyond 64 bits. Whoever tells of trouble must not get into it.
    """
    try:
        return dumps(facts, default=repr)
    except TypeError:
        return json.dumps(facts, separators=(",", ":"), default=repr).encode()


def open_access(
    style: LogFormat,
    sink: LineSink,
    wall: Callable[[], float],
    loop: asyncio.AbstractEventLoop,
    *,
    requests: Literal["all", "errors", "off"] = "all",
    colour: bool | None = None,
) -> AccessLog:
    """
    Return what writes the lines of requests.

    Args:
        style: Their form.
        sink: Where they go.
        wall: Seconds since the epoch.
        loop: Whose timer flushes a batch that stays small.
        requests: Which requests have one.
        colour: Whether a person gets colours; by default, if standard output's reader wants them.
    """
    log: AccessLog
    if requests == "off":
        return NoLog(sink, wall, loop)
    if style == "json":
        log = AccessLog(sink, wall, loop)
    elif style == "console":
        log = ConsoleAccessLog(sink, wall, loop, colour=colour)
    else:
        log = FormedLog(sink, wall, loop, *_REQUESTS[style])
    return FailuresLog(log) if requests == "errors" else log


def _ecs_request(second: str, thousandths: int, record: dict[str, Any]) -> bytes:
    return dumps(ecs.request(f"{second}.{thousandths:03d}Z", record), default=repr)


def _logfmt_request(second: str, thousandths: int, record: dict[str, Any]) -> bytes:
    stamp = f"{second}.{thousandths:03d}Z"
    return logfmt.line({"timestamp": stamp, "level": "info", "event": "request.done", **record})


def _combined_request(second: str, _: int, record: dict[str, Any]) -> bytes:
    return combined.request(second, record)


_REQUESTS: Final[Mapping[str, tuple[Callable[[int], str], RequestForm]]] = {
    "ecs": (moment, _ecs_request),
    "logfmt": (moment, _logfmt_request),
    "combined": (combined.stamp, _combined_request),
}
"""How the second stands in a line, and how the line is made."""

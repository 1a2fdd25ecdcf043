"""
One line per request, cheap enough to be on.

Lines are serialised as they come and written in batches: after `BATCH` lines, or `PATIENCE`
seconds after the first of them. The keys are the contract's, always in the same order.
"""

from __future__ import annotations

import json
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from proxy.observe.console import DIM, GREEN, RED, YELLOW, paint, printable, wants_colour

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import TypeAlias

    from proxy.observe.sink import LineSink


def _compact(record: object, default: Callable[[Any], Any] | None = None) -> bytes:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=default)
    return text.encode()


try:
    from orjson import dumps as _dumps
except ImportError:  # pragma: no cover - where orjson does not install
    _dumps = _compact  # type: ignore[assignment]

dumps: Callable[..., bytes] = _dumps
"""Serialises a line: compact JSON in UTF-8; `default` makes something of what JSON has no word for."""

BATCH = 256
"""Lines handed over at once: each handing over wakes the writing thread, which takes the GIL."""

PATIENCE = 0.2
"""Seconds a line waits for company."""


if TYPE_CHECKING:
    RequestForm: TypeAlias = Callable[[str, int, dict[str, Any]], bytes]
    """Makes a line, without a line break, of the second as text, thousandths of it, and a record."""


def timestamp(wall: float) -> str:
    """
    Return seconds since the epoch as RFC 3339 with milliseconds, in UTC.
    """
    return f"{moment(wall)}.{int(wall % 1 * 1000):03d}Z"


def moment(second: float) -> str:
    """
    Return the same to the second, and without the zone.
    """
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


class AccessLog:
    """
    Writes the `request.done` lines.

    Args:
        sink: Where they go.
        wall: Seconds since the epoch.
        loop: Whose timer flushes a batch that stays small.
    """

    def __init__(
        self, sink: LineSink, wall: Callable[[], float], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._sink = sink
        self._wall = wall
        self._loop = loop
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._prefix = b""

    def write(self, record: dict[str, Any]) -> None:
        """
        Add a line; `timestamp`, `level` and `event` are put in front.
        """
        wall = self._wall()
        second = int(wall)
        if second != self._second:
            self._second = second
            self._prefix = b'{"timestamp":"%b.' % moment(second).encode()
        self._lines.append(
            b'%b%03dZ","level":"info","event":"request.done",%b'
            % (self._prefix, int((wall - second) * 1000), dumps(record)[1:])
        )
        if len(self._lines) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self.flush)

    def flush(self) -> None:
        """
        Hand over what has gathered.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._lines.append(b"")
            self._sink.put(b"\n".join(self._lines))
            self._lines = []


class ConsoleAccessLog(AccessLog):
    """
    The same lines for a person at a terminal.

    Args:
        sink: Where they go.
        wall: Seconds since the epoch.
        loop: As for `AccessLog`.
        colour: Whether to use colours; by default, if standard output's reader wants them.
    """

    def __init__(
        self,
        sink: LineSink,
        wall: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        *,
        colour: bool | None = None,
    ) -> None:
        super().__init__(sink, wall, loop)
        self._colour = wants_colour() if colour is None else colour

    def write(self, record: dict[str, Any]) -> None:
        """
        Write one line: status, method, path, where it went, as whom, how long it took.
        """
        status = record["status"]
        shade = GREEN if status < 400 else YELLOW if status < 500 else RED
        went = f"{record['route']} as {record['service_user']}" if record["route"] else "no route"
        extras = [f"{key}={record[key]}" for key in ("token", "caller", "error") if record.get(key)]
        if record.get("replayed"):
            extras.append("replayed")
        if record["duration_ms"] is not None:
            extras.append(f"{record['duration_ms']} ms")
        asked = f"{record['method']} {record['path']}" if record["method"] else "no request"
        words = (
            paint(timestamp(self._wall())[11:19], DIM, colour=self._colour),
            paint(str(status), shade, colour=self._colour),
            printable(asked),
            paint(printable(" ".join((f"→ {went}", *extras))), DIM, colour=self._colour),
        )
        self._sink.put(f"{' '.join(words)}\n".encode("utf-8", "replace"))


class FormedLog(AccessLog):
    """
    The same lines in another form.

    Args:
        sink: Where they go.
        wall: Seconds since the epoch.
        loop: As for `AccessLog`.
        stamp: How a second stands in them.
        form: Makes a line, without a line break.
    """

    def __init__(
        self,
        sink: LineSink,
        wall: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        stamp: Callable[[int], str],
        form: RequestForm,
    ) -> None:
        super().__init__(sink, wall, loop)
        self._stamp = stamp
        self._form = form
        self._stamped = ""

    def write(self, record: dict[str, Any]) -> None:
        """
        Add a line.
        """
        wall = self._wall()
        second = int(wall)
        if second != self._second:
            self._second = second
            self._stamped = self._stamp(second)
        self._lines.append(self._form(self._stamped, int((wall - second) * 1000), record))
        if len(self._lines) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self.flush)


class NoLog(AccessLog):
    """
    Writes nothing.
    """

    def write(self, record: dict[str, Any]) -> None:
        """
        Leave the request out.
        """


class FailuresLog(AccessLog):
    """
    Leaves out requests that went well.

    Args:
        log: Writes the others.
    """

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    def write(self, record: dict[str, Any]) -> None:
        """
        Add a line, if the caller got a 4xx or 5xx or something went wrong.
        """
        if record["status"] >= 400 or record["error"] is not None:
            self._log.write(record)

    def flush(self) -> None:
        """
        Hand over what has gathered.
        """
        self._log.flush()


def milliseconds(seconds: float) -> float:
    """
    Return milliseconds with three decimals, cut: rounding properly takes five times as long.
    """
    return int(seconds * 1e6) / 1e3


def no_request(request_id: str, *, client: str, status: int, error: str) -> dict[str, Any]:
    """
    Return the line of something that never became a request.
    """
    return {
        "request_id": request_id,
        "trace_id": None,
        "client": client,
        "caller": None,
        "method": None,
        "path": None,
        "route": None,
        "service_user": None,
        "upstream": None,
        "status": status,
        "upstream_status": None,
        "error": error,
        "token": None,
        "replayed": False,
        "bytes_in": 0,
        "bytes_out": 0,
        "duration_ms": None,
        "token_ms": None,
        "upstream_ms": None,
    }

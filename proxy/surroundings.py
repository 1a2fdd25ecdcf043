"""
What a runtime is given instead of reaching for it; the real clock and chance are named here.
"""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from proxy.core.clock import Clock
from proxy.supervision.inheritance import Inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config.model import Settings
    from proxy.observe.formats import LogFormat
    from proxy.observe.sink import LineSink


def real_clock() -> Clock:
    """
    Return the machine's clock; boot time counts through a suspend where the system can.
    """
    wall = time.time  # noqa: TID251 - the real clock is named here
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it
    return Clock(
        wall, time.monotonic if boottime is None else partial(time.clock_gettime, boottime)
    )


def request_ids() -> Callable[[], str]:
    """
    Return a source of request ids: a random prefix per process, then a counter.
    """
    prefix = secrets.token_hex(6)
    count = itertools.count(1)
    return lambda: f"{prefix}-{next(count):08x}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a runtime is given instead of reaching for it.

    Attributes:
        sink: Where log lines go.
        environ: The environment secrets may come from.
        clock: What time it is.
        grace: Seconds for requests in flight once a stop was asked for; None for what the settings
            say.
        connections: Callers' connections there are file descriptors for, where that may be fewer
            than the settings ask for; 0 if there are enough.
        style: The form of log lines.
        inherited: Listening sockets that somebody opened for this process.
        hide: Told of settings that are about to serve, so that their secrets are taken out of the
            environment of whatever this process starts.
    """

    sink: LineSink
    environ: Mapping[str, str]
    clock: Clock = field(default_factory=real_clock)
    grace: float | None = None
    connections: int = 0
    style: LogFormat = "json"
    inherited: Inherited = field(default_factory=Inherited)
    hide: Callable[[Settings], object] = lambda _settings: None

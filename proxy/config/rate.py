"""
How often and how many at once: the limits of callers, listeners and upstreams.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from proxy.config.network import TcpAddress, Url, parse_url
from proxy.config.quantity import Quantity, count, setting
from proxy.config.section import Section, Table, wrong
from proxy.core.rate import Allowance, Gate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.model import Listener, Settings
    from proxy.core.rate import Rates

SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
"""How long each unit is."""

MOST: Final = 1_000_000

_RATE: Final = r"([0-9]{1,7})/(s|m|h)"


def parse_rate(value: object) -> float:
    """
    Return requests a second for text such as `50/s`, `600/m`, `1000/h`.
    """
    found = re.fullmatch(_RATE, value) if isinstance(value, str) else None
    if found is not None:
        return int(found[1]) / SECONDS[found[2]]
    bare = isinstance(value, (int, float)) or (isinstance(value, str) and value.isdecimal())
    raise wrong("has no unit" if bare else "is no rate", "write it like 50/s, 600/m or 1000/h")


def show_rate(number: float) -> str:
    """
    Return so many requests a second by the shortest time in which they are a whole number.
    """
    for unit, seconds in SECONDS.items():
        whole = round(number * seconds)
        if whole and whole / seconds == number:
            return f"{whole}/{unit}"
    return f"{round(number * SECONDS['h'])}/h"


def pace(*, off: bool = False) -> Quantity:
    """
    Return a quantity of requests a second: `50/s`, `600/m`, `1000/h`.
    """
    schema = {"type": "string", "pattern": f"^{_RATE}$"}
    return Quantity(parse_rate, show_rate, 1 / SECONDS["h"], MOST, off, schema)


_BURST: Final = count(1, MOST)


def _burst(value: object) -> float:
    return _BURST.read(value)


# What may be missing altogether stands in a union, whose parts must be hashable: no `Quantity`
Burst = Annotated[int, PlainValidator(_burst), WithJsonSchema(dict(_BURST.schema))]


class RateLimits(Section):
    """
    How many requests; one more is answered 429, with the time to wait.
    """

    rate: Annotated[float, pace(off=True)] = setting(
        "off", "Most requests over time: N/s, N/m or N/h. off: any number."
    )
    burst: Burst | None = Field(
        default=None,
        description=(
            "Most requests at one go after a rest, before the rate alone counts. Default: what the "
            "rate lets through in a second, at least 1."
        ),
    )
    concurrent: Annotated[int, count(1, MOST, off=True)] = setting(
        "off", "Most requests at the same time; a WebSocket is one while it lasts. off: any number."
    )

    @model_validator(mode="after")
    def _say_something(self) -> RateLimits:
        if self.burst is not None and not self.rate:
            raise wrong("has a burst and no rate", "write rate: 50/s beside it")
        if not self.rate and not self.concurrent:
            raise wrong("limits nothing", "write rate: 50/s or concurrent: 20")
        return self

    def allowance(self) -> Allowance:
        """
        Return what may be used up.
        """
        burst = max(1.0, self.rate) if self.burst is None else float(self.burst)
        return Allowance(self.rate, burst, self.concurrent)


def parse_origin(value: object) -> Url:
    """
    Return the URL of an origin: scheme, host and port.
    """
    url = parse_url(value)
    if url.path not in {"", "/"}:
        raise wrong("holds a path", "write scheme, host and port alone, as https://host")
    return url


def any_number() -> Mapping[Url, RateLimits]:
    """
    Return the limits of no upstream, the default.
    """
    return MappingProxyType({})


def _each_once(upstreams: Table[Url, RateLimits]) -> Table[Url, RateLimits]:
    if len({url.origin for url in upstreams}) < len(upstreams):
        raise wrong("names one origin twice", "write the limits of each upstream once")
    return upstreams


Origin = Annotated[
    Url,
    PlainValidator(parse_origin),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$"}),
]
"""Scheme, host and port, as keys."""

Upstreams = Annotated[Table[Origin, RateLimits], AfterValidator(_each_once)]
"""The limits of upstreams, by origin."""


def gate(settings: Settings, rates: Rates) -> Gate | None:
    """
    Return what requests go through; None if nothing is limited.

    Args:
        settings: What is allowed.
        rates: What was used of it so far.
    """
    callers = {
        name: rates.meter("caller", name, caller.limits.allowance())
        for name, caller in settings.callers.items()
        if caller.limits is not None
    }
    listeners = tuple(
        None
        if each.limits is None
        else rates.meter("listener", _called(index, each), each.limits.allowance())
        for index, each in enumerate(settings.listen)
    )
    upstreams = {
        url.origin: rates.meter("upstream", url.origin, limits.allowance())
        for url, limits in settings.upstreams.items()
    }
    personal = bool(callers) or any(listeners)
    if not personal and not upstreams:
        return None
    return Gate(callers, listeners, upstreams, rates.refused, personal=personal)


def _called(index: int, listener: Listener) -> str:
    """
    Return what a listener is called: its address, or its index if it takes any free port.
    """
    address = listener.address
    free = isinstance(address, TcpAddress) and not address.port
    return f"listen[{index}]" if free else str(address)

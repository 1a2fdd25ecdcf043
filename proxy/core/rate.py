"""
How often, and how many at once: what callers, listeners and upstreams are allowed, and have used.

Theory of operation
-------------------
A token bucket: it holds up to `burst` permits, `rate` of them come in a second, and a request takes
one. So there are never more requests than `burst` + `rate` * seconds, over any stretch of time. Time
comes as an argument; a clock that stands still brings no permits, and one that jumps back brings
none either but is gone by from then on.

An `Allowance` is what is written. A `Usage` is what has been used of it; it belongs to a name and
outlives a configuration (`Rates`), so that a reload gives nobody a full bucket. A `Meter` is the two
together: it belongs to one configuration. Requests of the one before may still be in flight, and
leave by the meters they came by.

A request is counted for its caller, or for its listener if nobody is known to call, and for its
upstream. It takes all its permits or none: what is refused costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from proxy.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

Scope: TypeAlias = Literal["caller", "listener", "upstream"]

AGAIN = 1.0
"""Seconds after which to come back where nobody knows when a request will end; also the least."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    What requests may use up.

    Attributes:
        rate: Permits that come in a second; 0 for any number of requests.
        burst: Most permits that gather; at least 1 where there is a rate.
        concurrent: Most requests at once; 0 for any number.
    """

    rate: float = 0.0
    burst: float = 1.0
    concurrent: int = 0


class Usage:
    """
    What has been used of an allowance. Only meters change it.

    Attributes:
        permits: Left at that time, full whatever the burst to begin with. Below 0 after requests
            that were sent once more without asking.
        at: Boot-clock seconds.
        active: Requests that have entered and not left.
    """

    __slots__ = ("active", "at", "permits")

    def __init__(self) -> None:
        self.permits = math.inf
        self.at = 0.0
        self.active = 0

    def __repr__(self) -> str:
        return f"<Usage {self.permits:.1f} permits left, {self.active} active>"


@dataclass(frozen=True, slots=True)
class Meter:
    """
    An allowance, and what has been used of it.

    Attributes:
        scope: Whose it is: a caller's, a listener's or an upstream's.
        name: Their name in the configuration.
        allowance: What they may use up.
        usage: What they have used, also under configurations before this one.
    """

    scope: Scope
    name: str
    allowance: Allowance
    usage: Usage = field(default_factory=Usage)

    def enter(self, now: float) -> float:
        """
        Take a permit and a place for a request.

        Returns:
            0 if it may go on. Else nothing was taken, and it may in so many seconds, as far as can
            be told.
        """
        allowance, usage = self.allowance, self.usage
        rate = allowance.rate
        if rate:
            self._refill(now)
            if usage.permits < 1.0:
                return (1.0 - usage.permits) / rate
        if allowance.concurrent and usage.active >= allowance.concurrent:
            return AGAIN
        if rate:
            usage.permits -= 1.0
        usage.active += 1
        return 0.0

    def leave(self) -> None:
        """
        Free the place of a request that has ended.
        """
        self.usage.active -= 1

    def give_back(self) -> None:
        """
        Take back an `enter` as if it had not been.
        """
        self.usage.active -= 1
        if self.allowance.rate:
            self.usage.permits += 1.0

    def charge(self, now: float) -> None:
        """
        Take a permit for a request that is sent once more, whether there is one or not.
        """
        if self.allowance.rate:
            self._refill(now)
            self.usage.permits -= 1.0

    def _refill(self, now: float) -> None:
        allowance, usage = self.allowance, self.usage
        gone = now - usage.at
        usage.at = now
        permits = usage.permits + gone * allowance.rate if gone > 0.0 else usage.permits
        usage.permits = min(permits, allowance.burst)

    def refusal(self, wait: float) -> RateLimited:
        """
        Return what a request is told that may try again after *wait* seconds.
        """
        who = "the upstream" if self.scope == "upstream" else f"{self.scope} {self.name}"
        rate = self.allowance.rate
        if not rate or self.usage.permits >= 1.0:
            limit = f"{self.allowance.concurrent} requests at the same time"
        elif rate >= 1.0:
            limit = f"{rate:g} requests a second"
        else:
            limit = f"one request every {1.0 / rate:g} seconds"
        reason = f"{who} is at its limit of {limit}"
        return RateLimited(reason, retry_after=max(AGAIN, math.ceil(wait)))


@dataclass(frozen=True, slots=True)
class Gate:
    """
    Which meters count a request.

    Attributes:
        callers: Those of callers, by name.
        listeners: Those for requests of nobody known, by listener; None where they are not limited.
        upstreams: Those of upstreams, by origin.
        refused: Where refusals are counted, by scope and name.
        personal: It makes a difference who calls.
    """

    callers: Mapping[str, Meter]
    listeners: tuple[Meter | None, ...]
    upstreams: Mapping[str, Meter]
    refused: MutableMapping[tuple[str, str], int]
    personal: bool = True

    def enter(
        self, caller: str | None, listener: int, upstream: Meter | None, now: float
    ) -> tuple[Meter, ...]:
        """
        Let a request in.

        Args:
            caller: Who calls, by name; None for nobody known.
            listener: The listener it came to.
            upstream: The meter of where it goes.
            now: Boot-clock seconds.

        Returns:
            The meters it has to leave when it ends.

        Raises:
            RateLimited: It may not be sent now.
        """
        own = self.listeners[listener] if caller is None else self.callers.get(caller)
        if own is not None and (wait := own.enter(now)):
            raise self._refuse(own, wait)
        if upstream is None:
            return () if own is None else (own,)
        if wait := upstream.enter(now):
            if own is not None:
                own.give_back()
            raise self._refuse(upstream, wait)
        return (upstream,) if own is None else (own, upstream)

    def meters(self) -> Iterator[Meter]:
        """
        Yield all of them.
        """
        yield from self.callers.values()
        yield from filter(None, self.listeners)
        yield from self.upstreams.values()

    def _refuse(self, meter: Meter, wait: float) -> RateLimited:
        self.refused[meter.scope, meter.name] += 1
        return meter.refusal(wait)


class Rates:
    """
    All that has been used, by whose it is: it outlives configurations.

    Attributes:
        refused: How many requests were refused, by scope and name; 0 for each limit to begin with.
    """

    def __init__(self, refused: MutableMapping[tuple[str, str], int] | None = None) -> None:
        self.refused = {} if refused is None else refused
        self._usages: dict[tuple[Scope, str], Usage] = {}

    def meter(self, scope: Scope, name: str, allowance: Allowance) -> Meter:
        """
        Return a meter for this allowance, which goes on from what was used under this name.
        """
        self.refused.setdefault((scope, name), 0)
        usage = self._usages.setdefault((scope, name), Usage())
        return Meter(scope, name, allowance, usage)

    def retain(self, gate: Gate | None) -> None:
        """
        Forget whatever this gate does not count: after a reload.
        """
        meters = () if gate is None else tuple(gate.meters())
        self._usages = {(meter.scope, meter.name): meter.usage for meter in meters}
        for gone in self.refused.keys() - self._usages.keys():
            del self.refused[gone]

    def __repr__(self) -> str:
        return f"<Rates of {len(self._usages)} names>"

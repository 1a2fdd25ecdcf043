"""
What time it is at each issuer.

Theory of operation
-------------------
An issuer judges an assertion by its own clock, and ZITADEL forgives one second. So the time it
states in every answer's Date is noted, against the boot clock, which does not jump: from then on
assertions bear the issuer's time, whatever this host's wall clock says or does. A difference of up
to `TOLERANCE` seconds is taken for rounding and delay, and the wall clock is used.

A Date can be wrong too: a machine before the issuer may have written it. If the issuer refuses an
assertion with that time, the mint tries the wall clock's, and if that is accepted says so here.

State: per issuer its last reading, and whether it is to be trusted. Changed by answers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from proxy.core.refusal import http_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer

# Ours, in seconds: a Date has whole seconds, an answer takes some, and assertions are back-dated
# by more than this.
TOLERANCE = 5.0

# Ours: a Date before this (2020-01-01) is that of a machine without a clock.
EARLIEST = 1_577_836_800.0

# RFC 9111 §1.2.2: a delta-seconds value that is larger is read as this.
MAX_AGE = 2_147_483_648

MAX_ISSUERS = 256


@dataclass(frozen=True, slots=True)
class _Reading:
    """
    The issuer's time (seconds since the epoch) at a moment of the boot clock.
    """

    wall: float
    boot: float
    trusted: bool = True


class IssuerClocks:
    """
    The clocks of the issuers, as far as they are known.

    Args:
        clock: This host's.
        on_skew: Told once of an issuer whose clock differs by more than `TOLERANCE`, with the
            seconds this host is behind it.
    """

    def __init__(
        self, clock: Clock, on_skew: Callable[[Issuer, float], None] | None = None
    ) -> None:
        self._clock = clock
        self._on_skew = on_skew
        self._readings: LRUCache[object, _Reading] = LRUCache(MAX_ISSUERS)
        self._told: set[object] = set()

    def learn(self, issuer: Issuer, date: str | None, age: str | None = None) -> None:
        """
        Note the time an answer states.

        Args:
            issuer: Who answered.
            date: The answer's Date (RFC 9110 §6.6.1); None without one, which teaches nothing.
            age: Its Age (RFC 9111 §5.1), if it comes out of a cache.
        """
        said = _epoch(date, age)
        if said is None:
            return
        known = self._readings.get(issuer.place)
        trusted = known is None or known.trusted
        self._readings[issuer.place] = _Reading(said, self._clock.boot(), trusted)
        behind = self.behind(issuer)
        if not behind:
            self._told.discard(issuer.place)
        elif issuer.place not in self._told:
            self._told.add(issuer.place)
            if self._on_skew is not None:
                self._on_skew(issuer, behind)

    def now(self, issuer: Issuer) -> float:
        """
        Return what time it is at *issuer*, in seconds since the epoch.
        """
        reading = self._readings.get(issuer.place)
        behind = self.behind(issuer) if reading is not None and reading.trusted else 0.0
        return self._clock.wall() + behind

    def behind(self, issuer: Issuer) -> float:
        """
        Return the seconds this host's wall clock is behind the issuer's Date, negative if ahead;
        0.0 within the tolerance or if nothing is known.
        """
        reading = self._readings.get(issuer.place)
        if reading is None:
            return 0.0
        there = reading.wall + (self._clock.boot() - reading.boot)
        behind = there - self._clock.wall()
        return behind if abs(behind) > TOLERANCE else 0.0

    def wrong(self, issuer: Issuer) -> None:
        """
        Remember that *issuer* refused what bore the time of its Date, and took this host's.
        """
        reading = self._readings.get(issuer.place)
        if reading is not None:
            self._readings[issuer.place] = _Reading(reading.wall, reading.boot, trusted=False)

    def right(self, issuer: Issuer) -> None:
        """
        Remember that *issuer* took what bore the time of its Date.
        """
        reading = self._readings.get(issuer.place)
        if reading is not None and not reading.trusted:
            self._readings[issuer.place] = _Reading(reading.wall, reading.boot)

    def __repr__(self) -> str:
        return f"<IssuerClocks of {len(self._readings)} issuers>"


def _epoch(date: str | None, age: str | None) -> float | None:
    """
    Return the moment an answer was made plus what it aged in caches, in the middle of the second
    it names; None if it names none.
    """
    if date is None or len(date) > 64:
        return None
    moment = http_date(date)
    if moment is None or moment < EARLIEST:
        return None
    digits = age is not None and age.isascii() and age.isdigit() and len(age) <= 12
    return moment + 0.5 + (min(int(age or 0), MAX_AGE) if digits else 0)

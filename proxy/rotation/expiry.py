"""
Which credentials are about to end, said in time and once.

A key file states its end, a personal access token's stands in proxy.yaml; of other credentials
nobody knows one, and nothing is said. The warnings of a credential are remembered as long as it is
in use: a wall clock set back repeats none, and another credential, or the same one with another
end, begins anew. This file reads no clock and writes no log: who asks does both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.core.label import key_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.core.credential import Credential, Method, ServiceUser

EVENT = "credential.expiring"
"""What the news is called in the log."""

DAY = 24 * 3600.0

WARNINGS = (30, 14, 3, 1)
"""Days of remaining life below which that is said, once each; ours."""

_ENDED = 0

# The last second that a date can be written of.
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Ending:
    """
    One credential's end, come near or past.

    Attributes:
        service_user: Whose it is.
        method: What it is used for.
        days: Remaining life, rounded up to a tenth: 0.0 once it has ended, and only then.
        ends: When, as an ISO date and time in UTC.
        which: Its place among the service user's credentials, such as `1 of 2`.
        key_id: What the issuer calls it; None if it is no key.
    """

    service_user: str
    method: Method
    days: float
    ends: str
    which: str
    key_id: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """
        What the event `credential.expiring` says.
        """
        facts = {
            "service_user": self.service_user,
            "method": self.method,
            "days": self.days,
            "ends": self.ends,
            "which": self.which,
        }
        return facts if self.key_id is None else facts | {"key_id": self.key_id}


class Expiry:
    """
    Remembers what was said of which credential. `_said` is changed by `news` only.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, float], int] = {}

    def news(self, users: Iterable[ServiceUser], wall: float) -> tuple[Ending, ...]:
        """
        Return what is to be said now, the smallest warning that applies to each credential.

        Args:
            users: All service users with the credentials in use; of those left out, what was said
                is forgotten.
            wall: Seconds since the epoch.
        """
        said: dict[tuple[str, str, float], int] = {}
        endings: list[Ending] = []
        for user, index, credential, ends in _dated(users):
            mark = (user.name, credential.fingerprint, ends)
            before = said.get(mark, self._said.get(mark, math.inf))
            due = _due(ends - wall)
            if due < before:
                endings.append(_ending(user, index, credential, ends, wall))
            if (least := min(due, before)) < math.inf:
                said[mark] = int(least)
        self._said = said
        return tuple(endings)


def _dated(users: Iterable[ServiceUser]) -> Iterator[tuple[ServiceUser, int, Credential, float]]:
    """
    Yield each credential whose end is known, with its index and its end.
    """
    for user in users:
        for index, credential in enumerate(user.credentials):
            ends = credential.expires
            if ends is not None and math.isfinite(ends):
                yield user, index, credential, ends


def _due(left: float) -> float:
    """
    Return the warning that applies with *left* seconds to live: days, 0 if ended, infinity if none.
    """
    if left <= 0:
        return _ENDED
    return min((days for days in WARNINGS if left < days * DAY), default=math.inf)


def _ending(
    user: ServiceUser, index: int, credential: Credential, ends: float, wall: float
) -> Ending:
    return Ending(
        service_user=user.name,
        method=credential.method,
        days=_days(ends - wall),
        ends=_date(ends),
        which=f"{index + 1} of {len(user.credentials)}",
        key_id=key_id(credential),
    )


def _days(left: float) -> float:
    if left <= 0:
        return 0.0
    tenths = math.ceil(round(left / DAY * 10, 6))  # the last digits of a quotient are chance
    return max(tenths, 1) / 10


def _date(moment: float) -> str:
    # A date from a file may lie before or beyond what can be written
    written = datetime.fromtimestamp(min(max(moment, 0.0), _LAST), UTC)
    return written.isoformat(timespec="seconds")

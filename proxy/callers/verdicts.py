"""
What is remembered of credentials that were checked.

Theory of operation
-------------------
Credentials are known by their SHA-256 only, so that how long a look-up takes says nothing about how
near a guess is, and no credential lies in memory. Good and bad ones are kept apart: nobody who
shows rubbish can push out what is known of the good ones.

A good one is forgotten when its time is over by the boot clock or by the wall clock, whichever is
first: a wall clock that is set back prolongs nothing. A bad one is forgotten after seconds: it may
have been shown a moment too early.

State: the two caches, changed by whoever checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cachetools import TLRUCache, TTLCache

from proxy.callers.verifier import PENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.callers.verifier import Pending
    from proxy.core.clock import Clock

# Ours: each is at most a token's size.
MAX_GOOD: Final = 4096
MAX_BAD: Final = 4096

# Ours, in seconds.
BAD_FOR: Final = 10.0


@dataclass(frozen=True, slots=True, repr=False)
class _Good:
    claims: Mapping[str, object]
    until_boot: float
    until_wall: float


class Verdicts:
    """
    The credentials that were checked lately.

    Args:
        clock: Wall and boot time.
        leeway: Seconds for which one that has expired is still taken, if it is shown anew.
    """

    def __init__(self, clock: Clock, leeway: float) -> None:
        self._clock = clock
        self._leeway = leeway
        self._good: TLRUCache[bytes, _Good] = TLRUCache(
            MAX_GOOD, lambda _digest, good, _now: good.until_boot, timer=clock.boot
        )
        self._bad: TTLCache[bytes, bool] = TTLCache(MAX_BAD, BAD_FOR, timer=clock.boot)

    def find(self, digest: bytes) -> Mapping[str, object] | Pending | None:
        """
        Return the claims of a good credential, None for a bad one, PENDING for any other.
        """
        good = self._good.get(digest)
        if good is not None and self._clock.wall() < good.until_wall:
            return good.claims
        return None if digest in self._bad else PENDING

    def accept(
        self, digest: bytes, claims: Mapping[str, object], life: float, since: float
    ) -> Mapping[str, object]:
        """
        Remember a good credential, and return its claims as they are to be believed.

        Args:
            digest: Whose claims they are.
            claims: What it says.
            life: Seconds to believe it for, from *since*; not remembered unless some are left.
            since: Boot-clock seconds.

        Returns:
            The claims, read-only, with an `exp` (by this host's clock) that says when they end.
        """
        left = since + life - self._clock.boot()
        until_wall = self._clock.wall() + (left if left > 0 else left + self._leeway)
        said = claims.get("exp")
        # Half a second: what such sums lose is no news
        same = isinstance(said, (int, float)) and abs(until_wall - said) < 0.5
        believed = MappingProxyType(dict(claims) if same else {**claims, "exp": until_wall})
        self._good[digest] = _Good(believed, since + life, until_wall)  # not kept if it is over
        return believed

    def refuse(self, digest: bytes) -> None:
        """
        Remember a bad credential for a moment.
        """
        self._bad[digest] = True

    def clear(self) -> None:
        """
        Forget everything: what it was judged by has changed.
        """
        self._good.clear()
        self._bad.clear()

    def __repr__(self) -> str:
        return f"<Verdicts: {len(self._good)} good, {len(self._bad)} bad>"


def digest_of(credential: bytes) -> bytes:
    """
    Return what a credential is known by.
    """
    return sha256(credential).digest()

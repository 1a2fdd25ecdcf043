"""
Leaves an issuer alone while it is in trouble, and notices at once when it is well again.

Theory of operation
-------------------
Closed, mints pass, and failures in a row that are the issuer's with everybody (`TokenError.shared`)
are counted; a token sets the count back. At the limit it opens, and at once if the issuer asks for
patience (Retry-After, 429). Open, nobody's mint passes but one at a time, the trial: after a wait
that grows with each trial that fails, with jitter. Mints that were under way when it opened are no
trials: that they fail too is the same news.

Between trials the keeper knocks: a GET that costs the issuer next to nothing and takes no token.
An issuer that is down does not answer it; once it does, the next mint is let pass without waiting
for the trial's time. If the issuer answers knocks but fails mints, only the waits count. So an
outage costs few token requests, and its end is noticed within about a second.

This file knows no clock and no chance; both come as arguments. Times are boot-clock seconds.

State: this object, one per issuer as it is reached; changed by mints and knocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cachetools import LRUCache

from proxy.errors import MintHeldBack, MintTimeout
from proxy.tokens.backoff import again

if TYPE_CHECKING:
    from proxy.core.credential import Issuer
    from proxy.errors import TokenError

# More issuers than one proxy will have.
MAX_ISSUERS = 256

# Ours. Two could be chance; more would make callers wait for nothing.
LIMIT = 3

# Ours, in seconds: an outage of a minute then sees about eight trials, one of ten minutes fifty.
FIRST_TRIAL = 2.0
LONGEST_TRIAL = 16.0

# Ours: the least part of a wait that chance leaves. However it falls, an outage of a minute sees no
# more than ten trials.
LEAST = 0.5

# Ours, in seconds: a trial that has not ended (its deadline is the mint's) holds back the others.
TRIAL_TIME = 30.0

# Ours, in seconds: how often to knock, for how long so often, and how often after that.
KNOCK = 0.75
EAGER = 120.0
LATER_KNOCK = 5.0

# Ours, in seconds: what a caller is told to wait if nobody knows better.
COME_BACK = 1.0


class Breakers:
    """
    One breaker per issuer as it is reached, for as long as the process lives.
    """

    def __init__(self) -> None:
        self._breakers: LRUCache[object, Breaker] = LRUCache(MAX_ISSUERS)

    def __call__(self, issuer: Issuer) -> Breaker:
        """
        Return the breaker of *issuer*.
        """
        breaker = self._breakers.get(issuer.place)
        if breaker is None:
            breaker = self._breakers[issuer.place] = Breaker()
        return breaker


class Breaker:
    """
    The troubles of one issuer.

    Attributes:
        error: The failure that opened it or was the last since; None while closed.
    """

    __slots__ = (
        "_failures",
        "_hold_until",
        "_in_vain",
        "_knock_at",
        "_opened",
        "_silent",
        "_trial_at",
        "_trial_ends",
        "_trials",
        "error",
    )

    def __init__(self) -> None:
        self._close()

    def _close(self) -> None:
        self.error: TokenError | None = None
        self._failures = 0
        self._trials = 0
        self._opened = 0.0
        self._trial_at = 0.0
        self._trial_ends = -math.inf
        self._hold_until = -math.inf
        self._knock_at = math.inf
        self._silent = True
        self._in_vain = False

    @property
    def open(self) -> bool:
        """
        Say whether mints are held back.
        """
        return self.error is not None

    @property
    def silent(self) -> bool:
        """
        Say whether mints are held back and the last knock was not answered.
        """
        return self.error is not None and self._in_vain

    def wait(self, now: float) -> float:
        """
        Return for how many seconds no mint may begin; 0.0 if one may now.
        """
        if self.error is None:
            return 0.0
        if now < self._trial_ends:
            return COME_BACK
        return max(self._trial_at - now, 0.0)

    def standing(self, now: float) -> MintHeldBack | None:
        """
        Return the error of whoever asks for a mint at *now*; None if it may begin.
        """
        wait = self.wait(now)
        return self.refusal(now) if wait else None

    def refusal(self, now: float) -> MintHeldBack | None:
        """
        Return the error of whoever is not let wait for a mint; None while closed.
        """
        if self.error is None:
            return None
        wait = self.wait(now)
        # An unreachable issuer may be back any moment, whatever the wait: see the knocks
        soon = wait if self._hold_until > now else min(wait, LATER_KNOCK)
        reason = f"the issuer is left alone for a while: {self.error.reason}"
        return MintHeldBack(reason, retry_after=max(soon, COME_BACK), shared=True)

    def begin(self, now: float) -> bool:
        """
        Note that a mint begins; say whether it is the trial, which it is if this is open.
        """
        if self.error is None:
            return False
        self._trial_ends = now + TRIAL_TIME
        return True

    def succeeded(self) -> bool:
        """
        Note that the issuer gave a token, or refused one as an issuer does; say if that is news.
        """
        was_open = self.error is not None
        self._close()
        return was_open

    def failed(self, error: TokenError, now: float, chance: float, *, trial: bool = False) -> bool:
        """
        Note a failure that is the issuer's with everybody; say whether it has opened with it.

        Args:
            error: What happened.
            now: Boot-clock seconds.
            chance: From 0 up to 1; spreads the next trial over most of the wait.
            trial: What `begin` said of the mint that failed.
        """
        self._failures += 1
        was_open = self.error is not None
        at_once = error.retry_after is not None or isinstance(error, MintTimeout)
        if not was_open and self._failures < LIMIT and not at_once:
            return False
        self.error = again(error)
        if error.retry_after is not None:
            self._hold_until = max(self._hold_until, now + error.retry_after)
        if trial or not was_open:
            self._postpone(now, chance)
        self._trial_at = max(self._trial_at, self._hold_until)
        if not was_open:
            self._opened, self._knock_at = now, now + KNOCK
        return not was_open

    def _postpone(self, now: float, chance: float) -> None:
        longest = min(FIRST_TRIAL * 2 ** min(self._trials, 16), LONGEST_TRIAL)
        self._trials += 1
        self._trial_ends = -math.inf
        self._trial_at = now + (LEAST + (1 - LEAST) * chance) * longest

    def ended(self, *, trial: bool = False) -> None:
        """
        Note that a mint ended otherwise: it says nothing about the issuer.

        Args:
            trial: What `begin` said of it.
        """
        if trial:
            self._trial_ends = -math.inf

    def knock_at(self) -> float:
        """
        Return when to knock next; infinite while closed.
        """
        return self._knock_at

    def knocked(self, now: float, *, well: bool) -> bool:
        """
        Note whether a knock was answered; say whether a mint may begin because of it.
        """
        if self.error is None:
            return False
        self._knock_at = now + (KNOCK if now < self._opened + EAGER else LATER_KNOCK)
        news = well and self._silent
        self._silent = self._in_vain = not well
        if news:
            self._trial_at = max(now, self._hold_until)
        return news and self._trial_at <= now

    def __repr__(self) -> str:
        return f"<Breaker {'open' if self.open else 'closed'}, {self._failures} failures>"

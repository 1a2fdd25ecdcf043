"""
What is remembered of failed mints: how long to leave the issuer alone.

This file knows no clock and no chance; both come as arguments. There is one `Backoff` per service
user, and it is the only place where failures have consequences:

- A permanent refusal (`MintRejected`, `CredentialInvalid`) is remembered for seconds, growing with
  each one in a row, and answers every caller meanwhile: a burst must not hammer the issuer.
- A passing failure is not remembered, unless the issuer said Retry-After: then it is, that long.
- Background work waits longer than callers do: exponentially, with full jitter.
- A token refused by an upstream (401) may be replaced at once, but the next one soon after has to
  wait, longer each time: a missing scope would otherwise cost a mint per request.
"""

from __future__ import annotations

import math

from proxy.errors import CredentialInvalid, MintRejected, TokenError

# Ours, all in seconds: short enough that an operator who fixes the cause is not kept waiting.
FIRST_HOLD = 2.0
LONGEST_HOLD = 60.0
FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
FIRST_COOL_DOWN = 5.0
LONGEST_COOL_DOWN = 300.0

# A refusal within this many cool-downs of the last counts as the same trouble.
SAME_TROUBLE = 10


class Backoff:
    """
    The failures in a row of one service user.

    Attributes:
        error: The last failure; None after a success.
        failures: Failed mints in a row.
        retry_at: Boot-clock seconds before which background work does not ask again.
    """

    __slots__ = ("_cool_down", "_cool_until", "_hold_until", "error", "failures", "retry_at")

    def __init__(self) -> None:
        self.error: TokenError | None = None
        self.failures = 0
        self.retry_at = -math.inf
        self._hold_until = -math.inf
        self._cool_down = 0.0
        self._cool_until = -math.inf

    def succeeded(self) -> None:
        """
        Forget the failures: a token was minted.
        """
        self.error = None
        self.failures = 0
        self.retry_at = self._hold_until = -math.inf

    def failed(self, error: TokenError, now: float, chance: float) -> None:
        """
        Remember that a mint failed.

        Args:
            error: Why.
            now: Boot-clock seconds.
            chance: From 0 up to 1; spreads the background retry over the whole wait.
        """
        self.error = again(error)  # without its traceback, whose frames would stay alive
        self.failures += 1
        steps = min(self.failures - 1, 16)
        if isinstance(error, (MintRejected, CredentialInvalid)):
            self._hold_until = now + min(FIRST_HOLD * 2**steps, LONGEST_HOLD)
        elif error.retry_after is not None:
            self._hold_until = now + error.retry_after
        wait = chance * min(FIRST_RETRY * 2**steps, LONGEST_RETRY)
        self.retry_at = max(now + wait, self._hold_until)

    def standing(self, now: float) -> TokenError | None:
        """
        Return the failure that still answers whoever asks at *now*, or None to try again.
        """
        if self.error is None or now >= self._hold_until:
            return None
        return again(self.error, retry_after=self._hold_until - now)

    def may_replace(self, now: float) -> bool:
        """
        Say whether a token an upstream refused may be replaced at *now*.

        A yes counts: it begins the cool-down in which the next answer is no.
        """
        if now < self._cool_until:
            return False
        same = now < self._cool_until + SAME_TROUBLE * self._cool_down
        longer = self._cool_down * 2 if same else FIRST_COOL_DOWN
        self._cool_down = min(longer, LONGEST_COOL_DOWN)
        self._cool_until = now + self._cool_down
        return True


def again(error: TokenError, *, retry_after: float | None = None) -> TokenError:
    """
    Return a copy of *error* to raise: one exception object raised in many tasks would gather all
    their tracebacks.
    """
    wait = error.retry_after if retry_after is None else retry_after
    return type(error)(error.reason, retry_after=wait)

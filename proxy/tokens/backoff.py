"""
What is remembered of failed mints: how long to leave the issuer alone.

This file knows no clock and no chance; both come as arguments. There is one `Backoff` per service
user, and it is the only place where failures have consequences:

- A failure answers every caller for seconds that grow with each one in a row: a burst must not
  hammer the issuer. A permanent refusal (`MintRejected`, `CredentialInvalid`) does so for longer; a
  passing failure for a random part of the wait, so that many proxies do not come back as one.
- An issuer that says Retry-After is left alone that long.
- Renewal waits as callers do, up to a minute while there is a token to go on with. What is the issuer's trouble with everybody is the breaker's
  as well (`tokens.breaker`); once that closes, passing failures are forgiven.
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
LONGEST_WAIT = 10.0
FIRST_COOL_DOWN = 5.0
LONGEST_COOL_DOWN = 300.0

# Ours: the least part of a wait that chance leaves; without it some attempts follow at once.
LEAST = 0.5

# A refusal within this many cool-downs of the last counts as the same trouble.
SAME_TROUBLE = 10


class Backoff:
    """
    The failures in a row of one service user.

    Attributes:
        error: The last failure; None after a success.
        failures: Failed mints in a row.
        final: Whether the last failure passes only if somebody acts.
        retry_at: Boot-clock seconds before which nobody asks again.
    """

    __slots__ = ("_cool_down", "_cool_until", "error", "failures", "final", "retry_at")

    def __init__(self) -> None:
        self.error: TokenError | None = None
        self.failures = 0
        self.final = False
        self.retry_at = -math.inf
        self._cool_down = 0.0
        self._cool_until = -math.inf

    def succeeded(self) -> None:
        """
        Forget the failures: a token was minted.
        """
        self.error = None
        self.failures = 0
        self.final = False
        self.retry_at = -math.inf

    def failed(self, error: TokenError, now: float, chance: float, *, urgent: bool = True) -> None:
        """
        Remember that a mint failed.

        Args:
            error: Why.
            now: Boot-clock seconds.
            chance: From 0 up to 1; spreads the next attempt over the whole wait.
            urgent: There is no token to go on with.
        """
        self.error = again(error)  # without its traceback, whose frames would stay alive
        self.failures += 1
        steps = min(self.failures - 1, 16)
        self.final = isinstance(error, (MintRejected, CredentialInvalid))
        if self.final:
            wait = min(FIRST_HOLD * 2**steps, LONGEST_HOLD)
        else:
            longest = LONGEST_WAIT if urgent else LONGEST_RETRY
            wait = (LEAST + (1 - LEAST) * chance) * min(FIRST_RETRY * 2**steps, longest)
        self.retry_at = now + max(wait, error.retry_after or 0.0)

    def standing(self, now: float) -> TokenError | None:
        """
        Return the failure that still answers whoever asks at *now*, or None to try again.
        """
        if self.error is None or now >= self.retry_at:
            return None
        return again(self.error, retry_after=self.retry_at - now)

    def forgive(self, *, final: bool = False) -> None:
        """
        Let the next who asks try at once: the issuer is well again, or, where *final* failures are
        meant too, the credential is another one.
        """
        if final or not self.final:
            self.failures = 0
            self.retry_at = -math.inf

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
    return type(error)(error.reason, retry_after=wait, shared=error.shared, doubtful=error.doubtful)

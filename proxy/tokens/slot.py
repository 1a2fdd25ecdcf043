"""
The place where one service user's token lies at hand.

The data path holds on to a slot and touches two attributes, without a call:

    token = slot.token
    if token is not None and boot() < token.serve_until:
        slot.used = True
        ...  # token.header is ready to be sent

Everything else is the keeper's: it alone puts a token in and takes it out. A personal access token
is put in at the start and never replaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proxy.core.grant import FixedToken
from proxy.core.token import static_token
from proxy.errors import CredentialInvalid
from proxy.tokens.backoff import Backoff

if TYPE_CHECKING:
    from proxy.core.clock import Clock
    from proxy.core.grant import Method, ServiceUser
    from proxy.core.token import Token
    from proxy.errors import TokenError

EXPIRED = "the personal access token has passed its stated expiry; create a new one"
REFUSED = (
    "an upstream answered the personal access token with 401: it has expired, was removed, or its"
    " user is locked; create a new one"
)

REFUSED_AGAIN = (
    "an upstream answered a token with 401 that had just replaced a refused one; another would not"
    " help at once: is a scope missing (ZITADEL's APIs need urn:zitadel:iam:org:project:id:zitadel:aud,"
    " a backend its project's), or is the user locked?"
)

Condition = Literal["ready", "stale", "idle", "cold", "failing", "refused"]


@dataclass(frozen=True, slots=True)
class UserState:
    """
    What there is to tell of one service user; no secret in it.

    Attributes:
        name: The service user.
        issuer: Its issuer's name.
        method: Its method.
        required: Whether the proxy's readiness waits for it.
        condition: `ready` has a token · `stale` has one, but renewing it fails · `idle` needs
            none, the last one ended unused · `cold` was never asked for · `failing` has none ·
            `refused` has a token that an upstream answered with 401 and that is not replaced.
        fingerprint: Of the token at hand; empty without one.
        age: Seconds since that token was asked for; None without one.
        expires_in: Seconds it may still be handed out; None without one or without an end.
        renews_in: Seconds until the next background attempt, negative if overdue; None if none
            is planned.
        last_error: The reason of the last failure since the last success; empty if none.
        mints: Tokens minted.
        failures: Mints that failed, in all.
    """

    name: str
    issuer: str
    method: Method
    required: bool
    condition: Condition
    fingerprint: str
    age: float | None
    expires_in: float | None
    renews_in: float | None
    last_error: str
    mints: int
    failures: int


class Slot:
    """
    One service user, its token at hand and its troubles.

    Attributes:
        user: Who; replaced when its credential changes, the next mint uses the new one.
        token: The token at hand; may have ended, see `Token.serve_until`.
        used: Whether anybody wanted that token; set by the data path and by `Keeper.get`.
        stale: Whether renewing it has failed.
        idle: Whether the last token ended without anybody having wanted it.
        refused: The last token an upstream refused; not taken from the store again.
        due: Boot-clock seconds when background work is due; infinite for never.
        backoff: The failures in a row and what follows from them.
        mints: Tokens minted.
        failures: Mints that failed, in all.
    """

    __slots__ = (
        "backoff",
        "due",
        "failures",
        "idle",
        "mints",
        "refused",
        "stale",
        "token",
        "used",
        "user",
    )

    def __init__(self, user: ServiceUser) -> None:
        self.user = user
        self.token: Token | None = None
        self.used = False
        self.stale = False
        self.idle = False
        self.refused: Token | None = None
        self.due = -math.inf
        self.backoff = Backoff()
        self.mints = 0
        self.failures = 0

    def fill(self, token: Token, chance: float) -> None:
        """
        Put a new token at hand; *chance* from 0 up to 1 spreads the moment of its renewal.
        """
        self.token = token
        self.used = self.stale = self.idle = False
        self.due = token.renew_at(chance)
        self.backoff.succeeded()

    def empty(self, *, refused: bool = False) -> None:
        """
        Take the token away: it has ended, or an upstream *refused* it.
        """
        self.stale = False
        if refused:
            self.refused = self.token
        elif self.static:
            self.backoff.error = CredentialInvalid(EXPIRED)
        else:
            self.idle = not self.used
        self.token = None

    @property
    def static(self) -> bool:
        """
        Say whether the user has a personal access token, which is never minted.
        """
        return isinstance(self.user.credential, FixedToken)

    def load(self, clock: Clock) -> None:
        """
        Put the personal access token at hand, if that is the user's method.
        """
        credential = self.user.credential
        if not isinstance(credential, FixedToken):
            return
        self.due = math.inf
        lifetime = math.inf
        if credential.expires is not None:
            lifetime = max(credential.expires - clock.wall(), 0.0)
        try:
            token = static_token(credential.value, born=clock.boot(), lifetime=lifetime)
        except CredentialInvalid as exc:
            self.backoff.error = exc
        else:
            self.fill(token, 0.0)

    def doubt(self, error: TokenError) -> bool:
        """
        Remember that an upstream refused a token that is not replaced; say whether that is news.
        """
        if self.refused is self.token:
            return False
        self.refused = self.token
        self.backoff.error = error
        return True

    def usable(self, now: float) -> bool:
        """
        Say whether there is a token that may be handed out at *now*.
        """
        return self.token is not None and self.token.usable(now)

    def wanted(self) -> bool:
        """
        Say whether background work should see to a new token.

        A token is renewed if somebody wanted it. Without one, only a required user is looked
        after; any other is minted for when asked for.
        """
        return self.used if self.token is not None else self.user.required and not self.idle

    def ready(self, now: float) -> bool:
        """
        Say whether a request as this user need not fear for its token.
        """
        return self.usable(now) or self.idle

    def state(self, now: float) -> UserState:
        """
        Return what there is to tell at *now*.
        """
        token = self.token if self.usable(now) else None
        error = self.backoff.error
        return UserState(
            name=self.user.name,
            issuer=self.user.issuer.name,
            method=self.user.method,
            required=self.user.required,
            condition=self._condition(token),
            fingerprint="" if token is None else token.fingerprint,
            age=None if token is None else now - token.born,
            expires_in=None if token is None else _finite(token.serve_until - now),
            renews_in=_finite(self.due - now) if self.wanted() else None,
            last_error="" if error is None else error.reason,
            mints=self.mints,
            failures=self.failures,
        )

    def _condition(self, token: Token | None) -> Condition:
        if token is not None:
            if token is self.refused:
                return "refused"
            return "stale" if self.stale else "ready"
        if self.backoff.error is not None:
            return "failing"
        return "idle" if self.idle else "cold"

    def __repr__(self) -> str:
        return f"<Slot {self.user.name} {self.token}>"


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None

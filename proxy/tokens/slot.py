"""
The place where one service user's token lies at hand.

The data path holds on to a slot and touches two attributes, without a call:

    token = slot.token
    if token is not None and boot() < token.serve_until:
        slot.used = True
        ...  # token.header is ready to be sent

Everything else is the keeper's: it alone puts a token in and takes it out. A personal access token
is put in at the start and whenever its file has changed.
"""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING

from proxy.core.credential import FixedToken, identity
from proxy.core.token import static_token
from proxy.errors import CredentialInvalid
from proxy.tokens.backoff import Backoff
from proxy.tokens.revocation import REVOKED
from proxy.tokens.state import Condition, UserState

if TYPE_CHECKING:
    from proxy.core.clock import Clock
    from proxy.core.credential import Credential, ServiceUser
    from proxy.core.token import Token
    from proxy.errors import TokenError

EXPIRED = "the personal access token has passed its stated expiry; create a new one"


class Slot:
    """
    One service user, its token at hand and its troubles.

    Attributes:
        user: Who; replaced when its credentials change, the next mint uses the new ones.
        at: Which of its credentials is in use, from 0.
        token: The token at hand; may have ended, see `Token.serve_until`.
        minted_by: The credential it was got with; None without a token, or if another keeper
            got it.
        reserve: The token at hand as it was before it was taken to be older, because the wall
            clock leapt; None if it was not.
        used: Whether anybody wanted that token; set by the data path and by `Keeper.get`.
        stale: Whether renewing it has failed.
        idle: Whether the last token ended without anybody having wanted it.
        refused: The last token an upstream refused; not taken from the store again.
        dead: A personal access token its issuer no longer knows, with no other left to take its
            place; None if there is none.
        buried: Fingerprints of all tokens its issuer no longer knows; they are passed over.
        asked_at: Boot-clock seconds when the issuer was last asked about a refused one.
        due: Boot-clock seconds when background work is due; infinite for never.
        backoff: The failures in a row and what follows from them.
        mints: Tokens minted.
        failures: Attempts to mint that failed, in all.
        revoked: An operator has revoked the user: nothing is put at hand.
        revocations: How often that was done.
        kin: Whose tokens its own are got for, by exchange; not changed once the keeper is made.
    """

    __slots__ = (
        "asked_at",
        "at",
        "backoff",
        "buried",
        "dead",
        "due",
        "failures",
        "idle",
        "kin",
        "minted_by",
        "mints",
        "refused",
        "reserve",
        "revocations",
        "revoked",
        "stale",
        "token",
        "used",
        "user",
    )

    def __init__(self, user: ServiceUser) -> None:
        self.user = user
        self.at = 0
        self.token: Token | None = None
        self.minted_by: Credential | None = None
        self.reserve: Token | None = None
        self.used = False
        self.stale = False
        self.idle = False
        self.refused: Token | None = None
        self.dead: Token | None = None
        self.buried: set[str] = set()
        self.asked_at = -math.inf
        self.due = -math.inf
        self.backoff = Backoff()
        self.mints = 0
        self.failures = 0
        self.revoked = False
        self.revocations = 0
        self.kin: tuple[str, ...] = ()

    @property
    def credential(self) -> Credential:
        """
        The credential in use.
        """
        return self.user.credentials[self.at]

    @property
    def acting(self) -> ServiceUser:
        """
        The service user with the credential in use as its only one.
        """
        return self.user.acting_with(self.credential)

    def place(self, user: ServiceUser) -> tuple[str, ...]:
        """
        Return where the store keeps what *user* got: this one, with one of its credentials.
        """
        return (*identity(user), *self.kin)

    @property
    def static(self) -> bool:
        """
        Say whether the user has a personal access token, which is never minted.
        """
        return isinstance(self.user.credential, FixedToken)

    def fill(self, token: Token, chance: float, *, minted_by: Credential | None = None) -> None:
        """
        Put a new token at hand; *chance* from 0 up to 1 spreads the moment of its renewal.
        """
        if self.revoked:
            return
        self.token = token
        self.minted_by = minted_by
        self.reserve = self.dead = None
        self.asked_at = -math.inf
        self.used = self.stale = self.idle = False
        self.due = token.renew_at(chance)
        self.backoff.succeeded()

    def empty(self, *, refused: bool = False) -> None:
        """
        Take the token away: it has ended, or an upstream *refused* it.
        """
        self.stale = False
        if refused:
            self.refused, self.reserve = self.token, None
        elif not self.static:
            self.idle = not self.used
        self.token = self.minted_by = None

    def revoke(self) -> None:
        """
        Take the token away for good, and put nothing in its place.
        """
        self.revoked = True
        self.revocations += 1
        self.empty(refused=True)
        self.reserve = self.dead = None
        self.due = math.inf

    def disown(self) -> None:
        """
        Drop a token got by exchanging one that was revoked; what is under way counts for nothing.
        """
        self.revocations += 1
        self.empty(refused=True)
        self.reserve = None

    def allow(self, clock: Clock) -> None:
        """
        Forget what led here; a personal access token is at hand again.
        """
        self.revoked = self.idle = False
        self.backoff.forgive(final=True)
        self.backoff.succeeded()
        self.asked_at = -math.inf
        self.due = clock.boot()
        self.load(clock)

    def inherit(self, before: Slot) -> None:
        """
        Take over all but the user from the slot of an older configuration.
        """
        for name in self.__slots__:
            if name not in {"user", "kin"}:
                setattr(self, name, getattr(before, name))
        # Copies: the older one still serves the requests it began, and may yet be what stays
        self.buried, self.backoff = set(before.buried), copy(before.backoff)

    def take(self, user: ServiceUser) -> None:
        """
        Take over the service user with other credentials; whatever the old ones did is forgiven.
        """
        self.user = user
        self.at = 0
        self.dead = None
        self.buried.clear()
        self.backoff.forgive(final=True)

    def leap(self, seconds: float) -> None:
        """
        Take the token to be older by *seconds*: so much may have passed that no clock counted.

        It may also just be the wall clock that was put right. So the token as it was is kept in
        reserve, for the case that no other can be had.
        """
        if self.token is not None and not self.static:
            self.reserve = self.reserve or self.token
            self.token = self.token.aged(seconds)
            self.due -= seconds

    def fall_back(self, now: float) -> Token | None:
        """
        Put the reserve at hand if there is nothing better, and return it.
        """
        if self.usable(now) or self.reserve is None or not self.reserve.usable(now):
            return None
        self.token, self.reserve = self.reserve, None
        return self.token

    def load(self, clock: Clock) -> None:
        """
        Put the first personal access token at hand that has not ended by its stated expiry, if
        that is the user's method; the one in use comes first.
        """
        if not self.static:
            return
        self.due = math.inf
        self.token, self.backoff.error = None, CredentialInvalid(EXPIRED)
        now = clock.wall()
        fixed = [each for each in self.user.credentials if isinstance(each, FixedToken)]
        for at in (*range(self.at, len(fixed)), *range(self.at)):
            expires = fixed[at].expires
            lifetime = math.inf if expires is None else expires - now
            if lifetime <= 0 or fixed[at].fingerprint in self.buried:
                continue
            try:
                token = static_token(fixed[at].value, born=clock.boot(), lifetime=lifetime)
            except CredentialInvalid as exc:
                self.backoff.error = exc
                continue
            self.at = at
            self.fill(token, 0.0, minted_by=fixed[at])
            return

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
        if self.revoked:
            return False
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
            last_error=REVOKED if self.revoked else "" if error is None else error.reason,
            mints=self.mints,
            failures=self.failures,
            credential=self.at + 1,
            credentials=len(self.user.credentials),
        )

    def _condition(self, token: Token | None) -> Condition:
        if self.revoked:
            return "revoked"
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

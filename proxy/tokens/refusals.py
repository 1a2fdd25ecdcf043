"""
What to do about a token that an upstream answered with 401.

Theory of operation
-------------------
The token that was refused is the one at hand here: whoever comes late gets the newer one without
asking (`Keeper.renew`), so a burst of refusals is one mint.

- A token in its first second may be unknown to a replica of its issuer. If the issuer itself says
  it is alive, it is given that second and tried again.
- A minted token is taken away and another is minted, unless that was done a moment ago: a missing
  scope is not cured by tokens (`Backoff.may_replace`). Then the 401 is passed on; but if the issuer
  itself no longer knows the token, it is replaced all the same.
- A personal access token cannot be minted. Its file is read anew, then the user's next one is
  taken. If there is no other, the 401 is passed on and the issuer asked whether the token is
  alive; if not, it is not sent any more, until its file changes or the issuer knows it again.

State: in the slots; and the flights that give young tokens their second.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from proxy.core.credential import FixedToken
from proxy.core.token import static_token
from proxy.errors import CredentialInvalid, MintRejected
from proxy.tokens.flight import Flights

if TYPE_CHECKING:
    from proxy.core.credential import ServiceUser
    from proxy.core.token import Token
    from proxy.tokens.means import Means
    from proxy.tokens.slot import Slot
    from proxy.tokens.supply import Supply

# ZITADEL's replicas and the rounding of `nbf` have been seen to take up to a second. A quarter more,
# since the issuer counts from when it made the token, and we from when we asked for it.
YOUNG = 1.25

# Ours, in seconds: how long to wait before asking again about a token that was refused or dead.
ASK_AGAIN = 60.0

# Ours, in seconds: the same for a minted token refused during the cool-down.
ASK_SOON = 2.0

REFUSED = (
    "an upstream answered the personal access token with 401: it has expired, was removed, or its"
    " user is locked, or it is not meant for this upstream"
)

DEAD = (
    "the issuer no longer knows the personal access token: it has expired, was removed, or its user"
    " is locked; create a new one and store it in its place"
)

REFUSED_AGAIN = (
    "an upstream answered a token with 401 that had just replaced a refused one; another would not"
    " help at once: is a scope missing (ZITADEL's APIs need urn:zitadel:iam:org:project:id:zitadel:aud,"
    " a backend its project's), or is the user locked?"
)


class Home(Protocol):
    """
    What this needs of the keeper.
    """

    async def landed(self, slot: Slot) -> Token:
        """
        Return a new token.
        """

    def rotate(self, user: ServiceUser) -> None:
        """
        Take over new credentials.
        """


class Refusals:
    """
    Answers refused tokens.

    Args:
        means: The keeper's surroundings.
        supply: Switches credentials.
        home: The keeper.
    """

    def __init__(self, means: Means, supply: Supply, home: Home) -> None:
        self._means = means
        self._supply = supply
        self._home = home
        self._flights: Flights[bool] = Flights()

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        await self._flights.close()

    async def answer(self, slot: Slot, token: Token) -> Token | None:
        """
        Return a token to try once more with; None if there is no point in that.

        Args:
            slot: The service user's.
            token: What was refused; the one at hand there.

        Raises:
            TokenError: There is none to be had.
        """
        if slot.static:
            return await self._static(slot, token)
        if token.born + YOUNG > self._means.clock.boot() and await self._flights.join(
            token.fingerprint, partial(self._settled, slot, token)
        ):
            return token
        if slot.token is not token:
            return await self._other(slot)
        may = slot.backoff.may_replace(self._means.clock.boot())
        dead = not may and await self._known_dead(slot, token)
        return await self._replaced(slot, token, worthwhile=may or dead)

    async def _replaced(self, slot: Slot, token: Token, *, worthwhile: bool) -> Token | None:
        """
        Take the token away and return another one, if that is *worthwhile*.
        """
        if slot.token is not token:
            return await self._other(slot)
        if not worthwhile:
            if slot.doubt(MintRejected(REFUSED_AGAIN)):
                self._means.tell("token.refused", slot.user, reason=REFUSED_AGAIN)
            return None
        slot.empty(refused=True)
        self._means.tell(
            "token.dropped", slot.user, reason="refused", fingerprint=token.fingerprint
        )
        return await self._home.landed(slot)

    async def _other(self, slot: Slot) -> Token:
        """
        Return what has taken the refused token's place, or will.
        """
        return await self._home.landed(slot) if slot.token is None else slot.token

    async def revive(self, slot: Slot) -> None:
        """
        See whether one of the dead personal access tokens is alive again.
        """
        dead = slot.dead
        for credential in slot.user.credentials:
            if dead is None or not isinstance(credential, FixedToken):
                return
            token = static_token(credential.value, born=self._means.clock.boot())
            alive = await self._means.standing(slot.user.issuer, token)
            if slot.dead is not dead:
                return
            if alive:
                slot.buried.discard(token.fingerprint)
                slot.load(self._means.clock)
            if slot.token is not None:
                self._means.tell("credential.revived", slot.user, fingerprint=token.fingerprint)
                return
        slot.due = self._means.clock.boot() + ASK_AGAIN

    async def _settled(self, slot: Slot, token: Token) -> bool:
        """
        Give a young token its first second, if its issuer knows it; say whether that was done.
        """
        if not await self._means.standing(slot.user.issuer, token):
            return False
        await self._means.sleep(max(token.born + YOUNG - self._means.clock.boot(), 0.0))
        return slot.token is token

    async def _static(self, slot: Slot, token: Token) -> Token | None:
        fresh = await self._means.reread(slot.user.name)
        if fresh is not None:
            self._home.rotate(fresh)
        if slot.token is token and len(slot.user.credentials) > 1:
            _ = await self._bury_if_dead(slot, token)
            self._next(slot, token)
        if slot.token is not None and slot.token.fingerprint != token.fingerprint:
            return slot.token
        if slot.doubt(CredentialInvalid(REFUSED)):
            self._means.tell("token.refused", slot.user, reason=REFUSED)
        return await self._bury_if_dead(slot, token)

    def _next(self, slot: Slot, token: Token) -> None:
        """
        Take the user's next personal access token, unless that was done a moment ago.
        """
        count = len(slot.user.credentials)
        if slot.token is not token or not slot.backoff.may_replace(self._means.clock.boot()):
            return
        self._supply.switch(slot, (slot.at + 1) % count, REFUSED)
        slot.load(self._means.clock)
        if not slot.usable(self._means.clock.boot()):
            slot.token = token

    async def _bury_if_dead(self, slot: Slot, token: Token) -> Token | None:
        """
        Ask the issuer about a refused token, once in a while; stop sending it if it is dead.

        Returns:
            The one that takes its place; None if it stays, or there is no other.
        """
        now = self._means.clock.boot()
        if now < slot.asked_at + ASK_AGAIN:
            return None
        slot.asked_at = now
        alive = await self._means.standing(slot.user.issuer, token)
        if alive is not False or slot.token is not token:
            return None
        self._means.tell("credential.dead", slot.user, reason=DEAD, which=slot.at + 1)
        slot.buried.add(token.fingerprint)
        slot.load(self._means.clock)
        if slot.usable(self._means.clock.boot()):
            return slot.token
        slot.dead, slot.due = token, self._means.clock.boot() + ASK_AGAIN
        slot.backoff.error = CredentialInvalid(DEAD)
        return None

    async def _known_dead(self, slot: Slot, token: Token) -> bool:
        """
        Ask the issuer whether it no longer knows a minted token, not too often; all who ask at a
        time share the answer.
        """
        key, now = ("dead", token.fingerprint), self._means.clock.boot()
        if key not in self._flights and now < slot.asked_at + ASK_SOON:
            return False
        slot.asked_at = now
        return await self._flights.join(key, partial(self._asked, slot, token))

    async def _asked(self, slot: Slot, token: Token) -> bool:
        return await self._means.standing(slot.user.issuer, token) is False

"""
What to do about a token that an upstream answered with 401.

Theory of operation
-------------------
The token that was refused is the one at hand here: whoever comes late gets the newer one without
asking (`Keeper.renew`), so a burst of refusals is one mint.

- A token in its first second may be unknown to a replica of its issuer. If the issuer itself says
  it is alive, it is given that second and tried again.
- A minted token is taken away and another is minted, unless that was done a moment ago: a missing
  scope is not cured by tokens (`Backoff.may_replace`). Then the 401 is passed on.
- A personal access token cannot be minted. Its file is read anew, then the user's next one is
  taken. If there is no other, the 401 is passed on and the issuer asked whether the token is
  alive; if not, it is not sent any more, until its file changes or the issuer knows it again.

State: in the slots; and the flights that give young tokens their second.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

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
            return slot.token or await self._home.landed(slot)
        if not slot.backoff.may_replace(self._means.clock.boot()):
            if slot.doubt(MintRejected(REFUSED_AGAIN)):
                self._means.tell("token.refused", slot.user, reason=REFUSED_AGAIN)
            return None
        slot.empty(refused=True)
        self._means.tell(
            "token.dropped", slot.user, reason="refused", fingerprint=token.fingerprint
        )
        return await self._home.landed(slot)

    async def revive(self, slot: Slot) -> None:
        """
        See whether a dead personal access token is alive again.
        """
        token = slot.dead
        if token is None:
            return
        if await self._means.standing(slot.user.issuer, token) and slot.dead is token:
            slot.fill(token, 0.0)
            self._means.tell("credential.revived", slot.user, fingerprint=token.fingerprint)
        elif slot.dead is token:
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
        if slot.token is token:
            self._next(slot, token)
        if slot.token is not None and slot.token.fingerprint != token.fingerprint:
            return slot.token
        if slot.doubt(CredentialInvalid(REFUSED)):
            self._means.tell("token.refused", slot.user, reason=REFUSED)
        await self._bury_if_dead(slot, token)
        return None

    def _next(self, slot: Slot, token: Token) -> None:
        """
        Take the user's next personal access token, unless that was done a moment ago.
        """
        count = len(slot.user.credentials)
        if count == 1 or not slot.backoff.may_replace(self._means.clock.boot()):
            return
        self._supply.switch(slot, (slot.at + 1) % count, REFUSED)
        slot.load(self._means.clock)
        if not slot.usable(self._means.clock.boot()):
            slot.token = token

    async def _bury_if_dead(self, slot: Slot, token: Token) -> None:
        """
        Ask the issuer about a refused token, once in a while; stop sending it if it is dead.
        """
        now = self._means.clock.boot()
        if now < slot.asked_at + ASK_AGAIN:
            return
        slot.asked_at = now
        alive = await self._means.standing(slot.user.issuer, token)
        if alive is not False or slot.token is not token:
            return
        slot.token, slot.dead = None, token
        slot.due = self._means.clock.boot() + ASK_AGAIN
        slot.backoff.error = CredentialInvalid(DEAD)
        self._means.tell("credential.dead", slot.user, reason=DEAD)

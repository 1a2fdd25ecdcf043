"""
What a keeper is given instead of reaching for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from proxy.tokens.breaker import Breakers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer, ServiceUser
    from proxy.core.token import Minted, Token
    from proxy.tokens.breaker import Breaker
    from proxy.tokens.store import Store

    Mints: TypeAlias = Callable[[ServiceUser], Awaitable[Minted]]


class OnEvent(Protocol):
    """
    Takes an event's name (`token.minted`, …) and its facts; never a secret.
    """

    def __call__(self, name: str, /, **facts: Any) -> None:
        """
        Take one event.
        """


async def _no_answer(_issuer: Issuer) -> bool:
    return False


async def _not_known(_issuer: Issuer, _token: Token) -> bool | None:
    return None


async def _unchanged(_name: str) -> ServiceUser | None:
    return None


def _no_advice(_user: ServiceUser) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Means:
    """
    The surroundings of a keeper. Those with a default do without what they would bring.

    Attributes:
        mint: Gets a new token for a service user (`tokens.mint.Mint`).
        store: Where tokens outlive a keeper.
        clock: Boot time for deadlines, wall time for stated expiries.
        chance: Returns a number from 0 up to 1, another one each time.
        on_event: Told what happens to tokens, credentials and issuers.
        breaker: Returns an issuer's breaker, the same one each time.
        knock: Says whether an issuer answers at all; takes a second or so.
        standing: Says whether an issuer knows a token as alive; None if that cannot be told.
        reread: Reads a service user's credentials anew; None if they are as before.
        advise: Names likely causes of an issuer's no that can be seen from here.
        sleep: Waits so many seconds.
    """

    mint: Mints
    store: Store
    clock: Clock
    chance: Callable[[], float]
    on_event: OnEvent
    breaker: Callable[[Issuer], Breaker] = field(default_factory=Breakers)
    knock: Callable[[Issuer], Awaitable[bool]] = _no_answer
    standing: Callable[[Issuer, Token], Awaitable[bool | None]] = _not_known
    reread: Callable[[str], Awaitable[ServiceUser | None]] = _unchanged
    advise: Callable[[ServiceUser], tuple[str, ...]] = _no_advice
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def tell(self, event: str, user: ServiceUser, **facts: Any) -> None:
        """
        Report an event of a service user.
        """
        self.on_event(
            event, service_user=user.name, issuer=user.issuer.name, method=user.method, **facts
        )

    def tell_dropped(self, user: ServiceUser, reason: str, token: Token | None) -> None:
        """
        Report that a service user's token was taken away.
        """
        fingerprint = "" if token is None else token.fingerprint
        self.tell("token.dropped", user, reason=reason, fingerprint=fingerprint)

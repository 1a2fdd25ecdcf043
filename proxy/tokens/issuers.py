"""
Everything this process has to do with issuers, whatever the configuration says at the moment.

The way to them, what they say of themselves, what time it is there, who is left alone, and the
tokens they gave: none of it changes with a reload, so one `Issuers` serves all keepers.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from proxy.core.advice import likely_causes
from proxy.tokens.breaker import Breakers
from proxy.tokens.discovery import Discovery
from proxy.tokens.issuer_clock import IssuerClocks
from proxy.tokens.knock import Knock
from proxy.tokens.line import DEFAULT_TIMEOUT, Line, session
from proxy.tokens.means import Means
from proxy.tokens.mint import Mint
from proxy.tokens.standing import Standing
from proxy.tokens.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer, ServiceUser
    from proxy.tokens.means import OnEvent


class Issuers:
    """
    The issuers of this process. Use as `async with issuers:`.

    Attributes (inside `async with`):
        line: The way to them.
        discovery: Where their endpoints are.
        clocks: What time it is there.
        mint: Gets new tokens.
        standing: Whether they know a token as alive.

    Args:
        clock: This host's.
        chance: Returns a number from 0 up to 1, another one each time.
        jti: Returns a text never returned before.
        on_event: Told what happens to tokens, credentials and issuers.
        timeout: Seconds an exchange may take.
    """

    line: Line
    discovery: Discovery
    mint: Mint
    standing: Standing

    def __init__(
        self,
        clock: Clock,
        chance: Callable[[], float],
        jti: Callable[[], str],
        on_event: OnEvent,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._jti = jti
        self._on_event = on_event
        self._timeout = timeout
        self._breakers = Breakers()
        self._store = MemoryStore(clock.boot)
        self._stack = AsyncExitStack()
        self.clocks = IssuerClocks(clock, self._tell_skew)

    async def __aenter__(self) -> Self:
        http = await self._stack.enter_async_context(session())
        self.line = Line(http, self.clocks, timeout=self._timeout)
        self.discovery = Discovery(self.line, self._clock.boot)
        self._stack.push_async_callback(self.discovery.close)
        self.mint = Mint(self.line, self.discovery, self.clocks, self._clock, self._jti)
        self.standing = Standing(self.line, self.discovery)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def means(self, reread: Callable[[str], Awaitable[ServiceUser | None]]) -> Means:
        """
        Return what a keeper needs.

        Args:
            reread: Reads a service user's credentials anew; None if they are as before.
        """
        return Means(
            mint=self.mint,
            store=self._store,
            clock=self._clock,
            chance=self._chance,
            on_event=self._on_event,
            breaker=self._breakers,
            knock=Knock(self.line),
            standing=self.standing,
            reread=reread,
            advise=self.advise,
        )

    def advise(self, user: ServiceUser) -> tuple[str, ...]:
        """
        Name likely causes of an issuer's no to *user* that can be seen from here.
        """
        issuer = user.issuer
        return likely_causes(user, now=self.clocks.now(issuer), behind=self.clocks.behind(issuer))

    def _tell_skew(self, issuer: Issuer, behind: float) -> None:
        self._on_event(
            "clock.skewed",
            issuer=issuer.name,
            behind=round(behind),
            reason="this host's clock differs from the issuer's; assertions bear the issuer's time,"
            " but set this host's clock right",
        )

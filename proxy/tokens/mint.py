"""
One request to a token endpoint, from service user to `Token`.

An assertion that is refused may have borne the wrong time: it is then signed once more with the
issuer's, if the refusal has just taught that, or with this host's, if it bore the issuer's
(`tokens.issuer_clock`). That is the one reason for a second request here; all others are
`tokens.supply`'s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core.credential import ClientKey, Exchange, PrivateKey, SystemKey
from proxy.core.grant import system_token, token_request
from proxy.core.refusal import refusal
from proxy.core.token import Minted, read_token_response
from proxy.errors import MintRejected, MintTimeout, TokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.clock import Clock
    from proxy.core.credential import Credential, ServiceUser
    from proxy.tokens.discovery import Discovery
    from proxy.tokens.issuer_clock import IssuerClocks
    from proxy.tokens.line import Line

# Where there is no token endpoint any more, the issuer may have moved it.
_MOVED = frozenset({404, 405, 410})

# Ours, in seconds: times closer than this would be judged alike.
SAME_TIME = 1.0


class Mint:
    """
    Gets new tokens. Holds no state of its own.

    Args:
        line: The way to the issuers.
        discovery: Where their token endpoints are.
        clocks: What time it is there.
        clock: Wall and boot time here.
        jti: Returns a text never returned before; each assertion's id.
    """

    def __init__(
        self,
        line: Line,
        discovery: Discovery,
        clocks: IssuerClocks,
        clock: Clock,
        jti: Callable[[], str],
    ) -> None:
        self._line = line
        self._discovery = discovery
        self._clocks = clocks
        self._clock = clock
        self._jti = jti

    async def __call__(self, user: ServiceUser) -> Minted:
        """
        Ask *user*'s issuer for a new token.

        Raises:
            TokenError: The issuer refused, was unreachable or slow, or answered nonsense, or the
                credential cannot be used.
        """
        seconds = self._line.timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._in_time(user)
        except TimeoutError:
            words = f"{user.issuer.url} did not give a token within {seconds:g} s"
            failure = MintTimeout(words, shared=True)
        raise failure  # outside `except`, so that nothing is chained

    async def _in_time(self, user: ServiceUser) -> Minted:
        if isinstance(user.credential, SystemKey):
            now = self._clocks.now(user.issuer)
            return Minted(system_token(user, now, self._jti(), self._clock.boot()))
        endpoint = await self._discovery.token_endpoint(user.issuer)
        wall = self._clocks.now(user.issuer)
        try:
            return await self._ask(user, endpoint, wall)
        except TokenError as error:
            if not signs(user.credential) or not (
                isinstance(error, MintRejected) or error.doubtful
            ):
                raise
            here = self._clock.wall()
            there = here + self._clocks.behind(user.issuer)
            if abs(there - wall) > SAME_TIME:
                minted = await self._ask(user, endpoint, there)
                self._clocks.right(user.issuer)
            elif abs(here - wall) > SAME_TIME:
                minted = await self._ask(user, endpoint, here)
                self._clocks.wrong(user.issuer)
            else:
                raise
            return minted

    async def _ask(self, user: ServiceUser, endpoint: str, wall: float) -> Minted:
        request = token_request(user, wall, self._jti(), endpoint)
        born = self._clock.boot()
        answer = await self._line.ask(user.issuer, endpoint, request)
        if answer.status == 200:
            return read_token_response(answer.body, born=born, hide=request.hide)
        if answer.status in _MOVED:
            self._discovery.forget(user.issuer)
        raise refusal(
            answer.status,
            answer.body,
            method=user.method,
            retry_after=answer.retry_after,
            hide=request.hide,
        )


def signs(credential: Credential) -> bool:
    """
    Say whether a token request with *credential* holds an assertion, which bears a time.
    """
    match credential:
        case PrivateKey() | ClientKey():
            return True
        case Exchange(client=client):
            return isinstance(client, ClientKey)
        case _:
            return False

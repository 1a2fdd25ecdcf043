"""
One request to a token endpoint, from service user to `Token`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.grant import token_request
from proxy.core.refusal import refusal
from proxy.core.token import read_token_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.clock import Clock
    from proxy.core.grant import ServiceUser
    from proxy.core.token import Minted
    from proxy.tokens.discovery import Discovery
    from proxy.tokens.line import Line


class Mint:
    """
    Gets new tokens. Holds no state of its own.

    Args:
        line: The way to the issuers.
        discovery: Where their token endpoints are.
        clock: Wall time for assertions, boot time for a token's birth.
        jti: Returns a text never returned before; each assertion's id.
    """

    def __init__(
        self, line: Line, discovery: Discovery, clock: Clock, jti: Callable[[], str]
    ) -> None:
        self._line = line
        self._discovery = discovery
        self._clock = clock
        self._jti = jti

    async def __call__(self, user: ServiceUser) -> Minted:
        """
        Ask *user*'s issuer for a new token, once.

        Raises:
            TokenError: The issuer refused, was unreachable or slow, or answered nonsense, or the
                credential cannot be used.
        """
        endpoint = await self._discovery.token_endpoint(user.issuer)
        request = token_request(user, self._clock.wall(), self._jti())
        born = self._clock.boot()
        answer = await self._line.ask(user.issuer, endpoint, request)
        if answer.status == 200:
            return read_token_response(answer.body, born=born, hide=request.hide)
        raise refusal(
            answer.status,
            answer.body,
            method=user.method,
            retry_after=answer.retry_after,
            hide=request.hide,
        )

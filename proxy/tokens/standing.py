"""
Whether a token is alive, asked of its issuer: for a personal access token an upstream refused.

Source: ZITADEL answers userinfo for any valid token of a service user, whatever its scopes and
roles, and 401 for any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import TokenError

if TYPE_CHECKING:
    from proxy.core.credential import Issuer
    from proxy.core.token import Token
    from proxy.tokens.discovery import Discovery
    from proxy.tokens.line import Line


class Standing:
    """
    Asks issuers about tokens. Holds no state.

    Args:
        line: The way to the issuers.
        discovery: Where their userinfo endpoints are.
    """

    def __init__(self, line: Line, discovery: Discovery) -> None:
        self._line = line
        self._discovery = discovery

    async def __call__(self, issuer: Issuer, token: Token) -> bool | None:
        """
        Say whether *issuer* knows *token* as alive; None if that cannot be found out.
        """
        try:
            endpoint = (await self._discovery.metadata(issuer)).userinfo_endpoint
            if endpoint is None:
                return None
            answer = await self._line.ask(issuer, endpoint, bearer=token.value)
        except TokenError:
            return None
        return {200: True, 401: False}.get(answer.status)

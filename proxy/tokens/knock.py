"""
Whether an issuer answers at all: a GET that needs no credential and counts against no quota.

Source: ZITADEL leaves discovery out of its access quota.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yarl import URL

from proxy.errors import TokenError
from proxy.tokens.metadata import addresses

if TYPE_CHECKING:
    from proxy.core.credential import Issuer
    from proxy.tokens.line import Line

# Ours, in seconds: short, so that one that hangs is followed by another soon after the issuer is
# back. An issuer too slow for it is still found by the breaker's trials.
PATIENCE = 1.0


class Knock:
    """
    Knocks at issuers. Holds no state.

    Args:
        line: The way to the issuers.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    async def __call__(self, issuer: Issuer) -> bool:
        """
        Say whether *issuer* answers like something that is up.
        """
        url = (
            addresses(issuer)[0] if issuer.token_endpoint is None else _root(issuer.token_endpoint)
        )
        try:
            answer = await self._line.ask(issuer, url, timeout=PATIENCE)
        except TokenError:
            return False
        return answer.status < 500 and answer.status != 429


def _root(endpoint: str) -> str:
    """
    Return the top of the host that *endpoint* is at: where it is configured there need not be a
    discovery document, and a GET to the endpoint itself might be counted as a token request.
    """
    return str(URL(endpoint, encoded=True).origin()) + "/"

"""
Where an issuer's endpoints are: as configured, or as the issuer itself says.

The document is remembered for an hour; when it cannot be had again, what was known goes on being
used, and the next attempt waits a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache

from proxy.errors import TokenError
from proxy.tokens.flight import Flights
from proxy.tokens.metadata import Metadata, addresses, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.credential import Issuer
    from proxy.tokens.line import Line

# Ours, in seconds: ZITADEL's endpoints change only when its operator changes their paths.
FRESH = 3600.0
RETRY = 60.0
MAX_ISSUERS = 256

# Where one kind of document is not, the other may be.
_ABSENT = frozenset({400, 404, 405, 410})


class Discovery:
    """
    Finds endpoints. `_fresh` and `_known` are changed by a flight, and by `forget`.

    Args:
        line: The way to the issuers.
        boot: The boot clock, in seconds.
    """

    def __init__(self, line: Line, boot: Callable[[], float]) -> None:
        self._line = line
        self._fresh: TTLCache[object, Metadata] = TTLCache(MAX_ISSUERS, FRESH, timer=boot)
        self._failed: TTLCache[object, bool] = TTLCache(MAX_ISSUERS, RETRY, timer=boot)
        self._known: LRUCache[object, Metadata] = LRUCache(MAX_ISSUERS)
        self._flights: Flights[Metadata] = Flights()

    async def token_endpoint(self, issuer: Issuer) -> str:
        """
        Return the absolute url to ask *issuer* for tokens.

        Raises:
            TokenError: It is neither configured nor known, and the issuer does not say it
                credibly.
        """
        if issuer.token_endpoint is not None:
            return issuer.token_endpoint
        return (await self.metadata(issuer)).token_endpoint

    async def metadata(self, issuer: Issuer) -> Metadata:
        """
        Return what *issuer* says of itself.

        Raises:
            TokenError: It is not known, and the issuer does not say it credibly.
        """
        known = self._fresh.get(issuer.place)
        if known is None and issuer.place in self._failed:
            known = self._known.get(issuer.place)
        if known is not None:
            return known
        return await self._flights.join(issuer.place, lambda: self._look_up(issuer))

    def forget(self, issuer: Issuer) -> None:
        """
        Ask again next time: an endpoint is not where it was said to be.
        """
        self._fresh.pop(issuer.place, None)

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        await self._flights.close()

    async def _look_up(self, issuer: Issuer) -> Metadata:
        try:
            found = await self._ask(issuer)
        except TokenError:
            known = self._known.get(issuer.place)
            if known is None:
                raise
            self._failed[issuer.place] = True
            return known
        self._fresh[issuer.place] = self._known[issuer.place] = found
        return found

    async def _ask(self, issuer: Issuer) -> Metadata:
        openid, oauth = addresses(issuer)
        answer = await self._line.ask(issuer, openid)
        if answer.status in _ABSENT:
            other = await self._line.ask(issuer, oauth)
            if other.status == 200:
                answer = other
        return read_metadata(answer, issuer)

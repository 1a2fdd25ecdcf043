"""
Where an issuer's token endpoint is: as configured, or as the issuer itself says.

Source: OpenID Connect Discovery 1.0 §4. The document is remembered for an hour; when it cannot be
had again, what was known goes on being used, and the next attempt waits a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cachetools import LRUCache, TTLCache

from proxy.core.answer import quoted, read_object
from proxy.errors import MintRejected, MintUnavailable, TokenError
from proxy.tokens.flight import Flights
from proxy.tokens.line import same_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.grant import Issuer
    from proxy.tokens.line import Answer, Line

# Ours, in seconds: ZITADEL's endpoints change only when its operator changes their paths.
FRESH = 3600.0
RETRY = 60.0
MAX_ISSUERS = 256

_Key: TypeAlias = tuple[str, str | None]


class Discovery:
    """
    Finds token endpoints. `_fresh` and `_known` are changed by a flight only.

    Args:
        line: The way to the issuers.
        boot: The boot clock, in seconds.
    """

    def __init__(self, line: Line, boot: Callable[[], float]) -> None:
        self._line = line
        self._fresh: TTLCache[_Key, str] = TTLCache(MAX_ISSUERS, FRESH, timer=boot)
        self._failed: TTLCache[_Key, bool] = TTLCache(MAX_ISSUERS, RETRY, timer=boot)
        self._known: LRUCache[_Key, str] = LRUCache(MAX_ISSUERS)
        self._flights: Flights[str] = Flights()

    async def token_endpoint(self, issuer: Issuer) -> str:
        """
        Return the absolute url to ask *issuer* for tokens.

        Raises:
            TokenError: It is neither configured nor known, and the issuer does not say it
                credibly.
        """
        if issuer.token_endpoint is not None:
            return issuer.token_endpoint
        key = (issuer.url, issuer.connect_to)
        endpoint = self._fresh.get(key)
        if endpoint is None and key in self._failed:
            endpoint = self._known.get(key)
        if endpoint is not None:
            return endpoint
        return await self._flights.join(key, lambda: self._look_up(key, issuer))

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        await self._flights.close()

    async def _look_up(self, key: _Key, issuer: Issuer) -> str:
        url = issuer.url.rstrip("/") + "/.well-known/openid-configuration"
        try:
            endpoint = _endpoint_in(await self._line.ask(issuer, url), issuer)
        except TokenError:
            known = self._known.get(key)
            if known is None:
                raise
            self._failed[key] = True
            return known
        self._fresh[key] = self._known[key] = endpoint
        return endpoint


def _endpoint_in(answer: Answer, issuer: Issuer) -> str:
    """
    Return the token endpoint that a discovery answer names, if it may be believed.

    OpenID Connect Discovery §4.3: `issuer` must be what was asked for, exactly. That the endpoint
    is at the issuer's own origin is our rule: a document must not send credentials elsewhere.
    """
    if answer.status != 200:
        raise _no_document(answer, issuer)
    try:
        document = read_object(answer.body)
    except ValueError as exc:
        raise MintUnavailable(f"the discovery document of {issuer.url} {exc}") from exc
    if document.get("issuer") != issuer.url:
        named = quoted(document.get("issuer")) or "nothing"
        raise MintRejected(
            f"the issuer at {issuer.url} calls itself {named}; url must be the same, byte for byte"
        )
    endpoint = document.get("token_endpoint")
    if not isinstance(endpoint, str) or not _at_home(endpoint, issuer):
        raise MintRejected(
            f"the discovery document of {issuer.url} names no token endpoint at its own address"
            f" ({quoted(endpoint) or 'none'}); if that is meant, write it as token_endpoint"
        )
    return endpoint


def _at_home(endpoint: str, issuer: Issuer) -> bool:
    try:
        return same_origin(endpoint, issuer.url)
    except ValueError:
        return False


def _no_document(answer: Answer, issuer: Issuer) -> TokenError:
    said = f"(answered {answer.status})"
    if answer.status == 429 or answer.status >= 500:
        reason = f"the issuer {issuer.url} does not give its discovery document {said}"
        return MintUnavailable(reason, retry_after=answer.retry_after)
    if b"unable to set instance" in answer.body[:1024]:
        return MintRejected(
            f"the issuer does not know the host it was asked as; url ({issuer.url}) must be the"
            f" instance's own domain, and connect_to where to dial it {said}"
        )
    return MintRejected(
        f"there is no discovery document at {issuer.url}; check url, or write token_endpoint {said}"
    )

"""
Callers that show any token of an issuer: the issuer is asked whether it is alive (RFC 7662).

Theory of operation
-------------------
What was answered is remembered: a live token for a minute, or until it expires, counted from the
moment of asking; a dead one for ten seconds. So a token that was revoked works for a minute at
most. All who show one token meanwhile wait for one question. Only so many questions are asked at
once, so that token requests always find a connection; some more wait, and the rest are turned
away.

An issuer that fails several times in a row is asked once a second until it answers; everybody else
is told so at once, with 503. What is remembered holds all the while. One failure alone holds
nobody back: it may have been about one token.

State: the answers remembered, the questions under way, and the failures in a row.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from proxy.callers.claims import LEEWAY, Terms
from proxy.callers.introspection_answer import read_introspection
from proxy.callers.jws import MAX_TOKEN
from proxy.callers.verdicts import Verdicts, digest_of
from proxy.callers.verifier import PENDING
from proxy.core.credential import ClientKey, ClientSecret
from proxy.core.grant import introspection_request
from proxy.core.secret import Secret
from proxy.errors import CallerCheckUnavailable, MintUnavailable, TokenError
from proxy.tokens.flight import Flights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.callers.verifier import Pending
    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer
    from proxy.core.grant import TokenRequest
    from proxy.tokens.issuers import Issuers

# RFC 6750 §2.1 allows fewer bytes in a bearer token; issuers' tokens have them all.
_VISIBLE: Final = re.compile(rb"[!-~]+")

# Ours, in seconds: how long a revoked token may go on.
BELIEVED_FOR: Final = 60.0

# Ours: half of the connections there are to issuers, and as many again waiting as are soon served.
MAX_AT_ONCE: Final = 16
MAX_WAITING: Final = 256

# Ours: as the breaker's limit for token requests; and in seconds, how long then nobody asks.
LIMIT: Final = 3
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0

# Where there is no such endpoint any more, the issuer may have moved it.
_MOVED: Final = frozenset({404, 405, 410})


class IntrospectionVerifier:
    """
    Asks an issuer about tokens; a `Verifier`.

    Args:
        issuer: Whom to ask.
        client: Who asks: on ZITADEL an API application, with its secret or key.
        issuers: The way to the issuer.
        clock: This host's.
        jti: Returns a text never returned before; each assertion's id.
        audience: What `aud` must contain; None to leave that to whoever reads the claims.

    Attributes:
        trouble: Why the last question was not answered; None if it was.
    """

    def __init__(
        self,
        issuer: Issuer,
        client: ClientSecret | ClientKey,
        issuers: Issuers,
        clock: Clock,
        jti: Callable[[], str],
        *,
        audience: str | None = None,
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._issuers = issuers
        self._clock = clock
        self._jti = jti
        audiences = None if audience is None else frozenset({audience})
        self._terms = Terms(issuer.url, audiences, signed=False, leeway=LEEWAY)
        self._verdicts = Verdicts(clock, self._terms.leeway)
        self._flights: Flights[Mapping[str, object] | CallerCheckUnavailable | None] = Flights()
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._failures = 0
        self._ask_at = 0.0
        self.trouble: str | None = None

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        await self._flights.close()

    def look(self, credential: bytes) -> Mapping[str, object] | Pending | None:
        """
        Return what the issuer said of a token lately; None without asking for what can be none.
        """
        if len(credential) > MAX_TOKEN or _VISIBLE.fullmatch(credential) is None:
            return None
        return self._verdicts.find(digest_of(credential))

    async def ask(self, credential: bytes) -> Mapping[str, object] | None:
        """
        Return what the issuer says of a token; None if it is not alive.

        Raises:
            CallerCheckUnavailable: The issuer is in trouble, or too much is asked of it.
        """
        found = self.look(credential)
        if found is not PENDING:
            return found
        digest = digest_of(credential)
        trial = digest not in self._flights and self._admit()
        token = Secret(credential.decode("ascii"))
        said = await self._flights.join(digest, lambda: self._fly(digest, token, trial=trial))
        if isinstance(said, CallerCheckUnavailable):  # a copy: one object would gather tracebacks
            raise CallerCheckUnavailable(said.reason, retry_after=said.retry_after)
        return said

    def _admit(self) -> bool:
        """
        Let one more question through, or say why not; return whether it is a trial.
        """
        self._stand_back()
        if self._waiting >= MAX_AT_ONCE + MAX_WAITING:
            why = f"too many tokens are waiting to be asked about at {self._issuer.url}"
            raise CallerCheckUnavailable(why, retry_after=PAUSE)
        self._waiting += 1
        trial = self._failures >= LIMIT
        if trial:
            self._ask_at = self._clock.boot() + PAUSE
        return trial

    def _stand_back(self) -> None:
        """
        Raise if the issuer is to be left alone.
        """
        left = self._ask_at - self._clock.boot()
        if self._failures >= LIMIT and left > 0:
            why = f"the issuer is left alone for a moment: {self.trouble}"
            raise CallerCheckUnavailable(why, retry_after=max(left, PAUSE))

    async def _fly(
        self, digest: bytes, token: Secret, *, trial: bool
    ) -> Mapping[str, object] | CallerCheckUnavailable | None:
        seconds = self._issuers.line.timeout
        try:
            async with asyncio.timeout(seconds), self._turns:
                if not trial:  # it may have failed others while this one waited for its turn
                    self._stand_back()
                found = await self._asked(digest, token)
        except CallerCheckUnavailable as error:
            return error
        except TokenError as error:
            return self._failed(error.reason, error.retry_after)
        except TimeoutError:
            return self._failed(f"{self._issuer.url} did not answer within {seconds:g} s", None)
        finally:
            self._waiting -= 1
        self._failures, self.trouble = 0, None
        return found

    def _failed(self, reason: str, wait: float | None) -> CallerCheckUnavailable:
        self._failures += 1
        if wait is not None:  # it asks for patience
            self._failures = max(self._failures, LIMIT)
        pause = min(max(wait or 0.0, PAUSE), LONGEST_PAUSE)
        self._ask_at = max(self._ask_at, self._clock.boot() + pause)
        self.trouble = reason
        return CallerCheckUnavailable(
            f"a token cannot be introspected: {reason}", retry_after=pause
        )

    async def _asked(self, digest: bytes, token: Secret) -> Mapping[str, object] | None:
        url = self._issuer.introspection_endpoint or await self._endpoint()
        request = await self._request(token)
        since = self._clock.boot()
        answer = await self._issuers.line.ask(self._issuer, url, request)
        if answer.status in _MOVED:
            self._issuers.discovery.forget(self._issuer)
        claims = read_introspection(answer, request.hide)
        now = max(self._clock.wall(), self._issuers.clocks.now(self._issuer))
        life = None if claims is None else self._terms.life(claims, now)
        if claims is None or life is None:
            self._verdicts.refuse(digest)
            return None
        return self._verdicts.accept(digest, claims, min(life, BELIEVED_FOR), since)

    async def _endpoint(self) -> str:
        known = await self._issuers.discovery.metadata(self._issuer)
        if known.introspection_endpoint is None:
            raise MintUnavailable(
                f"the discovery document of {self._issuer.url} names no introspection_endpoint at its"
                " own address; if there is one elsewhere, write introspection_endpoint"
            )
        return known.introspection_endpoint

    async def _request(self, token: Secret) -> TokenRequest:
        endpoint = ""
        if isinstance(self._client, ClientKey) and self._client.audience == "token_endpoint":
            endpoint = await self._issuers.discovery.token_endpoint(self._issuer)
        now = self._issuers.clocks.now(self._issuer)
        return introspection_request(self._client, self._issuer, token, now, self._jti(), endpoint)

    def __repr__(self) -> str:
        return f"<IntrospectionVerifier at {self._issuer.url}>"

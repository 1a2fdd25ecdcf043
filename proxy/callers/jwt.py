"""
Callers that show a JWT of an issuer: signature, issuer, audience and times are checked here.

Theory of operation
-------------------
What costs nothing is checked first: size, shape, algorithm, issuer, audience, times. Only then a
key is looked for and the signature checked, which is done at once, in the caller's stead: it takes
a fraction of a millisecond (P-384: two), and is not repeated for the same token. What came of it is
remembered (`callers.verdicts`): good tokens for an hour, or until they expire; bad ones for
seconds. Nobody is asked about a token; only the issuer's keys are, if it names one that is not
known (`callers.jwks`).

Times are judged by this host's wall clock or the issuer's, as far as that is known, whichever is
later: a clock that is behind must not keep an expired token alive.

A Kubernetes service account is such a caller, too: its projected tokens are JWTs of the cluster's
issuer, for the audience its pod asked for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from proxy.callers.claims import LEEWAY, MAX_LEEWAY, Terms
from proxy.callers.jwks import KeyRing
from proxy.callers.jws import MAX_TOKEN, read_jwt
from proxy.callers.verdicts import Verdicts, digest_of
from proxy.callers.verifier import PENDING
from proxy.errors import CallerCheckUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from proxy.callers.jws import Jwt, VerifyingKey
    from proxy.callers.verifier import Pending
    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer
    from proxy.tokens.issuers import Issuers

# Ours, in seconds: no token outlives the withdrawal of its key by more than the keys' own age.
LONGEST: Final = 3600.0


class JwtVerifier:
    """
    Checks the JWTs of one issuer; a `Verifier`.

    Args:
        issuer: Who must have signed.
        audience: Whom they must be meant for; of several, one is enough.
        issuers: The way to the issuer.
        clock: This host's.
        keys: The issuer's keys, to share them among verifiers, closed by whoever made them; None
            for its own.
        leeway: Seconds by which clocks may differ, at most 60.

    Attributes:
        checks: Counts the signatures that were checked.
    """

    def __init__(
        self,
        issuer: Issuer,
        audience: str | Collection[str],
        issuers: Issuers,
        clock: Clock,
        *,
        keys: KeyRing | None = None,
        leeway: float = LEEWAY,
    ) -> None:
        self._issuer = issuer
        self._issuers = issuers
        self._clock = clock
        audiences = frozenset({audience} if isinstance(audience, str) else audience)
        self._terms = Terms(issuer.url, audiences, leeway=min(leeway, MAX_LEEWAY))
        self._ring = keys or KeyRing(issuer, issuers, clock.boot)
        self._shared = keys is not None
        self._verdicts = Verdicts(clock, self._terms.leeway)
        self._edition = self._ring.edition
        self.checks = 0

    @property
    def trouble(self) -> str | None:
        """
        Why the issuer's keys could not be had the last time; None if they could.
        """
        return self._ring.trouble

    async def warm(self) -> None:
        """
        Fetch the issuer's keys, so that `look` has them; an issuer that is down stops nothing.
        """
        if self._ring.known:
            return
        with suppress(CallerCheckUnavailable):
            await self._ring.refresh()

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        if not self._shared:
            await self._ring.close()

    def look(self, credential: bytes) -> Mapping[str, object] | Pending | None:
        """
        Return the claims of a valid token, None for any other, PENDING if the keys must be asked for.
        """
        if len(credential) > MAX_TOKEN:
            return None
        self._ring.tend()
        if self._edition != self._ring.edition:
            self._edition = self._ring.edition
            self._verdicts.clear()
        digest = digest_of(credential)
        known = self._verdicts.find(digest)
        if known is not PENDING:
            return known
        token = read_jwt(credential)
        if token is None:
            return None
        now = max(self._clock.wall(), self._issuers.clocks.now(self._issuer))
        life = self._terms.life(token.claims, now)
        return None if life is None else self._judge(token, digest, min(life, LONGEST))

    async def ask(self, credential: bytes) -> Mapping[str, object] | None:
        """
        Return the claims of a valid token, None for any other.

        Raises:
            CallerCheckUnavailable: The key that may have signed it is not known, and the issuer
                does not say what keys it has.
        """
        found = self.look(credential)
        if found is PENDING:
            await self._ring.refresh()
            found = self.look(credential)
        return None if found is PENDING else found

    def _judge(
        self, token: Jwt, digest: bytes, life: float
    ) -> Mapping[str, object] | Pending | None:
        named = self._ring.named(token)
        keys = named or self._ring.unnamed(token)
        if self._signed(token, keys):
            return self._verdicts.accept(digest, token.claims, life, self._clock.boot())
        if not named and self._ring.askable:
            return PENDING
        if keys:  # otherwise it cost next to nothing, and is not worth the room
            self._verdicts.refuse(digest)
        return None

    def _signed(self, token: Jwt, keys: tuple[VerifyingKey, ...]) -> bool:
        for key in keys:
            self.checks += 1
            if key.signed(token):
                return True
        return False

    def __repr__(self) -> str:
        return f"<JwtVerifier of {self._issuer.url}>"

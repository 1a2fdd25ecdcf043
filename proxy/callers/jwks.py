"""
The public keys of an issuer, as it publishes them (RFC 7517 §5).

Theory of operation
-------------------
The keys are fetched once before they are needed (`refresh`, at the start), and again in the
background when they are an hour old. If that fails, the old ones stay: an issuer that cannot be
reached withdraws nothing. What it does publish is believed, an empty set too: so a key is
withdrawn.

A token may be signed by a key that is newer than the last fetch. Then the keys are fetched once more,
but at most once a minute, however many such tokens are shown: anybody can invent a key id. Whoever
asks meanwhile waits for the same fetch. While there are no keys at all, a failed fetch is repeated
after a second at the earliest.

State: the keys, when they were fetched, and when they may be fetched again; changed by fetches.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from proxy.callers.jws import ALGORITHMS, VerifyingKey, decoded
from proxy.core.answer import read_object
from proxy.core.key import MIN_KEY_BITS
from proxy.errors import CallerCheckUnavailable, MintUnavailable, TokenError
from proxy.tokens.flight import Flights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.callers.jws import Jwt, PublicKey
    from proxy.core.credential import Issuer
    from proxy.tokens.issuers import Issuers

# Ours, in seconds. ZITADEL's keys live for months and are published before they sign.
FRESH: Final = 3600.0
AGAIN: Final = 60.0
SOON: Final = 1.0

# Ours: issuers publish a handful.
MAX_KEYS: Final = 100

# Ours: how many keys one token without a key id is tried with.
MAX_TRIED: Final = 16

# Ours, in bits: what a check may cost; larger keys are no stronger in practice. An exponent of up
# to 33 bits includes 65537 and 2^32+1, which is all that is in use.
MAX_KEY_BITS: Final = 8192
MAX_EXPONENT_BITS: Final = 33

# Both together in base64url, with room for leading zeros; larger numbers are not even computed.
MAX_RSA_TEXT: Final = 1600


class KeyRing:
    """
    The keys of one issuer.

    Args:
        issuer: Whose keys they are.
        issuers: The way to it.
        boot: Boot-clock seconds.

    Attributes:
        edition: Counts the times the keys became others.
        trouble: Why the last fetch failed; None if it did not.
    """

    def __init__(self, issuer: Issuer, issuers: Issuers, boot: Callable[[], float]) -> None:
        self._issuer = issuer
        self._issuers = issuers
        self._boot = boot
        self._keys: tuple[VerifyingKey, ...] = ()
        self._fetched: float | None = None
        self._ask_at = -math.inf
        self._flights: Flights[None] = Flights()
        self.edition = 0
        self.trouble: str | None = None

    @property
    def known(self) -> bool:
        """
        Say whether the keys are known, be it that there are none.
        """
        return self._fetched is not None

    @property
    def askable(self) -> bool:
        """
        Say whether `refresh` has something to say: new keys, or that they cannot be had.
        """
        return self.trouble is not None or self._boot() >= self._ask_at

    def named(self, token: Jwt) -> tuple[VerifyingKey, ...]:
        """
        Return the keys that *token* names and that fit its algorithm.
        """
        if token.key_id is None:
            return ()
        return tuple(key for key in self._fitting(token) if key.key_id == token.key_id)[:MAX_TRIED]

    def unnamed(self, token: Jwt) -> tuple[VerifyingKey, ...]:
        """
        Return the keys that may have signed a *token* that names none of them: any that fits if it
        names no key at all, else those that have no name.
        """
        fitting = self._fitting(token)
        if token.key_id is not None:
            fitting = (key for key in fitting if key.key_id is None)
        return tuple(fitting)[:MAX_TRIED]

    def tend(self) -> None:
        """
        Have the keys fetched again in the background if they are old. Needs a running loop.
        """
        now = self._boot()
        if self._fetched is not None and now >= max(self._fetched + FRESH, self._ask_at):
            self._flights.start(self._issuer.url, self._fetch)

    async def refresh(self) -> None:
        """
        Fetch the keys, unless that was done a moment ago; all who ask share one fetch.

        Raises:
            CallerCheckUnavailable: They could not be had, though older ones may be known.
        """
        if self._boot() >= self._ask_at:
            await self._flights.join(self._issuer.url, self._fetch)
        if self.trouble is not None:
            wait = max(self._ask_at - self._boot(), SOON)
            raise CallerCheckUnavailable(self.trouble, retry_after=wait)

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        await self._flights.close()

    def _fitting(self, token: Jwt) -> Iterable[VerifyingKey]:
        return (key for key in self._keys if token.algorithm in key.algorithms)

    async def _fetch(self) -> None:
        seconds = self._issuers.line.timeout
        wait = AGAIN if self.known else SOON
        try:
            async with asyncio.timeout(seconds):
                keys = await self._published()
        except TokenError as error:
            self.trouble = f"the keys of {self._issuer.url} cannot be had: {error.reason}"
            wait = max(wait, min(error.retry_after or 0.0, AGAIN))
        except TimeoutError:
            self.trouble = f"{self._issuer.url} did not give its keys within {seconds:g} s"
        else:
            if keys != self._keys:
                self.edition += 1
            self._keys, self._fetched, self.trouble = keys, self._boot(), None
            wait = AGAIN
        self._ask_at = self._boot() + wait

    async def _published(self) -> tuple[VerifyingKey, ...]:
        issuer = self._issuer
        url = issuer.jwks_uri or (await self._issuers.discovery.metadata(issuer)).jwks_uri
        if url is None:
            raise MintUnavailable(
                "its discovery document names no jwks_uri at its own address; if there are keys"
                " elsewhere, write jwks_uri"
            )
        answer = await self._issuers.line.ask(issuer, url)
        if answer.status != 200:
            self._issuers.discovery.forget(issuer)  # it may have moved
            words = f"it answered {answer.status} instead of its keys"
            raise MintUnavailable(words, retry_after=answer.retry_after)
        complaint = ""
        try:
            return read_keys(answer.body)
        except ValueError as exc:
            complaint = str(exc)
        raise MintUnavailable(f"its key set {complaint}")

    def __repr__(self) -> str:
        return f"<KeyRing of {self._issuer.url}: {len(self._keys)} keys>"


def read_keys(body: bytes) -> tuple[VerifyingKey, ...]:
    """
    Return the usable keys of a key set; all others are passed over (RFC 7517 §5).

    Raises:
        ValueError: It is no key set, in words that continue "the key set …".
    """
    listed = read_object(body).get("keys")
    if not isinstance(listed, list):
        raise ValueError("has no list of keys")  # noqa: TRY004 - wrong data, not a wrong argument
    keys = (_key(each) for each in listed[:MAX_KEYS] if isinstance(each, dict))
    return tuple(key for key in keys if key is not None)


def _key(jwk: Mapping[str, object]) -> VerifyingKey | None:
    """
    Return one entry as a key to verify with; None if it is not meant for that, or too weak.
    """
    key_id, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(key_id, (str, type(None))):
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if "d" in jwk or "k" in jwk:  # a private half that is published is anybody's
        return None
    kind = str(jwk.get("kty")) if jwk.get("kty") == "RSA" else str(jwk.get("crv"))
    algorithms = tuple(name for name in ALGORITHMS.get(kind, ()) if jwk.get("alg", name) == name)
    if not algorithms:
        return None
    # What OpenSSL finds wrong with a key comes as ValueError; what joserfc does, as its own
    with suppress(JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        key = _public(jwk)
        return None if key is None else VerifyingKey(key_id, algorithms, key.thumbprint(), key)
    return None


def _public(jwk: Mapping[str, object]) -> PublicKey | None:
    """
    Load the public members alone, so that no other can matter.
    """
    match jwk:
        case {"kty": "RSA", "n": str(n), "e": str(e)} if len(n) + len(e) <= MAX_RSA_TEXT:
            return _rsa(int.from_bytes(decoded(n.encode())), int.from_bytes(decoded(e.encode())))
        case {"kty": "EC", "crv": str(crv), "x": str(x), "y": str(y)}:
            return ECKey.import_key({"kty": "EC", "crv": crv, "x": x, "y": y})
        case {"kty": "OKP", "crv": str(crv), "x": str(x)}:
            return OKPKey.import_key({"kty": "OKP", "crv": crv, "x": x})
        case _:
            return None


def _rsa(modulus: int, exponent: int) -> RSAKey | None:
    """
    Load an RSA key if it is of a size worth trusting. Judged first: joserfc warns of small ones.
    """
    fitting = MIN_KEY_BITS <= modulus.bit_length() <= MAX_KEY_BITS and modulus % 2
    if not fitting or exponent.bit_length() > MAX_EXPONENT_BITS:
        return None
    return RSAKey.import_key(RSAPublicNumbers(exponent, modulus).public_key())

"""
A token, and for how long it may be handed out.

This file knows no clock: all moments are readings of the boot clock (seconds, see `core.clock`),
taken by whoever asked for the token. Two moments matter and they are kept apart:

renew_at       a jittered 75 to 85 % of the life; from here on a new one is minted in the background
serve_until    the true end less a small skew; until here the token is handed out whatever happens,
               and up to the true end itself while no other can be had (`Token.to_its_end`)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from proxy.core.answer import quoted, read_object
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid, MintUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 6749 Appendix A.12: access-token = 1*VSCHAR. RFC 6750 §2.1 (b64token) is narrower, but
# issuers send "|" and ":" as well; what matters is that no CR, LF or SP reaches a header.
_VSCHARS = re.compile(r"[\x21-\x7e]+")

# Ours: more than any server accepts in one header line (8 to 64 KiB).
MAX_TOKEN_CHARS = 65_536

# Ours: what a token lives that does not say so. RFC 6749 §5.1 leaves it to the documentation.
DEFAULT_LIFETIME = 300.0

# Ours: no token is trusted for longer than a day, whatever the issuer says.
MAX_LIFETIME = 86_400.0

# Go's oauth2 stops 10 s early, ZITADEL's SDK 300 s and then mints per call when tokens live 300 s.
# Hence small, and a fraction of a short life.
MAX_SKEW = 5.0
SKEW_FRACTION = 0.1

# The window of life in which renewal starts; jitter keeps many proxies from renewing at once.
RENEW_FROM = 0.75
RENEW_SPAN = 0.10


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Token:
    """
    One access token, ready to be sent.

    Attributes:
        value: The token itself.
        born: Boot-clock seconds when it was asked for, so that its life never counts too long.
        lifetime: Seconds from `born` to its end; infinite for a personal access token whose
            expiry nobody stated.
        kind: `minted` by a token endpoint, or `static`: a personal access token.
        header: The finished line `Authorization: Bearer …` with its CRLF.
        serve_until: Boot-clock seconds up to which it may be handed out.
        fingerprint: 16 hex digits that tell it from other tokens and may be logged.
    """

    value: Secret
    born: float
    lifetime: float
    kind: Literal["minted", "static"]
    header: bytes = field(init=False)
    serve_until: float = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        text = self.value.reveal()
        if not sendable(text):
            raise ValueError("not a text that can stand in an Authorization header")
        skew = min(MAX_SKEW, self.lifetime * SKEW_FRACTION)
        derive = object.__setattr__  # the way a frozen dataclass computes a field
        derive(self, "header", f"Authorization: Bearer {text}\r\n".encode("ascii"))
        derive(self, "serve_until", self.born + self.lifetime - skew)
        derive(self, "fingerprint", self.value.fingerprint())

    def usable(self, now: float) -> bool:
        """
        Say whether the token may be handed out at *now* (boot-clock seconds).
        """
        return now < self.serve_until

    def renew_at(self, chance: float) -> float:
        """
        Return when to start renewing: boot-clock seconds, infinite for a static token.

        Args:
            chance: From 0 up to 1; spreads the moment over 75 to 85 % of the life.
        """
        if self.kind == "static":
            return math.inf
        return self.born + self.lifetime * (RENEW_FROM + RENEW_SPAN * chance)

    def aged(self, seconds: float) -> Token:
        """
        Return this token as if it had been asked for so many seconds earlier.
        """
        return replace(self, born=self.born - seconds)

    def to_its_end(self) -> Token:
        """
        Return this token as one that may be handed out for its whole life, without the skew.
        """
        whole = replace(self)
        object.__setattr__(whole, "serve_until", self.born + self.lifetime)
        return whole

    def __repr__(self) -> str:
        lives = "no stated end" if math.isinf(self.lifetime) else f"lives {self.lifetime:.0f} s"
        return f"<Token {self.kind}, {lives}>"


@dataclass(frozen=True, slots=True)
class Minted:
    """
    A token as it came from the issuer, and what was odd about the answer.

    Attributes:
        token: The token.
        note: A sentence for the log; empty if nothing was odd.
    """

    token: Token
    note: str = ""


def sendable(text: str) -> bool:
    """
    Say whether *text* can stand behind `Bearer` in a header.

    Source: RFC 6749 Appendix A.12, RFC 6750 §2.1.
    """
    return len(text) <= MAX_TOKEN_CHARS and _VSCHARS.fullmatch(text) is not None


def static_token(value: Secret, *, born: float, lifetime: float = math.inf) -> Token:
    """
    Return a personal access token as a `Token`.

    Args:
        value: The text as its owner pasted it, white space stripped.
        born: Boot-clock seconds now.
        lifetime: Seconds until its stated expiry; infinite if none is stated.

    Raises:
        CredentialInvalid: The value cannot stand in a header.
    """
    if not sendable(value.reveal()):
        raise CredentialInvalid(
            "the personal access token holds white space, control or non-ASCII characters, or is"
            " empty; paste the token alone"
        )
    return Token(value, born, lifetime, "static")


def read_token_response(body: bytes, *, born: float, hide: Iterable[Secret] = ()) -> Minted:
    """
    Read the body of a 200 answer of a token endpoint.

    Source: RFC 6749 §5.1.

    Args:
        body: The bytes as they came; hostile.
        born: Boot-clock seconds when the request was sent.
        hide: Secrets of the request, not to be repeated in a reason.

    Raises:
        MintUnavailable: The body is no token answer; the reason says in words why not.
    """
    try:
        answer = read_object(body)
    except ValueError as exc:
        raise MintUnavailable(f"the issuer's token answer {exc}", shared=True) from exc
    if "error" in answer:
        error = quoted(answer["error"], hide=hide, limit=64) or "no error code"
        raise MintUnavailable(f"the issuer answered 200 with an error: {error}")
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise MintUnavailable(
            "the issuer's token answer has another token_type than Bearer"
            f" ({quoted(kind, hide=hide, limit=32) or 'none'}); only Bearer tokens can be attached"
        )
    value = answer.get("access_token")
    if not isinstance(value, str) or not value:
        raise MintUnavailable("the issuer's token answer has no access_token")
    if not sendable(value):
        raise MintUnavailable("the issuer's access_token cannot stand in a header; not used")
    lifetime, note = _lifetime(answer)
    return Minted(Token(Secret(value), born, lifetime, "minted"), note)


def _lifetime(answer: dict[str, object]) -> tuple[float, str]:
    """
    Return the seconds the token lives and, if `expires_in` is not what it should be, a note.

    RFC 6749 Appendix A.14 allows digits only. A number in another form can shorten the default
    life but not lengthen it; ZITADEL leaves the field out when it is 0.
    """
    value = answer.get("expires_in")
    if "expires_in" not in answer:
        odd, stated = "is missing", DEFAULT_LIFETIME
    elif isinstance(value, bool) or value is None:
        odd, stated = "is null" if value is None else "is true or false", DEFAULT_LIFETIME
    elif isinstance(value, str):
        digits = value.isascii() and value.isdigit() and len(value) <= 12
        odd, stated = "is a text", float(value) if digits else DEFAULT_LIFETIME
    elif not isinstance(value, (int, float)):
        odd, stated = "is not a number", DEFAULT_LIFETIME
    elif isinstance(value, float) and not value.is_integer():
        odd, stated = "is not a whole number", value if math.isfinite(value) else DEFAULT_LIFETIME
    elif value > MAX_LIFETIME:
        return MAX_LIFETIME, f"expires_in is longer than a day; taken as {MAX_LIFETIME:.0f} s"
    elif value >= 1:
        return float(value), ""
    else:
        odd, stated = "is zero or negative", DEFAULT_LIFETIME
    lifetime = min(stated, DEFAULT_LIFETIME) if stated >= 1 else DEFAULT_LIFETIME
    return lifetime, f"expires_in {odd}; taken as {lifetime:g} s"

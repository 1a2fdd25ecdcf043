"""
Access tokens and personal access tokens, and what ends them.

The store knows a token by its hash only: what a client holds cannot be read out of the sandbox.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from joserfc.jwt import encode

from proxy.core.secret import Secret

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

    from proxy.sandbox.keys import KeyPair

# ZITADEL encrypts `V2_<session>-at_<token>:<user>` and `<token>:<user>`; base64url of that many
# bytes has the same look and length.
OPAQUE_BYTES = 80
PAT_BYTES = 53

# The oldest are forgotten beyond this many, so a soak test does not grow without end.
TOKEN_LIMIT = 100_000


@dataclass(slots=True)
class AccessToken:
    """
    What the issuer remembers of a token it gave out.

    Attributes:
        token_id: Its id (`jti`).
        user_id: Whose it is.
        scopes: The scopes that were kept.
        audience: Project ids it is meant for.
        issuer: The issuer it was minted under.
        created: Seconds since the epoch.
        expires: Seconds since the epoch.
        kind: `minted`, `personal` for a PAT, `system` for a JWT a system user signed itself.
        client_id: What the mint said in a `client_id` form field; empty if nothing.
        actor: User id of who acts in the user's name; empty if nobody does.
        revoked: True once it was taken back.
    """

    token_id: str
    user_id: str
    scopes: tuple[str, ...]
    audience: tuple[str, ...]
    issuer: str
    created: float
    expires: float
    kind: Literal["minted", "personal", "system"] = "minted"
    client_id: str = ""
    actor: str = ""
    revoked: bool = False


class Tokens:
    """
    Every token given out, by the hash of its text.

    Args:
        signing: The key pair that signs JWT tokens.
        signing_kid: Its key id in the published key set.
    """

    def __init__(self, signing: KeyPair, signing_kid: str) -> None:
        self._signing = signing
        self.signing_kid = signing_kid
        self._tokens: dict[bytes, AccessToken] = {}

    @property
    def public(self) -> RSAKey:
        """
        The key that verifies what `sign` signed.
        """
        return self._signing.public

    def issue(self, token: AccessToken, *, jwt: bool = False) -> Secret:
        """
        Remember a token and return the text its holder shows.

        Args:
            token: The token.
            jwt: Whether that text is a JWT.
        """
        if token.kind == "personal":
            text = Secret(secrets.token_urlsafe(PAT_BYTES))
        elif jwt:
            text = Secret(self.sign(_access_claims(token)))
        else:
            text = Secret(secrets.token_urlsafe(OPAQUE_BYTES))
        while len(self._tokens) >= TOKEN_LIMIT:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[_digest(text.reveal())] = token
        return text

    def sign(self, claims: dict[str, object]) -> str:
        """
        Return the claims as a JWT signed by the issuer.
        """
        header = {"alg": "RS256", "kid": self.signing_kid}
        return encode(header, claims, self._signing.private, algorithms=["RS256"])

    def id_token(self, token: AccessToken) -> str:
        """
        Return the id_token that comes with a token; over at once, as ZITADEL's for service users.
        """
        now = int(token.created)
        claims: dict[str, object] = {
            "iss": token.issuer,
            "sub": token.user_id,
            "aud": list(token.audience),
            "iat": now,
            "exp": now,
        }
        return self.sign(claims | _actor_claim(token))

    def key_set(self) -> dict[str, list[dict[str, object]]]:
        """
        Return the issuer's published keys (RFC 7517 §5).
        """
        public: dict[str, object] = dict(self._signing.public.as_dict(private=False))
        return {"keys": [{**public, "use": "sig", "alg": "RS256", "kid": self.signing_kid}]}

    def find(self, text: str) -> AccessToken | None:
        """
        Return the token with this text, dead or alive; None if it was never given out.
        """
        return self._tokens.get(_digest(text))

    def revoke(self, user_id: str | None = None) -> int:
        """
        Take back a user's tokens, or everybody's.

        Returns:
            How many were taken back.
        """
        count = 0
        for token in self._tokens.values():
            if not token.revoked and user_id in {None, token.user_id}:
                token.revoked = True
                count += 1
        return count


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def _access_claims(token: AccessToken) -> dict[str, object]:
    claims: dict[str, object] = {
        "iss": token.issuer,
        "sub": token.user_id,
        "aud": list(token.audience),
        "exp": int(token.expires),
        "iat": int(token.created),
        "nbf": int(token.created),
        "jti": token.token_id,
    }
    if token.client_id:
        claims["client_id"] = token.client_id
    return claims | _actor_claim(token)


def _actor_claim(token: AccessToken) -> dict[str, object]:
    """
    Return who acts in the user's name, as RFC 8693 §4.1 writes it.
    """
    return {"act": {"sub": token.actor, "iss": token.issuer}} if token.actor else {}

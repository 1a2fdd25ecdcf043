"""
Service user → token request.

With `core.key` the thin typed wrapper over authlib, which is untyped: nothing of it leaves these
two files. A new method is a credential class in `core.credential`, one `case` here, and whatever
mypy then lists. Basic credentials are made here because authlib does not form-encode their halves.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_token_request

from proxy.core.credential import (
    ClientKey,
    ClientSecret,
    Exchange,
    FixedToken,
    PrivateKey,
    SystemKey,
)
from proxy.core.key import BACK_DATED, sign_assertion, sign_jwt
from proxy.core.secret import Secret
from proxy.core.token import Token

if TYPE_CHECKING:
    from proxy.core.credential import Issuer, ServiceUser

# RFC 7523 §2.1, RFC 6749 §4.4.2, RFC 8693 §2.1.
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS: Final = "client_credentials"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"

# ZITADEL refuses a system user's JWT whose `iat` is older, in seconds.
OLDEST: Final = 3600.0

# RFC 7523 §2.2.
CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """
    What to POST to the token endpoint.

    Attributes:
        body: The form.
        authorization: The value of the Authorization header; None if the form says it all.
        hide: What an answer must not make us repeat: assertions, secrets, exchanged tokens.
    """

    body: Secret
    authorization: Secret | None = None
    hide: tuple[Secret, ...] = ()

    def headers(self) -> dict[str, str]:
        """
        Return the headers to send. They may hold a secret: use them, do not keep them.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization.reveal()
        return headers


def token_request(user: ServiceUser, wall: float, jti: str, endpoint: str = "") -> TokenRequest:
    """
    Build the request that gets *user* a token.

    Args:
        user: A service user with a method that asks its issuer; a token exchange has the tokens
            of its parties.
        wall: Seconds since the epoch, UTC, by the issuer's clock.
        jti: A text never used before; the assertion's id.
        endpoint: The token endpoint; for client assertions that are meant for it.

    Raises:
        CredentialInvalid: The key's own expiry has passed.
        ValueError: A personal access token or a system key, which ask nobody.
    """
    match user.credential:
        case PrivateKey() as key:
            assertion = sign_assertion(key, user.issuer.url, wall, jti)
            form = _form(user, JWT_BEARER, assertion=assertion.reveal())
            return TokenRequest(form, hide=(assertion,))
        case ClientSecret() | ClientKey() as client:
            proof = _proof(client, user.issuer, wall, jti, endpoint)
            return _client_request(proof, _form(user, CLIENT_CREDENTIALS, **proof.fields))
        case Exchange() as exchange:
            proof = _proof(exchange.client, user.issuer, wall, jti, endpoint)
            parties, hide = _parties(exchange)
            form = _form(user, TOKEN_EXCHANGE, **parties, **proof.fields)
            return _client_request(proof, form, hide)
        case FixedToken() | SystemKey():
            raise ValueError(f"a token by {user.method} is never minted by an issuer")
        case _:
            assert_never(user.credential)


def system_token(user: ServiceUser, wall: float, jti: str, born: float) -> Token:
    """
    Sign a token for ZITADEL's System API, which takes a user's own JWT as the bearer.

    Args:
        user: A service user with a system key.
        wall: Seconds since the epoch, UTC, by the issuer's clock.
        jti: A text never used before.
        born: Boot-clock seconds now.
    """
    credential = user.credential
    if not isinstance(credential, SystemKey):
        raise TypeError("not a system key")
    life = min(credential.lifetime, OLDEST - BACK_DATED)
    signed = sign_jwt(credential.key, credential.user, user.issuer.url, wall, jti, life)
    return Token(signed, born, life, "minted")


def introspection_request(
    client: ClientSecret | ClientKey,
    issuer: Issuer,
    token: Secret,
    wall: float,
    jti: str,
    endpoint: str = "",
) -> TokenRequest:
    """
    Build the request that asks whether *token* is alive.

    Source: RFC 7662 §2.1. Without the hint an issuer may find a refresh token alive, too.

    Args:
        client: Who asks, and how it proves it.
        issuer: Whom it asks.
        token: The token in question.
        wall: Seconds since the epoch, UTC, by the issuer's clock.
        jti: A text never used before; the assertion's id.
        endpoint: The token endpoint; for client assertions that are meant for it.
    """
    proof = _proof(client, issuer, wall, jti, endpoint)
    fields = {"token": token.reveal(), "token_type_hint": "access_token", **proof.fields}
    return _client_request(proof, Secret(urlencode(fields)), (token,))


@dataclass(frozen=True, slots=True)
class _Proof:
    """
    A client's authentication: exactly one way (RFC 6749 §2.3), as fields of the form or as the
    header's value; and the secret in it.
    """

    secret: Secret
    fields: dict[str, str]
    authorization: Secret | None = None


def _proof(
    client: ClientSecret | ClientKey, issuer: Issuer, wall: float, jti: str, endpoint: str
) -> _Proof:
    match client:
        case ClientSecret(auth="basic"):
            return _Proof(client.secret, {}, _basic(client.client_id, client.secret))
        case ClientSecret():
            text = client.secret.reveal()
            return _Proof(client.secret, {"client_id": client.client_id, "client_secret": text})
        case ClientKey():
            audience = issuer.url if client.audience == "issuer" else endpoint
            signed = sign_jwt(client.key, client.client_id, audience, wall, jti)
            fields = {
                "client_id": client.client_id,
                "client_assertion_type": CLIENT_ASSERTION,
                "client_assertion": signed.reveal(),
            }
            return _Proof(signed, fields)
        case _:
            assert_never(client)


def _parties(exchange: Exchange) -> tuple[dict[str, str], tuple[Secret, ...]]:
    """
    Return the form's fields that say whose token it is about (RFC 8693 §2.1), and their secrets.
    """
    fields: dict[str, str] = {}
    hide: list[Secret] = []
    for role, party in (("subject", exchange.subject), ("actor", exchange.actor)):
        if party is None:
            continue
        if party.token is None:
            raise ValueError(f"the {role} has no token yet")
        fields[f"{role}_token"] = party.token.reveal()
        fields[f"{role}_token_type"] = party.token_type
        hide.append(party.token)
    if exchange.requested_type is not None:
        fields["requested_token_type"] = exchange.requested_type
    return fields, tuple(hide)


def _client_request(proof: _Proof, form: Secret, hide: tuple[Secret, ...] = ()) -> TokenRequest:
    secrets = (proof.secret, *hide)
    as_sent = tuple(Secret(quote_plus(each.reveal())) for each in secrets)
    if proof.authorization is not None:
        pair = proof.authorization.reveal().removeprefix("Basic ")
        as_sent += (Secret(pair), Secret(pair.rstrip("=")))
    return TokenRequest(form, proof.authorization, tuple(dict.fromkeys((*as_sent, *secrets))))


def _form(user: ServiceUser, grant_type: str, **fields: str) -> Secret:
    scope = " ".join(sorted(set(user.scopes)))
    form = str(prepare_token_request(grant_type, scope=scope, **fields))
    # RFC 8693 §2.1, RFC 8707 §2: each value is a parameter of its own, which authlib cannot say.
    more = [("audience", value) for value in user.audience]
    more += [("resource", value) for value in user.resource]
    return Secret(f"{form}&{urlencode(more)}" if more else form)


def _basic(client_id: str, secret: Secret) -> Secret:
    """
    Return Basic credentials with both halves form-encoded first (RFC 6749 §2.3.1).
    """
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return Secret("Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii"))

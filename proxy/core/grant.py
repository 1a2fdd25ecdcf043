"""
Service user → token request.

With `core.key` the thin typed wrapper over authlib, which is untyped: nothing of it leaves these
two files. A new method is a credential class here, one `case` in `token_request`, and whatever
mypy then lists. Basic credentials are made here because authlib does not form-encode their halves.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, assert_never
from urllib.parse import quote_plus

from authlib.oauth2.rfc6749.parameters import prepare_token_request

from proxy.core.key import load_rsa, sign_assertion
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

Method: TypeAlias = Literal["private_key_jwt", "client_credentials", "personal_access_token"]

# RFC 7523 §2.1, RFC 6749 §4.4.2.
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    A ZITADEL instance, or any OAuth 2.0 issuer.

    Attributes:
        name: What proxy.yaml calls it.
        url: The issuer identifier, byte for byte what goes into `aud`.
        token_endpoint: Absolute URL; None to find it by discovery.
        connect_to: `scheme://host[:port]` to really dial; Host and TLS name stay those of `url`.
        ca_file: PEM file of the authorities to trust; None for the system's.
    """

    name: str
    url: str
    token_endpoint: str | None = None
    connect_to: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """
    A service user's RSA key; the issuer knows its public half by `key_id`.

    Attributes:
        key_id: Goes into the assertion's header as `kid`.
        user_id: Goes into the assertion as `iss` and `sub`.
        key: The private key, loaded once.
        fingerprint: RFC 7638 thumbprint of the public half.
        expires: Seconds since the epoch; None if the key file does not say.
    """

    key_id: str
    user_id: str
    key: RSAKey = field(repr=False, compare=False)
    fingerprint: str
    expires: float | None = None
    method: ClassVar[Method] = "private_key_jwt"


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """
    A client id with its secret.

    Attributes:
        client_id: On ZITADEL the service user's login name.
        secret: The client secret.
        auth: Where it goes: into a Basic header or into the body, never both.
    """

    client_id: str
    secret: Secret
    auth: Literal["basic", "post"] = "basic"
    method: ClassVar[Method] = "client_credentials"

    @property
    def fingerprint(self) -> str:
        """
        Tell this secret from the one before it.
        """
        return self.secret.fingerprint()


@dataclass(frozen=True, slots=True)
class FixedToken:
    """
    A personal access token: sent as it is, never minted.

    Attributes:
        value: The token, white space stripped.
        expires: Seconds since the epoch; None if nobody said (the token itself does not).
    """

    value: Secret
    expires: float | None = None
    method: ClassVar[Method] = "personal_access_token"

    @property
    def fingerprint(self) -> str:
        """
        Tell this token from the one before it.
        """
        return self.value.fingerprint()


Credential: TypeAlias = PrivateKey | ClientSecret | FixedToken


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """
    A named identity at an issuer, with one method.

    Attributes:
        name: What proxy.yaml calls it.
        issuer: Where its tokens come from.
        credential: How it proves who it is.
        scopes: What it asks for; order and repetition do not matter.
        required: Whether the proxy is ready only once this user has a token.
    """

    name: str
    issuer: Issuer
    credential: Credential
    scopes: tuple[str, ...] = ()
    required: bool = True

    @property
    def method(self) -> Method:
        """
        Name the method as proxy.yaml does.
        """
        return self.credential.method


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """
    What to POST to the token endpoint.

    Attributes:
        body: The form.
        authorization: The value of the Authorization header; None if the form says it all.
        hide: What an answer must not make us repeat: the assertion, the client secret.
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


def private_key(
    pem: Secret, *, key_id: str, user_id: str, expires: float | None = None
) -> PrivateKey:
    """
    Load a PEM text (PKCS#1 as ZITADEL writes it, or PKCS#8) into a `PrivateKey`.

    Args:
        pem: The text of the key.
        key_id: The id the issuer gave the key.
        user_id: The id of the service user the key belongs to.
        expires: Seconds since the epoch when the issuer stops accepting it; None if unknown.

    Raises:
        CredentialInvalid: Not an unencrypted RSA private key of 2048 bits or more.
    """
    key = load_rsa(pem, key_id)
    return PrivateKey(key_id, user_id, key, key.thumbprint(), expires)


def token_request(user: ServiceUser, wall: float, jti: str) -> TokenRequest:
    """
    Build the request that gets *user* a token.

    Args:
        user: A service user with a method that mints.
        wall: Seconds since the epoch, UTC.
        jti: A text never used before; the assertion's id.

    Raises:
        CredentialInvalid: The key's own expiry has passed.
        ValueError: A personal access token, which is never minted.
    """
    scope = " ".join(sorted(set(user.scopes)))
    match user.credential:
        case PrivateKey() as key:
            assertion = sign_assertion(key, user.issuer.url, wall, jti)
            form = _form(JWT_BEARER, assertion=assertion.reveal(), scope=scope)
            return TokenRequest(form, hide=(assertion,))
        case ClientSecret() as client:
            return _client_request(client, scope)
        case FixedToken():
            raise ValueError("a personal access token is never minted")
        case _:
            assert_never(user.credential)


def identity(user: ServiceUser) -> tuple[str, ...]:
    """
    Return what a token of *user* depends on, without any secret.

    Two users, or one before and after a reload, with equal identities may share a token.
    """
    credential = user.credential
    match credential:
        case PrivateKey():
            who: tuple[str, ...] = (credential.user_id, credential.key_id)
        case ClientSecret():
            who = (credential.client_id,)
        case FixedToken():
            who = ()
        case _:
            assert_never(credential)
    scopes = tuple(sorted(set(user.scopes)))
    return (user.issuer.url, credential.method, *who, credential.fingerprint, *scopes)


def _client_request(client: ClientSecret, scope: str) -> TokenRequest:
    """
    Build the request with exactly one client authentication (RFC 6749 §2.3).
    """
    hide = (client.secret,)
    if client.auth == "basic":
        form = _form(CLIENT_CREDENTIALS, scope=scope)
        return TokenRequest(form, _basic(client.client_id, client.secret), hide)
    text = client.secret.reveal()
    fields = {"client_id": client.client_id, "client_secret": text}
    return TokenRequest(_form(CLIENT_CREDENTIALS, scope=scope, **fields), None, hide)


def _form(grant_type: str, **fields: str) -> Secret:
    return Secret(str(prepare_token_request(grant_type, **fields)))


def _basic(client_id: str, secret: Secret) -> Secret:
    """
    Return Basic credentials with both halves form-encoded first (RFC 6749 §2.3.1).
    """
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return Secret("Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii"))

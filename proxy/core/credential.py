"""
Who a service user is, and what it proves that with.

A new method is a credential class here, one `case` in `core.grant`, and whatever mypy then lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, assert_never

from proxy.core.key import SigningKey, load_rsa, parse_pem
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from joserfc.jwk import RSAKey

Method: TypeAlias = Literal[
    "private_key_jwt",
    "client_credentials",
    "personal_access_token",
    "system_jwt",
    "token_exchange",
]

# RFC 8693 §3: the token types this program sends; ZITADEL's own one names a user by id.
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
USER_ID = "urn:zitadel:params:oauth:token-type:user_id"


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
        jwks_uri: Absolute URL of the keys that sign its tokens; None to find it by discovery.
        introspection_endpoint: Absolute URL; None to find it by discovery.
    """

    name: str
    url: str
    token_endpoint: str | None = None
    connect_to: str | None = None
    ca_file: str | None = None
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None

    @property
    def place(self) -> tuple[str, str | None, str | None]:
        """
        Tell this issuer, as it is reached, from others; equal through reloads.
        """
        return (self.url, self.connect_to, self.token_endpoint)


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
    expires: ClassVar[float | None] = None
    method: ClassVar[Method] = "client_credentials"

    @property
    def fingerprint(self) -> str:
        """
        Tell this secret from the one before it.
        """
        return self.secret.fingerprint()


@dataclass(frozen=True, slots=True)
class ClientKey:
    """
    A client id with a key instead of a secret: it signs an assertion (RFC 7523 §2.2).

    Attributes:
        client_id: Goes into the assertion as `iss` and `sub`.
        key: What signs.
        audience: What goes into `aud`: the issuer's url, or its token endpoint.
    """

    client_id: str
    key: SigningKey
    audience: Literal["issuer", "token_endpoint"] = "issuer"
    expires: ClassVar[float | None] = None
    method: ClassVar[Method] = "client_credentials"

    @property
    def fingerprint(self) -> str:
        """
        Tell this key from the one before it.
        """
        return self.key.fingerprint


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


@dataclass(frozen=True, slots=True)
class SystemKey:
    """
    A key whose signed JWT is the token itself: ZITADEL's System API.

    Attributes:
        user: The system user's name; `iss` and `sub`.
        key: What signs.
        lifetime: Seconds each token lives; ZITADEL allows an hour.
    """

    user: str
    key: SigningKey
    lifetime: float = 1800.0
    expires: ClassVar[float | None] = None
    method: ClassVar[Method] = "system_jwt"

    @property
    def fingerprint(self) -> str:
        """
        Tell this key from the one before it.
        """
        return self.key.fingerprint


@dataclass(frozen=True, slots=True)
class Party:
    """
    Whom a token exchange is about: the subject, or the actor.

    Attributes:
        token_type: RFC 8693 §3, what `token` is.
        service_user: Whose token to take; None if `token` is here from the start.
        token: The token, or with `USER_ID` a user's id; None until it has been taken.
    """

    token_type: str
    service_user: str | None = None
    token: Secret | None = None

    @property
    def fingerprint(self) -> str:
        """
        Tell this party from others, whatever token it has at the moment.
        """
        if self.service_user is not None:
            return f"service_user {self.service_user}"
        return "" if self.token is None else self.token.fingerprint()


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    A token got for another token (RFC 8693).

    Attributes:
        client: How the client that exchanges proves who it is.
        subject: Whose token it will be.
        actor: Who acts for the subject; None if nobody does.
        requested_type: What kind of token to ask for; None for the issuer's choice.
    """

    client: ClientSecret | ClientKey
    subject: Party
    actor: Party | None = None
    requested_type: str | None = None
    expires: ClassVar[float | None] = None
    method: ClassVar[Method] = "token_exchange"

    @property
    def fingerprint(self) -> str:
        """
        Tell this client's credential from the one before it.
        """
        return self.client.fingerprint

    @property
    def parties(self) -> tuple[str, ...]:
        """
        The service users whose tokens are exchanged.
        """
        both = (self.subject, self.actor)
        return tuple(p.service_user for p in both if p is not None and p.service_user is not None)


Credential: TypeAlias = PrivateKey | ClientSecret | ClientKey | FixedToken | SystemKey | Exchange


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
        spares: Further credentials of the same method, to be tried in this order once the one
            before has been refused.
        audience: Values of the `audience` parameter of its token requests.
        resource: Values of the `resource` parameter (RFC 8707).
        on_rotation: Whether a token outlives the credential that minted it.
    """

    name: str
    issuer: Issuer
    credential: Credential
    scopes: tuple[str, ...] = ()
    required: bool = True
    spares: tuple[Credential, ...] = ()
    audience: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    on_rotation: Literal["keep", "drop"] = "keep"

    @property
    def method(self) -> Method:
        """
        Name the method as proxy.yaml does.
        """
        return self.credential.method

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """
        All its credentials, in the order they are tried.
        """
        return (self.credential, *self.spares)

    def acting_with(self, credential: Credential) -> ServiceUser:
        """
        Return this service user with *credential* as its only one.
        """
        return replace(self, credential=credential, spares=())


def private_key(
    pem: Secret | rsa.RSAPrivateKey, *, key_id: str, user_id: str, expires: float | None = None
) -> PrivateKey:
    """
    Make a `PrivateKey` of a PEM text (PKCS#1 as ZITADEL writes it, or PKCS#8), or of a parsed one.

    Args:
        pem: The text of the key, or the key.
        key_id: The id the issuer gave the key.
        user_id: The id of the service user the key belongs to.
        expires: Seconds since the epoch when the issuer stops accepting it; None if unknown.

    Raises:
        CredentialInvalid: Not an unencrypted RSA private key of 2048 bits or more.
    """
    key = load_rsa(parse_pem(pem) if isinstance(pem, Secret) else pem, key_id)
    return PrivateKey(key_id, user_id, key, key.thumbprint(), expires)


def identity(user: ServiceUser) -> tuple[str, ...]:
    """
    Return what a token of *user* depends on, without any secret.

    Two users, or one before and after a reload, with equal identities may share a token.
    """
    credential = user.credential
    lists = (" ".join(sorted(set(each))) for each in (user.scopes, user.audience, user.resource))
    who = (*_who(credential), credential.fingerprint)
    return (*map(str, user.issuer.place), credential.method, *who, *lists)


def account(user: ServiceUser) -> tuple[object, ...]:
    """
    Return whose token *user*'s is and what for, whichever credential it is got with; no secret.
    """
    lists = (frozenset(each) for each in (user.scopes, user.audience, user.resource))
    credential = user.credential
    who: tuple[object, ...] = _who(credential)[:1]
    if isinstance(credential, Exchange):
        parties = (
            credential.subject.fingerprint,
            credential.actor and credential.actor.fingerprint,
        )
        who = (*_who(credential.client)[:1], *parties, credential.requested_type)
    return (user.issuer.place, credential.method, *who, *lists)


def standing(user: ServiceUser) -> tuple[str, ...]:
    """
    Return `account` as texts in a fixed order, as `identity` does, after the user's name.
    """
    lists = (" ".join(sorted(set(each))) for each in (user.scopes, user.audience, user.resource))
    place, method, *who = account(user)[:-3]
    assert isinstance(place, tuple)
    return (user.name, *map(str, (*place, method, *who)), *lists)


def _who(credential: Credential) -> tuple[str, ...]:
    match credential:
        case PrivateKey():
            return (credential.user_id, credential.key_id)
        case ClientSecret():
            return (credential.client_id,)
        case ClientKey():
            return (credential.client_id, credential.key.key_id or "")
        case SystemKey():
            return (credential.user,)
        case FixedToken():
            return ()
        case Exchange(client, subject, actor, requested_type):
            parties = (subject.fingerprint, "" if actor is None else actor.fingerprint)
            return (*_who(client), *parties, requested_type or "")
        case _:
            assert_never(credential)

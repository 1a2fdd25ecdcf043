"""
proxy.yaml as a whole: listeners, issuers, service users, callers, limits, routes.

Every default and unit of a setting stands in its description; the schema, the reference and
messages take it from there. A new group of settings also gets a row in `words.SECTIONS`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from proxy.config.door import (  # noqa: TC001 - pydantic reads annotations at run time
    AllowedHost,
    RequiredHeader,
)
from proxy.config.limits import Limits, Pools
from proxy.config.network import Url, parse_admin
from proxy.config.route import Route, guard_scheme
from proxy.config.section import Items, Name, Section, Table, Text, nothing, wrong
from proxy.config.service_user import ServiceUser  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.values import (  # noqa: TC001 - pydantic reads annotations at run time
    AdminAddress,
    File,
    HttpUrl,
    ListenAddress,
)

ANONYMOUS = "anonymous"
"""The caller nobody has to declare: whoever shows no credential."""

DEFAULT_ADMIN = "127.0.0.1:9090"

_SHA256 = r"[0-9A-Fa-f]{64}"


def _sha256(value: str) -> str:
    if not re.fullmatch(_SHA256, value):
        raise wrong(
            "is no SHA-256 in 64 hex digits",
            "write what `printf %s KEY | sha256sum` prints, not the key",
        )
    return value.lower()


Sha256 = Annotated[
    str, AfterValidator(_sha256), Field(json_schema_extra={"pattern": f"^{_SHA256}$"})
]


class ListenerCertificate(Section):
    """
    A certificate a listener shows, and its key.
    """

    cert_file: File = Field(description="PEM file with the certificate and its chain.")
    key_file: File = Field(description="PEM file with the certificate's private key.")


class ListenerTls(ListenerCertificate):
    """
    TLS on a listener.
    """

    client_ca_file: File | None = Field(
        default=None,
        description=(
            "PEM file of authorities; callers must show a certificate of theirs. Default: none asked."
        ),
    )
    certificates: Items[ListenerCertificate] = Field(
        default=(),
        description=(
            "More certificates, each for the names in it (*.suffix for one label); callers that "
            "ask for none of them see the one above. Default: none."
        ),
    )


class Listener(Section):
    """
    Where callers connect.
    """

    address: ListenAddress = Field(
        description="host:port (port 0: any free one), [v6]:port, or unix:/path."
    )
    tls: ListenerTls | None = Field(default=None, description="Serve TLS. Default: plain HTTP.")
    callers: Items[Name] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Callers that may use this listener; [anonymous] lets everyone in. Default: everyone "
            "on loopback and Unix sockets; anywhere else it must be written."
        ),
    )
    hosts: Items[AllowedHost] | None = Field(
        default=None,
        min_length=1,
        description=(
            'Hosts, without port, that requests may be for: names, *.suffix, or "*" for any. '
            "Default: any, but on loopback without callers only addresses, names no web page can "
            "have (without a dot, or ending in .localhost, .internal, .local, .test, .example, "
            ".invalid, .home.arpa), and those that a route's match or upstream names."
        ),
    )
    browsers: Literal["refuse", "allow"] = Field(
        default="refuse",
        description=(
            "Whether requests of web pages are taken: those with an Origin header, or with "
            "Sec-Fetch-Site other than same-origin and none. Default: refuse."
        ),
    )
    require_header: RequiredHeader | None = Field(
        default=None,
        description="A header every request must bring, which web pages cannot. Default: none.",
    )


class Issuer(Section):
    """
    A ZITADEL instance, or another OAuth 2.0 issuer.
    """

    allow_insecure: bool = Field(
        default=False,
        description=(
            "Let http:// URLs of this issuer be another machine: secrets then cross the network "
            "readable. Default: false."
        ),
    )
    url: HttpUrl = Field(
        description="The issuer identifier, byte for byte; ZITADEL's has no slash at its end."
    )
    connect_to: HttpUrl | None = Field(
        default=None,
        description="Where to connect instead; the Host header stays that of url. Default: url.",
    )
    token_endpoint: HttpUrl | None = Field(
        default=None, description="Where tokens are minted. Default: as discovery says."
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file of the authorities trusted for this issuer. Default: the system's.",
    )

    @field_validator("url", "connect_to", "token_endpoint")
    @classmethod
    def _encrypted(cls, url: Url | None, info: ValidationInfo) -> Url | None:
        return url and guard_scheme(url, info)

    @field_validator("connect_to")
    @classmethod
    def _origin_only(cls, url: Url | None) -> Url | None:
        if url and url.path not in {"", "/"}:
            raise wrong("holds a path", "write scheme, host and port alone")
        return url


class JwtCaller(Section):
    """
    A caller known by a token of its own.
    """

    issuer: Name = Field(description="Name of the issuer whose tokens are believed.")
    audience: Text = Field(description="What the token's aud must hold.")
    claims: Table[str, Text] = Field(
        default_factory=nothing, description="Claims that must have this value. Default: none."
    )


class Caller(Section):
    """
    Somebody who calls the proxy, and how they are known.
    """

    api_key_sha256: Sha256 | None = Field(
        default=None,
        description=(
            "SHA-256, 64 hex digits, of the key the caller sends as Proxy-Authorization: Bearer or "
            "X-Api-Key."
        ),
    )
    mtls_san: Text | None = Field(
        default=None,
        description="Name in the caller's client certificate. Not carried out by this version.",
    )
    jwt: JwtCaller | None = Field(
        default=None, description="A token of the caller's own. Not carried out by this version."
    )

    @field_validator("mtls_san", "jwt", mode="before")
    @classmethod
    def _not_yet(cls, _: object) -> object:
        raise wrong("is not carried out by this version", "write api_key_sha256 instead")

    @model_validator(mode="after")
    def _known_somehow(self) -> Caller:
        if self.api_key_sha256 is None:
            raise wrong("says nothing this caller is known by", "write api_key_sha256")
        return self


def _listeners(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return value
    if not isinstance(value, str):
        raise wrong("is no address", "write 127.0.0.1:8080, or a list with an address: line each")
    return [{"address": value}]


class Settings(Section):
    """
    All of proxy.yaml.
    """

    version: Literal[1] = Field(description="Version of this file's form: 1.")
    listen: Annotated[Items[Listener], BeforeValidator(_listeners)] = Field(
        default=(Listener.model_validate({"address": "127.0.0.1:8080"}),),
        min_length=1,
        description="Where callers connect: one address, or a list. Default: 127.0.0.1:8080.",
        json_schema_extra={"default": "127.0.0.1:8080"},
    )
    admin: AdminAddress = Field(
        default=parse_admin(DEFAULT_ADMIN),
        description=f'Health and state: an address or "off". Default: {DEFAULT_ADMIN}.',
        json_schema_extra={"default": DEFAULT_ADMIN},
    )
    issuers: Table[Name, Issuer] = Field(
        min_length=1, description="Issuers by name: who mints tokens."
    )
    service_users: Table[Name, ServiceUser] = Field(
        min_length=1, description="Service users by name: as whom requests are made."
    )
    callers: Table[Name, Caller] = Field(
        default_factory=nothing,
        description="Callers by name: who may use the proxy. Default: none.",
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="What callers may use up. Default: that of each setting in it.",
    )
    pools: Pools = Field(
        default_factory=Pools,
        description="The connections to each upstream. Default: that of each setting in it.",
    )
    routes: Items[Route] = Field(
        min_length=1,
        description="Routes: the most specific one wins, whatever their order in the file.",
    )

    def effective(self) -> dict[str, Any]:
        """
        Return what a file would say that names every setting: defaults filled in, times with their
        unit, a bare secret as `***`.
        """
        return self.model_dump(mode="json", exclude_none=True) | {"admin": str(self.admin or "off")}

"""
proxy.yaml as a whole: listeners, issuers, service users, callers, limits, routes.

Every default and unit of a setting stands in its description; the schema, the reference and
messages take it from there. A new group of settings also gets a row in `words.SECTIONS`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from proxy.config.audit import Audit
from proxy.config.caller import (  # noqa: TC001 - pydantic reads annotations at run time
    Caller,
    Introspection,
    Sha256,
)
from proxy.config.door import (  # noqa: TC001 - pydantic reads annotations at run time
    AllowedHost,
    RequiredHeader,
)
from proxy.config.limits import Limits, Pools
from proxy.config.log import Log
from proxy.config.network import Url, parse_admin
from proxy.config.rate import RateLimits, Upstreams, any_number
from proxy.config.route import Route, guard_scheme
from proxy.config.section import Items, Name, OneOrMore, Section, Table, nothing, wrong
from proxy.config.service_user import ServiceUser  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.shutdown import Shutdown
from proxy.config.traces import Traces
from proxy.config.values import (  # noqa: TC001 - pydantic reads annotations at run time
    AdminAddress,
    File,
    HttpUrl,
    ListenAddress,
)

ANONYMOUS = "anonymous"
"""The caller nobody has to declare: whoever shows no credential."""

DEFAULT_ADMIN = "127.0.0.1:9090"


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
    mode: Literal["enforce", "report"] = Field(
        default="enforce",
        description=(
            "What becomes of a caller that is not among them: denied (enforce), or let through, "
            "logged and counted (report). Default: enforce."
        ),
    )
    caller_credential: Literal["proxy_authorization", "authorization"] = Field(
        default="proxy_authorization",
        description=(
            "Where callers show a key or token: in Proxy-Authorization: Bearer or X-Api-Key; with "
            "authorization in Authorization: Bearer too, which then is never passed on. Default: "
            "proxy_authorization."
        ),
    )
    hosts: Items[AllowedHost] | None = Field(
        default=None,
        min_length=1,
        description=(
            'Hosts, without port, that requests may be for: names, *.suffix, or "*" for any. '
            "Default: any, but on loopback without callers only addresses, names no web page can "
            "have (without a dot, or ending in .localhost, .internal, .local, .test, .example, "
            ".invalid, .home.arpa), and those that a route's match or upstream names. What is asked "
            "for in forward mode need not be among them: routes say for whom they are."
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
    limits: RateLimits | None = Field(
        default=None,
        description=(
            "How many requests may come here of callers nobody knows, all of them together. "
            "Default: any number."
        ),
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
    jwks_uri: HttpUrl | None = Field(
        default=None,
        description=(
            "Where its public keys are, for callers known by a JWT (a Kubernetes cluster's are at "
            "/openid/v1/jwks). Default: as discovery says."
        ),
    )
    introspection_endpoint: HttpUrl | None = Field(
        default=None,
        description="Where it is asked about callers' tokens. Default: as discovery says.",
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file of the authorities trusted for this issuer. Default: the system's.",
    )
    introspection: Introspection | None = Field(
        default=None,
        description="As which client it is asked about callers' tokens. Default: it is not asked.",
    )

    @field_validator("url", "connect_to", "token_endpoint", "jwks_uri", "introspection_endpoint")
    @classmethod
    def _encrypted(cls, url: Url | None, info: ValidationInfo) -> Url | None:
        return url and guard_scheme(url, info)

    @field_validator("connect_to")
    @classmethod
    def _origin_only(cls, url: Url | None) -> Url | None:
        if url and url.path not in {"", "/"}:
            raise wrong("holds a path", "write scheme, host and port alone")
        return url


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
    admin_key_sha256: OneOrMore[Sha256] | None = Field(
        default=None,
        description=(
            "SHA-256, 64 hex digits, of the key operators send to admin as Authorization: Bearer, or "
            "a list; then only /livez and /readyz go without. Default: no key, and changes only from "
            "this machine."
        ),
    )
    log: Log = Field(
        default_factory=Log,
        description="The lines on standard output. Default: that of each setting in it.",
    )
    traces: Traces = Field(
        default_factory=Traces,
        description="Spans for an OpenTelemetry collector. Default: as the environment says.",
    )
    audit: Audit = Field(
        default_factory=Audit,
        description="The record of which token went where, for whom. Default: none is kept.",
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
    shutdown: Shutdown = Field(
        default_factory=Shutdown,
        description="How the proxy ends. Default: that of each setting in it.",
    )
    upstreams: Upstreams = Field(
        default_factory=any_number,
        description=(
            "How many requests each upstream is sent over all routes, by origin. Default: any number."
        ),
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

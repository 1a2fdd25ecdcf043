"""
Routes: what to match, where it goes, as whom, and on which terms.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from proxy.config.network import Url  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.quantity import duration, setting
from proxy.config.section import Items, Name, Section, Table, nothing, wrong
from proxy.config.values import File, HttpUrl, IpNetwork, Seconds, UrlPath  # noqa: TC001 - pydantic reads annotations at run time
from proxy.core import route

# RFC 9110 §5.1: field-name = token; §5.6.2 token.
_FIELD_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}"

# RFC 9110 §5.5 field-value, without obs-text and without the blanks around it.
_VALUE: Final = r"[!-~](?:[ \t!-~]*[!-~])?"

HOST: Final = r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]"

# The methods llhttp parses, without CONNECT and TRACE, which the contract refuses.
METHODS: Final = frozenset(
    {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "SEARCH", "PROPFIND",
        "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR", "MKACTIVITY", "COPY", "MOVE", "LOCK",
        "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "LINK", "UNLINK", "CHECKOUT", "MERGE",
        "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "SOURCE",
    }
)  # fmt: skip

# Headers this proxy writes itself: framing and connection (RFC 9110 §7.6.1, §8.6), and credentials.
_OURS: Final = frozenset(
    {
        "authorization", "connection", "content-length", "expect", "host", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def _method(value: str) -> str:
    if value in METHODS:
        return value
    if value.upper() in METHODS:
        raise wrong("is a method in small letters", "write it in capitals")
    raise wrong("is no method this proxy forwards", "write methods such as GET or POST")


def _header_name(value: str) -> str:
    if not re.fullmatch(_FIELD_NAME, value):
        raise wrong("is no header's name", "use letters, digits and dashes")
    return value.lower()


def _own_header_name(value: str) -> str:
    name = _header_name(value)
    if name in _OURS:
        raise wrong("is a header this proxy writes itself", "leave it out")
    return name


def _header_value(value: str) -> str:
    if not re.fullmatch(_VALUE, value):
        raise wrong("is no header's value", "write one line of ASCII text")
    return value


def match_host(value: object) -> str:
    """
    Return the host or `*.suffix` in lower case.
    """
    if isinstance(value, str) and re.fullmatch(r".+:[0-9]+", value) and not value.endswith("]"):
        raise wrong("holds a port", "write the host alone: any port is meant")
    if not isinstance(value, str) or not re.fullmatch(HOST, value) or len(value) > 255:
        raise wrong("is no host", "write orders.internal, or *.internal for all below it")
    return value.lower()


Method = Annotated[str, AfterValidator(_method), Field(json_schema_extra={"enum": sorted(METHODS)})]
HeaderName = Annotated[
    str, AfterValidator(_header_name), Field(json_schema_extra={"pattern": f"^{_FIELD_NAME}$"})
]
OwnHeaderName = Annotated[
    str, AfterValidator(_own_header_name), Field(json_schema_extra={"pattern": f"^{_FIELD_NAME}$"})
]
HeaderValue = Annotated[
    str, AfterValidator(_header_value), Field(json_schema_extra={"pattern": f"^{_VALUE}$"})
]
MatchHost = Annotated[
    str, PlainValidator(match_host), WithJsonSchema({"type": "string", "pattern": f"^({HOST})$"})
]


class Match(Section):
    """
    Which requests a route takes; everything written must hold.
    """

    path: UrlPath = Field(
        default="/",
        description="Path prefix, ending on a segment's border. Default: / (every path).",
    )
    host: MatchHost | None = Field(
        default=None,
        description=(
            "Host asked for: one name, or *.suffix for all below it. Default: any; in forward mode "
            "(http_proxy) the upstream's own, with the upstream's paths."
        ),
    )
    methods: Items[Method] | None = Field(
        default=None, min_length=1, description="Methods, in capitals. Default: any."
    )
    headers: Table[HeaderName, HeaderValue] = Field(
        default_factory=nothing,
        description="Headers that must have exactly this value. Default: none.",
    )

    def compiled(self) -> route.Match:
        """
        Return the same as the route table holds it.
        """
        return route.Match(
            host=(self.host or "").encode(),
            path=self.path.rstrip("/").encode(),
            methods=frozenset(method.encode() for method in self.methods or ()),
            headers=tuple((name.encode(), value.encode()) for name, value in self.headers.items()),
        )


class RequestHeaders(Section):
    """
    Changes to the headers that go to the upstream.
    """

    set: Table[OwnHeaderName, HeaderValue] = Field(
        default_factory=nothing,
        description="Headers to send with this value, whatever the caller sent. Default: none.",
    )
    remove: Items[OwnHeaderName] = Field(
        default=(), description="Headers not to pass on. Default: none."
    )


class Timeouts(Section):
    """
    How long a route waits; each with its unit.
    """

    connect: Seconds = Field(
        default=5.0,
        description="Longest wait for a connection to the upstream, TLS included. Default: 5s.",
        json_schema_extra={"default": "5s"},
    )
    response: Seconds = Field(
        default=60.0,
        description=(
            "Longest wait for the response to begin once the request is sent. Default: 60s."
        ),
        json_schema_extra={"default": "60s"},
    )
    idle: Seconds = Field(
        default=75.0,
        description=("Longest silence of both sides once the response has begun. Default: 75s."),
        json_schema_extra={"default": "75s"},
    )
    request: Annotated[float, duration(off=True)] = setting(
        "off",
        "Longest time from a request's headers to the last byte of its response, whatever moves "
        "meanwhile. off: no limit.",
    )


class Route(Section):
    """
    One route.
    """

    name: Name = Field(description="What the route is called in logs and metrics; unique.")
    match: Match = Field(
        default_factory=Match, description="Which requests it takes. Default: all."
    )
    allow_insecure: bool = Field(
        default=False,
        description=(
            "Let an http:// upstream be another machine: tokens then cross the network readable. "
            "Default: false."
        ),
    )
    upstream: HttpUrl = Field(
        description="Where matched requests go: https://host[:port][/path]; http:// on loopback."
    )
    service_user: Name = Field(description="Name of the service user whose token is attached.")
    rewrite_path: UrlPath | None = Field(
        default=None, description="Replaces the matched path prefix. Default: the path stays."
    )
    ca_file: File | None = Field(
        default=None,
        description=(
            "PEM file of the authorities trusted for this upstream. Default: the system's."
        ),
    )
    allow_addresses: Items[IpNetwork] = Field(
        default=(),
        description=(
            "Networks such as 169.254.10.0/24 the upstream's addresses may be in beyond the rule: "
            "no link-local, cloud metadata, multicast or unspecified ones, and no loopback unless "
            "the upstream says so itself. Default: none."
        ),
    )
    client_cert_file: File | None = Field(
        default=None,
        description=(
            "PEM file with the certificate, and its chain, that is shown to this upstream; with "
            "client_key_file. Default: none."
        ),
    )
    client_key_file: File | None = Field(
        default=None,
        description="PEM file with that certificate's private key, not encrypted. Default: none.",
    )
    callers: Items[Name] | None = Field(
        default=None,
        min_length=1,
        description="Callers that may use this route. Default: whoever may use the listener.",
    )
    mode: Literal["enforce", "report"] = Field(
        default="enforce",
        description=(
            "What becomes of a caller that is not among them: denied (enforce), or let through, "
            "logged and counted (report). Default: enforce."
        ),
    )
    request_headers: RequestHeaders = Field(
        default_factory=RequestHeaders, description="Changes to request headers. Default: none."
    )
    timeouts: Timeouts = Field(
        default_factory=Timeouts, description="How long to wait. Default: 5s, 60s, 75s, off."
    )
    replay: Literal["auto", "always", "never"] = Field(
        default="auto",
        description=(
            "Whether an upstream's 401 is answered by one new token and one replay: auto does it "
            "for a body still at hand and a method that may be repeated. Default: auto."
        ),
    )
    authorization: Literal["replace", "reject", "keep"] = Field(
        default="replace",
        description=(
            "What happens to an Authorization header the caller sent: replaced by the service "
            "user's, the request rejected, or the caller's kept. Default: replace."
        ),
    )
    token_echo: Literal["redact", "block", "allow"] = Field(
        default="redact",
        description=(
            "What happens to a response that repeats the service user's token, in its headers or "
            "its body: the token blotted out with *, the response blocked (502, or cut short once "
            "it is on its way), or nothing. Compressed bodies and WebSocket messages are not "
            "seen into. Default: redact."
        ),
    )
    redirects: Literal["pass", "rewrite"] = Field(
        default="pass",
        description=(
            "Whether Location and Content-Location that lead to this upstream are rewritten to "
            "lead through this proxy again; those that lead elsewhere always pass as they are. "
            "Default: pass."
        ),
    )

    server_timing: bool = Field(
        default=False,
        description=(
            "Whether responses say in Server-Timing how long the proxy, the token and the upstream "
            "took, in milliseconds until the response's head; the upstream's own lines stay. "
            "Default: false."
        ),
    )

    @field_validator("upstream")
    @classmethod
    def _encrypted(cls, url: Url, info: ValidationInfo) -> Url:
        return guard_scheme(url, info)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Route:
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise wrong(
                "has one of client_cert_file and client_key_file without the other",
                "write both, or neither",
            )
        return self


def guard_scheme(url: Url, info: ValidationInfo) -> Url:
    """
    Refuse `http://` to another machine unless `allow_insecure` stands beside it.

    Source: RFC 6750 §5.3 (tokens only over TLS). `allow_insecure` is declared first so that its
    value is known here; if it is itself wrong, that is problem enough.
    """
    if url.scheme == "http" and not url.loopback and not info.data.get("allow_insecure", True):
        raise wrong(
            "is http:// to another machine, which would carry tokens readable",
            "write https://, or allow_insecure: true beside it",
        )
    return url

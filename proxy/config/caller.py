"""
Callers: what each is known by, and as which client an issuer is asked about their tokens.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from proxy.config.rate import RateLimits  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import Items, Name, OneOrMore, Section, Table, Text, nothing, wrong
from proxy.config.values import File, IpNetwork  # noqa: TC001 - pydantic reads annotations at run time

_SHA256: Final = r"[0-9A-Fa-f]{64}"

# RFC 1035 §2.3.1 with the underscore of service names; a wildcard is no name somebody could have.
_DNS: Final = r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"

# RFC 5321 §2.3.11, as far as a certificate of ours would need it.
_EMAIL: Final = r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}"

# RFC 3986 §3: a scheme and no blanks.
_URI: Final = r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+"

# SPIFFE-ID §2: trust domain, then segments that are neither empty nor dots.
_TRUST_DOMAIN: Final = r"[a-z0-9._-]{1,255}"
_SEGMENT: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_SPIFFE: Final = rf"spiffe://{_TRUST_DOMAIN}(?:/{_SEGMENT})*(?:/\*)?"

_LONGEST_SAN: Final = 2048
"""SPIFFE-ID §2.3: the longest id there is."""

WAYS: Final = ("api_key_sha256", "mtls_san", "jwt", "introspection", "unix", "networks")
"""The settings a caller is known by."""

_MAX_ID: Final = 2**32 - 2
"""The last number the kernel takes for a user or group (credentials(7))."""


def _sha256(value: str) -> str:
    if not re.fullmatch(_SHA256, value):
        raise wrong(
            "is no SHA-256 in 64 hex digits",
            "write what `printf %s KEY | sha256sum` prints, not the key",
        )
    return value.lower()


def _san(value: str) -> str:
    if value.startswith("spiffe:"):
        if not re.fullmatch(_SPIFFE, value) or len(value) > _LONGEST_SAN:
            raise wrong(
                "is no SPIFFE id",
                "write spiffe://DOMAIN/PATH, or spiffe://DOMAIN/PATH/* for all below",
            )
        return value
    if "*" in value:
        raise wrong("holds a wildcard", "write the whole name; only SPIFFE ids may end in /*")
    form = _EMAIL if "@" in value and "://" not in value else _URI if ":" in value else _DNS
    if not re.fullmatch(form, value) or len(value) > _LONGEST_SAN:
        raise wrong(
            "is no name a certificate holds", "write a DNS name, an e-mail address or a URI"
        )
    return value.lower() if form == _DNS else value


def _id(value: int) -> int:
    if not 0 <= value <= _MAX_ID:
        raise wrong("is no number of a user or group", "write what `id` prints")
    return value


Sha256 = Annotated[
    str, AfterValidator(_sha256), Field(json_schema_extra={"pattern": f"^{_SHA256}$"})
]
San = Annotated[str, AfterValidator(_san), Field(json_schema_extra={"minLength": 1})]
Id = Annotated[int, AfterValidator(_id), Field(json_schema_extra={"minimum": 0})]


class JwtCaller(Section):
    """
    A caller known by a token of its own, which is a JWT.
    """

    issuer: Name = Field(description="Name of the issuer whose tokens are believed.")
    audience: Text = Field(description="What the token's aud must hold.")
    claims: Table[str, Text] = Field(
        default_factory=nothing,
        description=(
            "Claims that must have this value; a list must hold it, a group have it as a name. "
            "Default: none."
        ),
    )


class IntrospectedCaller(Section):
    """
    A caller known by a token of its own, about which its issuer is asked (RFC 7662).
    """

    issuer: Name = Field(
        description="Name of the issuer that is asked; it has introspection settings."
    )
    claims: Table[str, Text] = Field(
        default_factory=nothing,
        description="Claims the answer must hold, as those of jwt. Default: none.",
    )
    scopes: Items[Text] = Field(
        default=(), description="Scopes the token must have, all of them. Default: none."
    )


class UnixCaller(Section):
    """
    A caller known by who runs it, on a Unix socket.
    """

    uid: Items[Id] | None = Field(
        default=None, min_length=1, description="Numbers of users. Default: any."
    )
    gid: Items[Id] | None = Field(
        default=None,
        min_length=1,
        description="Numbers of groups, of which one is the caller's main one. Default: any.",
    )

    @model_validator(mode="after")
    def _somebody(self) -> UnixCaller:
        if self.uid is None and self.gid is None:
            raise wrong("names nobody", "write uid: [NUMBER], gid: [NUMBER] or both")
        return self


class Caller(Section):
    """
    Somebody who calls the proxy, and how they are known: by any one of what is written, from the
    networks that are.
    """

    api_key_sha256: OneOrMore[Sha256] | None = Field(
        default=None,
        description=(
            "SHA-256, 64 hex digits, of the key the caller sends as Proxy-Authorization: Bearer or "
            "X-Api-Key, or has as the password in its proxy's URL; or a list of them, for a change of "
            "keys."
        ),
    )
    mtls_san: OneOrMore[San] | None = Field(
        default=None,
        description=(
            "Name in the caller's client certificate: a DNS name, e-mail address or URI, exactly; a "
            "SPIFFE id may end in /* for all below it. Or a list of them."
        ),
    )
    jwt: JwtCaller | None = Field(
        default=None, description="A token of the caller's own, a JWT that is verified here."
    )
    introspection: IntrospectedCaller | None = Field(
        default=None, description="A token of the caller's own, about which its issuer is asked."
    )
    unix: UnixCaller | None = Field(
        default=None,
        description="Who runs the caller, on a Unix socket; with both, uid and gid must hold.",
    )
    networks: Items[IpNetwork] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Networks the caller connects from, such as 10.0.0.0/8. Beside anything else they must "
            "hold too; alone they suffice."
        ),
    )
    limits: RateLimits | None = Field(
        default=None, description="How many requests this caller may send. Default: any number."
    )

    @model_validator(mode="after")
    def _known_somehow(self) -> Caller:
        if all(getattr(self, name) is None for name in WAYS):
            raise wrong("says nothing this caller is known by", f"write one of {', '.join(WAYS)}")
        return self

    @property
    def by_network_alone(self) -> bool:
        """
        Whether the networks are all this caller is known by.
        """
        return all(getattr(self, name) is None for name in WAYS if name != "networks")


class Introspection(Section):
    """
    As which client an issuer is asked about callers' tokens.
    """

    client_id: Text | None = Field(
        default=None, description="Client id at the issuer; with key_file it stands in there."
    )
    client_secret: SecretSetting | None = Field(
        default=None, description="Client secret: {file: PATH}, {env: NAME} or {credential: NAME}."
    )
    client_auth: Literal["basic", "post"] = Field(
        default="basic",
        description="Send id and secret as HTTP Basic, or in the body (post). Default: basic.",
    )
    key_file: File | None = Field(
        default=None,
        description=(
            "ZITADEL's key JSON of an API application as downloaded, in the place of client_id and "
            "client_secret."
        ),
    )

    @model_validator(mode="after")
    def _one_proof(self) -> Introspection:
        if self.key_file is not None:
            if self.client_secret is not None or self.client_id is not None:
                raise wrong(
                    "has key_file beside client_id or client_secret", "keep one of the ways"
                )
        elif self.client_id is None or self.client_secret is None:
            raise wrong(
                "cannot say who asks", "write key_file: PATH, or client_id with client_secret"
            )
        return self

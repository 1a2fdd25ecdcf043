"""
Service users: one model per method, told apart by `method`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import Items, Name, Section, Text, wrong
from proxy.config.values import Date, File  # noqa: TC001 - pydantic reads annotations at run time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.nodes import Flaw

# ZITADEL's reserved scopes, as its documentation of scopes lists them.
AUDIENCE_PREFIX = "urn:zitadel:iam:org:project:id:"
API_AUDIENCE = "urn:zitadel:iam:org:project:id:zitadel:aud"

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
_SCOPE = r"[!#-\[\]-~]{1,500}"
_PROJECT = r"[A-Za-z0-9_-]{1,64}"


def _scope(value: str) -> str:
    if " " in value:
        raise wrong("holds a space", "write each scope as its own item")
    if not re.fullmatch(_SCOPE, value):
        raise wrong("is no scope", 'write visible ASCII without " and \\')
    return value


def _project(value: str) -> str:
    if not re.fullmatch(_PROJECT, value):
        raise wrong("is no project id", "write the id alone, as the console shows it")
    return value


Scope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"pattern": f"^{_SCOPE}$"})]
Project = Annotated[
    str, AfterValidator(_project), Field(json_schema_extra={"pattern": f"^{_PROJECT}$"})
]


_NO_SCOPE: Flaw = ("asks for no scope, which issuers refuse", "write scopes: [openid]")


def _key_flaw(names: set[str]) -> Flaw | None:
    """
    Say what is wrong with the ways to a key, from the *names* of the settings that are there.
    """
    parts = ("key_pem_file", "key_id", "user_id")
    given = [name for name in parts if name in names]
    lacking = [name for name in parts if name not in names]
    if "key_file" in names and given:
        return (
            f"has key_file together with {' and '.join(given)}",
            "keep key_file, which holds its own ids, or drop it",
        )
    if "key_file" not in names and not given:
        return "has no key", "write key_file, or key_pem_file with key_id and user_id"
    if "key_file" not in names and lacking:
        return f"lacks {' and '.join(lacking)}", "key_pem_file, key_id and user_id go together"
    return None


def conflicts(entry: Mapping[str, object]) -> Iterator[Flaw]:
    """
    Yield what does not go together in a service user, whatever is wrong with single values.

    Args:
        entry: The service user as it was written, its settings' names spelt right.
    """
    if entry.get("method") == "private_key_jwt":
        flaw = _key_flaw(set(entry))
        if flaw:
            yield flaw
    minted = entry.get("method") in {"private_key_jwt", "client_credentials"}
    if minted and entry.get("scopes") == [] and not entry.get("audience_projects"):
        yield _NO_SCOPE


class Minted(Section):
    """
    What every service user has whose tokens are minted.
    """

    issuer: Name = Field(description="Name of the issuer that knows this service user.")
    scopes: Items[Scope] = Field(
        default=("openid",),
        description=(
            f"Scopes to ask for; ZITADEL's own APIs need {API_AUDIENCE}. Default: [openid]."
        ),
    )
    audience_projects: Items[Project] = Field(
        default=(),
        description=(
            f"Ids of projects the token is for; each adds the scope {AUDIENCE_PREFIX}ID:aud. "
            "Default: none."
        ),
    )

    @property
    def requested_scopes(self) -> tuple[str, ...]:
        """
        The scopes to send: `scopes`, then one per project; each once, in this order.
        """
        projects = (f"{AUDIENCE_PREFIX}{project}:aud" for project in self.audience_projects)
        return tuple(dict.fromkeys((*self.scopes, *projects)))

    @model_validator(mode="after")
    def _asks_for_something(self) -> Minted:
        if not self.requested_scopes:
            raise wrong(*_NO_SCOPE)
        return self


class PrivateKeyJwt(Minted):
    """
    Signs an assertion with its own key (RFC 7523).
    """

    method: Literal["private_key_jwt"] = Field(description="How tokens are had: by a signed JWT.")
    key_file: File | None = Field(
        default=None,
        description="ZITADEL's key JSON as downloaded. Either this, or key_pem_file.",
    )
    key_pem_file: File | None = Field(
        default=None,
        description="RSA private key in PEM (PKCS#1 or PKCS#8), with key_id and user_id.",
    )
    key_id: Text | None = Field(
        default=None, description="Id of the key at the issuer; only with key_pem_file."
    )
    user_id: Text | None = Field(
        default=None, description="Id of the service user at the issuer; only with key_pem_file."
    )

    @model_validator(mode="after")
    def _one_key(self) -> PrivateKeyJwt:
        flaw = _key_flaw({name for name, value in self if value is not None})
        if flaw:
            raise wrong(*flaw)
        return self


class ClientCredentials(Minted):
    """
    Shows a client id and secret (RFC 6749 §4.4).
    """

    method: Literal["client_credentials"] = Field(
        description="How tokens are had: by a client id and secret."
    )
    client_id: Text = Field(
        description="Client id; at ZITADEL the service user's user name (login name)."
    )
    client_secret: SecretSetting = Field(
        description="Client secret: {file: PATH}, {env: NAME} or {credential: NAME}."
    )
    client_auth: Literal["basic", "post"] = Field(
        default="basic",
        description="Send id and secret as HTTP Basic, or in the body (post). Default: basic.",
    )


class PersonalAccessToken(Section):
    """
    Holds a token that was made in the console; nothing is minted.
    """

    method: Literal["personal_access_token"] = Field(
        description="How tokens are had: one fixed token."
    )
    issuer: Name = Field(description="Name of the issuer that made the token.")
    token: SecretSetting = Field(
        description="The token: {file: PATH}, {env: NAME} or {credential: NAME}."
    )
    expires: Date | None = Field(
        default=None,
        description=(
            "When the token ends, as 2027-01-31 or 2027-01-31T12:00:00Z (UTC): the token itself "
            "does not say. Default: unknown, so nobody is warned."
        ),
    )


ServiceUser = Annotated[
    PrivateKeyJwt | ClientCredentials | PersonalAccessToken, Field(discriminator="method")
]

METHODS: dict[str, type[Section]] = {
    "private_key_jwt": PrivateKeyJwt,
    "client_credentials": ClientCredentials,
    "personal_access_token": PersonalAccessToken,
}

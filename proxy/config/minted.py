"""
What service users of several methods have in common: who knows them, and what they ask for.

What several settings of one user have to do with each other is said by `flaws`, which `user_rules`
asks of the settings as they were written, so that one wrong value hides nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field

from proxy.config.section import Items, Name, Section, Text, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# ZITADEL's reserved scopes, as its documentation of scopes lists them.
AUDIENCE_PREFIX = "urn:zitadel:iam:org:project:id:"
API_AUDIENCE = "urn:zitadel:iam:org:project:id:zitadel:aud"

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
_SCOPE = r"[!#-\[\]-~]{1,500}"
_PROJECT = r"[A-Za-z0-9_-]{1,64}"

# RFC 8707 §2: an absolute URI without a fragment; its characters are those of RFC 3986 §2.
_RESOURCE = r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]{1,2000}"


class Flaw(NamedTuple):
    """
    What does not go together in a service user.

    Attributes:
        setting: The setting that is wrong; empty if it is the whole.
        what: What is wrong.
        instead: What to write instead.
    """

    setting: str
    what: str
    instead: str


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


def _resource(value: str) -> str:
    if "#" in value:
        raise wrong("holds a fragment", "remove everything from the # on")
    if not re.fullmatch(_RESOURCE, value):
        raise wrong("is no absolute URI", "write it with its scheme: https://host/path")
    return value


Scope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"pattern": f"^{_SCOPE}$"})]
Project = Annotated[
    str, AfterValidator(_project), Field(json_schema_extra={"pattern": f"^{_PROJECT}$"})
]
Resource = Annotated[
    str, AfterValidator(_resource), Field(json_schema_extra={"pattern": f"^{_RESOURCE}$"})
]


class AnyUser(Section):
    """
    What every service user has, whatever its method.
    """

    several: ClassVar[tuple[str, ...]] = ()
    """The settings that may list several credentials."""

    issuer: Name = Field(description="Name of the issuer that knows this service user.")
    on_rotation: Literal["keep", "drop"] = Field(
        default="keep",
        description=(
            "What becomes of a token whose credential is no longer among those here: keep it "
            "until it ends, or drop it. Default: keep."
        ),
    )

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield what does not go together, whatever is wrong with single values.

        Args:
            entry: The service user as it was written, its settings' names spelt right.
        """
        del entry
        yield from ()


class Minted(AnyUser):
    """
    What every service user has whose tokens its issuer mints.
    """

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
    audience: Items[Text] = Field(
        default=(),
        description=(
            "Values of the audience parameter, for issuers that read it; at ZITADEL only a token "
            "exchange does. Default: none."
        ),
    )
    resource: Items[Resource] = Field(
        default=(),
        description=(
            "Absolute URIs of what the token is for (RFC 8707), for issuers that read the "
            "resource parameter; ZITADEL does not. Default: none."
        ),
    )

    @property
    def requested_scopes(self) -> tuple[str, ...]:
        """
        The scopes to send: `scopes`, then one per project; each once, in this order.
        """
        projects = (f"{AUDIENCE_PREFIX}{project}:aud" for project in self.audience_projects)
        return tuple(dict.fromkeys((*self.scopes, *projects)))

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield that it asks for nothing.
        """
        if entry.get("scopes") == [] and not entry.get("audience_projects"):
            yield Flaw("", "asks for no scope, which issuers refuse", "write scopes: [openid]")

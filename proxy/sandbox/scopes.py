"""
Which scopes a service user keeps, and what audience they add up to.

Source: ZITADEL internal/api/oidc/client_converter.go (`isScopeAllowed`), internal/domain
(`AddAudScopeToAudience`). A scope that is unknown or not allowed is dropped without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECT_PREFIX = "urn:zitadel:iam:org:project:id:"
AUD_SUFFIX = ":aud"
ZITADEL_AUD = "urn:zitadel:iam:org:project:id:zitadel:aud"
ORG_ID_PREFIX = "urn:zitadel:iam:org:id:"
ORG_DOMAIN_PREFIX = "urn:zitadel:iam:org:domain:primary:"

KEPT = frozenset(
    {
        "openid",
        "profile",
        "email",
        "phone",
        "address",
        "offline_access",
        "urn:zitadel:iam:org:projects:roles",
        "urn:zitadel:iam:user:metadata",
        "urn:zitadel:iam:user:resourceowner",
    }
)
KEPT_PREFIXES = (
    PROJECT_PREFIX,
    "urn:zitadel:iam:org:project:role:",
    "urn:zitadel:iam:org:roles:id:",
)


def project_audience(project_id: str) -> str:
    """
    Return the scope that adds a project to a token's audience.
    """
    return f"{PROJECT_PREFIX}{project_id}{AUD_SUFFIX}"


def kept_scopes(asked: Iterable[str], *, org_id: str, org_domain: str) -> tuple[str, ...]:
    """
    Return the scopes that survive, in the order they were asked for.

    Args:
        asked: The scopes of the request.
        org_id: The service user's own organisation; a scope naming another one is dropped.
        org_domain: That organisation's primary domain; likewise.
    """
    own = {ORG_ID_PREFIX + org_id, ORG_DOMAIN_PREFIX + org_domain}
    return tuple(
        scope
        for scope in dict.fromkeys(asked)
        if scope in KEPT or scope in own or scope.startswith(KEPT_PREFIXES)
    )


def audience_of(asked: Iterable[str], *, zitadel_project: str) -> tuple[str, ...]:
    """
    Return the project ids the scopes ask for; without `:aud` a project scope adds nothing.

    Args:
        asked: The scopes of the request.
        zitadel_project: Id of the project that stands for ZITADEL's own APIs.
    """
    ids = (
        scope[len(PROJECT_PREFIX) : -len(AUD_SUFFIX)]
        for scope in asked
        if scope.startswith(PROJECT_PREFIX) and scope.endswith(AUD_SUFFIX)
    )
    return tuple(dict.fromkeys(zitadel_project if each == "zitadel" else each for each in ids))

"""
What can be read in an access token, unverified: only to be told to the operator it belongs to.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from proxy.config.minted import API_AUDIENCE, AUDIENCE_PREFIX
from proxy.core.answer import quoted, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.token import Token

_AUD = ":aud"

# What issuers leave out of a token's scope although they heed it.
_UNSAID = frozenset({"openid", "offline_access"})


def claims_of(token: Token) -> dict[str, Any] | None:
    """
    Return a JWT's claims; None for an opaque token.
    """
    parts = token.value.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        return read_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None


def audience(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return whom a JWT is for (RFC 7519 §4.1.3), fit to be shown.
    """
    aud = claims.get("aud")
    return tuple(
        shown for each in (aud if isinstance(aud, list) else [aud]) if (shown := quoted(each))
    )


def dropped(scopes: tuple[str, ...], claims: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return which of the scopes asked for a JWT shows no trace of, though it would.

    A scope that adds a project to the audience shows there; others do only where the token has a
    `scope` claim (RFC 9068 §2.2.3), which ZITADEL's have not.
    """
    aud = audience(claims)
    lost = [scope for scope in scopes if _project(scope) and _project(scope) not in aud]
    said = claims.get("scope", claims.get("scp"))
    if isinstance(said, (str, list)):
        kept = said.split() if isinstance(said, str) else said
        lost += [scope for scope in scopes if scope not in kept and scope not in _UNSAID]
    return tuple(dict.fromkeys(lost))


def _project(scope: str) -> str:
    """
    Return the project id a scope adds to the audience; empty if it adds none, or one not named.
    """
    if scope == API_AUDIENCE or not (scope.startswith(AUDIENCE_PREFIX) and scope.endswith(_AUD)):
        return ""
    return scope[len(AUDIENCE_PREFIX) : -len(_AUD)]

"""
What an issuer says of itself, if it may be believed.

Source: OpenID Connect Discovery 1.0 §4; RFC 8414 §3 for issuers that only speak OAuth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.core.answer import quoted, read_object
from proxy.errors import MintRejected, MintUnavailable, TokenError
from proxy.tokens.line import same_origin

if TYPE_CHECKING:
    from proxy.core.credential import Issuer
    from proxy.tokens.line import Answer

# RFC 3986 §2: what a url is made of, and nothing that could end a request line. Without a fragment
# (RFC 6749 §3.2).
_PLAIN = re.compile(r"[!$-;=?-Z_a-z~\[\]]+")


@dataclass(frozen=True, slots=True)
class Metadata:
    """
    The part of a discovery document that matters here.

    Attributes:
        token_endpoint: Absolute URL at the issuer's own origin.
        userinfo_endpoint: Likewise; None if there is none, or elsewhere.
        grants: `grant_types_supported`; empty if it does not say.
        jwks_uri: Where its public keys are; as `userinfo_endpoint`.
        introspection_endpoint: Likewise.
    """

    token_endpoint: str
    userinfo_endpoint: str | None = None
    grants: tuple[str, ...] = ()
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None


def addresses(issuer: Issuer) -> tuple[str, str]:
    """
    Return where the document is: as OpenID Connect has it, and as RFC 8414 §3.1 has it.
    """
    url = issuer.url.rstrip("/")
    parts = urlsplit(url)
    oauth = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    return f"{url}/.well-known/openid-configuration", oauth


def read_metadata(answer: Answer, issuer: Issuer) -> Metadata:
    """
    Read a discovery answer.

    OpenID Connect Discovery §4.3: `issuer` must be what was asked for, exactly. That endpoints
    are at the issuer's own origin is our rule: a document must not send credentials elsewhere.

    Raises:
        TokenError: It is no such document, or not to be believed.
    """
    if answer.status != 200:
        raise _no_document(answer, issuer)
    try:
        document = read_object(answer.body)
    except ValueError as exc:
        raise MintUnavailable(f"the discovery document of {issuer.url} {exc}", shared=True) from exc
    if document.get("issuer") != issuer.url:
        named = quoted(document.get("issuer")) or "nothing"
        raise MintRejected(
            f"the issuer at {issuer.url} calls itself {named}; url must be the same, byte for byte"
        )
    endpoint = document.get("token_endpoint")
    if not isinstance(endpoint, str) or not _at_home(endpoint, issuer):
        raise MintRejected(
            f"the discovery document of {issuer.url} names no token endpoint at its own address"
            f" ({quoted(endpoint) or 'none'}); if that is meant, write it as token_endpoint"
        )
    grants = document.get("grant_types_supported")
    listed = grants if isinstance(grants, list) else []
    return Metadata(
        endpoint,
        _optional(document.get("userinfo_endpoint"), issuer),
        tuple(grant for grant in listed if isinstance(grant, str)),
        _optional(document.get("jwks_uri"), issuer),
        _optional(document.get("introspection_endpoint"), issuer),
    )


def _optional(endpoint: object, issuer: Issuer) -> str | None:
    return endpoint if isinstance(endpoint, str) and _at_home(endpoint, issuer) else None


def _at_home(endpoint: str, issuer: Issuer) -> bool:
    if _PLAIN.fullmatch(endpoint) is None:
        return False
    try:
        return urlsplit(endpoint).username is None and same_origin(endpoint, issuer.url)
    except ValueError:
        return False


def _no_document(answer: Answer, issuer: Issuer) -> TokenError:
    said = f"(answered {answer.status})"
    if answer.status == 429 or answer.status >= 500:
        reason = f"the issuer {issuer.url} does not give its discovery document {said}"
        return MintUnavailable(reason, retry_after=answer.retry_after, shared=True)
    if b"unable to set instance" in answer.body[:1024]:
        return MintRejected(
            f"the issuer does not know the host it was asked as; url ({issuer.url}) must be the"
            f" instance's own domain, and connect_to where to dial it {said}"
        )
    return MintRejected(
        f"there is no discovery document at {issuer.url}; check url, or write token_endpoint {said}"
    )

"""
What an issuer says of a token it was asked about (RFC 7662 §2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.answer import quoted, read_object
from proxy.errors import CredentialInvalid, MintUnavailable, TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.core.secret import Secret
    from proxy.tokens.line import Answer

# ZITADEL says 400 for a client it does not take, RFC 7662 §2.3 says 401.
_CLIENT_REFUSED = frozenset({400, 401, 403})


def read_introspection(answer: Answer, hide: Iterable[Secret]) -> dict[str, Any] | None:
    """
    Return what is said of a live token; None for a dead one.

    Whatever is wrong with the token is `active: false`; any other answer than true or false is
    trouble of the issuer's, or with the client that asks.

    Args:
        answer: The answer.
        hide: Secrets that were sent with the question.

    Raises:
        TokenError: It says neither.
    """
    document, complaint = _parsed(answer.body)
    if answer.status != 200:
        raise _refusal(answer, document, tuple(hide))
    active = document.get("active")
    if not complaint and not isinstance(active, bool):
        complaint = "does not say whether the token is active"
    if complaint:
        raise MintUnavailable(f"the introspection answer {complaint}")
    return document if active is True else None


def _parsed(body: bytes) -> tuple[dict[str, Any], str]:
    """
    Return the object in a body and no complaint, or none and what is wrong.
    """
    try:
        return read_object(body), ""
    except ValueError as exc:
        return {}, str(exc)


def _refusal(answer: Answer, document: Mapping[str, Any], hide: tuple[Secret, ...]) -> TokenError:
    """
    Return what an answer that is not 200 means.
    """
    parts = (quoted(document.get(name), hide=hide) for name in ("error", "error_description"))
    said = ": ".join(filter(None, parts))
    words = f"introspection answered {answer.status}{f' ({said})' if said else ''}"
    if answer.status in _CLIENT_REFUSED:
        return CredentialInvalid(
            f"{words}; check the client that asks: its id, its secret or key, and the clock",
            retry_after=answer.retry_after,
        )
    return MintUnavailable(words, retry_after=answer.retry_after)

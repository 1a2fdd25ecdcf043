"""
A token endpoint's no → the `TokenError` it means, in words that say what to do.

Read by the `error` field first and by the status second: ZITADEL answers `invalid_client` with 400,
others with 401, and its versions differ in both. Only a 429 is decided by its status alone.

`MintRejected` is final until somebody acts; `MintUnavailable` may pass by itself.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from proxy.core.answer import quoted, read_object
from proxy.errors import MintRejected, MintUnavailable, TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.credential import Method
    from proxy.core.secret import Secret

# Ours: an issuer may ask for patience, not for silence.
MAX_RETRY_AFTER = 300.0

# ZITADEL's error_description (an untranslated key) → what it means and what to do.
_DESCRIBED = {
    "Secret.Invalid": "the client secret is wrong; generate a new one for the service user and"
    " store it (a new secret ends the old one at once)",
    "Secret.NotExisting": "the client_id names a user without a client secret; generate one for"
    " the service user",
    "User.NotActive": "the service user is locked or deactivated; an administrator must"
    " reactivate it",
    "scope of your request is missing": "no scope was asked for; write scopes: [openid]",
    "more than one method": "the request carried two client authentications; set client_auth to"
    " basic or post",
}

# RFC 6749 §5.2 and what ZITADEL uses beside it → what it means and what to do, per method.
_CODED: dict[str, str] = {
    "invalid_grant": "the issuer does not accept the grant; check that the key belongs to this"
    " user, is not expired, and that the issuer's url is what it calls itself",
    "unauthorized_client": "this client may not use this grant; allow it at the issuer",
    "unsupported_grant_type": "the issuer does not know this grant; check the method and the"
    " token endpoint",
    "invalid_scope": "the issuer does not grant a scope that was asked for; check scopes",
    "invalid_target": "the issuer does not know the audience or resource that was asked for",
    "invalid_request": "the issuer found the request malformed",
    "access_denied": "the issuer denied access to this service user",
}

_INVALID_CLIENT: dict[Method, str] = {
    "private_key_jwt": "the issuer does not accept the signed assertion; check that the key id"
    " exists and has not expired, that the user id is the key's, that this host's clock is right,"
    " and that the issuer's url is byte for byte what it calls itself (a key made a moment ago may"
    " take seconds to be known)",
    "client_credentials": "the issuer does not know the client or its secret; client_id is the"
    " service user's login name",
    "personal_access_token": "the issuer does not know the client",
    "system_jwt": "the issuer does not know the client",
    "token_exchange": "the issuer does not know the client or its secret; at ZITADEL it is an"
    " application with the grant type token exchange, not a service user",
}

_INTERNAL_ERROR = (
    "the issuer failed on the signed assertion with an internal error; if it is otherwise well,"
    " likely causes are this host's clock being ahead, an issuer url that is not byte for byte what"
    " it calls itself (aud), an unknown key id, or an expired key"
)

_PASSING = frozenset({"server_error", "temporarily_unavailable", "slow_down"})


def refusal(
    status: int,
    body: bytes,
    *,
    method: Method,
    retry_after: float | None = None,
    hide: Iterable[Secret] = (),
) -> TokenError:
    """
    Return the error that an answer other than 200 means.

    Args:
        status: The answer's status.
        body: Its body; hostile, of any form.
        method: The service user's method; it decides the likely causes.
        retry_after: Seconds from the answer's Retry-After, see `retry_after_seconds`.
        hide: Secrets of the request, not to be repeated in the reason.
    """
    answer = _answer(body)
    code = quoted(answer.get("error"), hide=hide, limit=64)
    described = quoted(answer.get("error_description"), hide=hide)
    said = (
        f" (answered {status}{f' {code}' if code else ''}{f': {described}' if described else ''})"
    )
    if status == 429:
        words = "the issuer throttles: a rate limit, an exhausted quota or a blocked instance"
        return MintUnavailable(words + said, retry_after=retry_after, shared=True)
    words = _final(status, code, described, method)
    if words:
        return MintRejected(words + said)
    if code in _PASSING or status >= 500 or status in {408, 425}:
        doubtful = _doubtful(status, code, method)
        words = _INTERNAL_ERROR if doubtful else "the issuer is in trouble"
        return MintUnavailable(
            words + said,
            retry_after=retry_after,
            shared=status >= 500 and code not in _PASSING,
            doubtful=doubtful,
        )
    return _by_status(status, body, said)


def retry_after_seconds(value: str | None, wall: float) -> float | None:
    """
    Return the seconds a Retry-After header asks for, from 0 to `MAX_RETRY_AFTER`.

    Source: RFC 9110 §10.2.3, seconds or an HTTP date. None if absent or unreadable.

    Args:
        value: The header's value; hostile.
        wall: Seconds since the epoch, UTC.
    """
    if value is None or len(value) > 64:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    moment = http_date(text)
    return None if moment is None else min(max(moment - wall, 0.0), MAX_RETRY_AFTER)


def http_date(text: str) -> float | None:
    """
    Return the seconds since the epoch that an HTTP date names; None if it names none.

    Source: RFC 9110 §5.6.7; the oldest of its three forms has no zone and means UTC as well.
    """
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _answer(body: bytes) -> dict[str, Any]:
    try:
        return read_object(body)
    except ValueError:  # text/plain, HTML, nothing: the status has to do
        return {}


def _final(status: int, code: str, described: str, method: Method) -> str:
    """
    Return what a permanent refusal means, or an empty text if *code* names none.
    """
    if code == "invalid_client":
        return _INVALID_CLIENT[method]
    if code == "server_error" and 400 <= status < 500:
        # ZITADEL up to 2.42 answered so to every bad assertion.
        return _INVALID_CLIENT[method]
    if code not in _CODED:
        return ""
    return next((w for key, w in _DESCRIBED.items() if key in described), _CODED[code])


def _doubtful(status: int, code: str, method: Method) -> bool:
    """
    Say whether an internal error may be ZITADEL's answer to a bad assertion: versions of about
    2.43 to 4.13 give that one.
    """
    return status == 500 and code == "server_error" and method == "private_key_jwt"


def _by_status(status: int, body: bytes, said: str) -> TokenError:
    """
    Return what an answer without an OAuth error means by its status.
    """
    if 300 <= status < 400:
        words = "the token endpoint redirects, which is not followed; write its final address"
        return MintRejected(words + said)
    if status == 404 and b"unable to set instance" in body[:1024]:
        words = (
            "the issuer does not know the host it was asked as; url must be the instance's own"
            " domain, and connect_to where to dial it"
        )
        return MintRejected(words + said)
    if status in {404, 405, 410}:
        words = "there is no token endpoint at this address; check the issuer's url"
        return MintRejected(words + said)
    if 400 <= status < 500:
        words = "the answer is a refusal but not an issuer's; is something else in front of it?"
        return MintRejected(words + said)
    return MintUnavailable("the token endpoint's answer makes no sense" + said)

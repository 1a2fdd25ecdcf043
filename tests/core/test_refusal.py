from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.credential import Method
from proxy.core.refusal import MAX_RETRY_AFTER, refusal, retry_after_seconds
from proxy.core.secret import Secret
from proxy.errors import MintRejected, MintUnavailable, TokenError

JWT: Method = "private_key_jwt"
CLIENT: Method = "client_credentials"


def oauth(error: str, description: str = "") -> bytes:
    """
    Return an error body of RFC 6749 §5.2.
    """
    return json.dumps({"error": error, "error_description": description}).encode()


INTERNAL = oauth("server_error", "Errors.Internal")
NO_INSTANCE = b'unable to set instance using origin {"host":"x"}: Instance not found'

# Method, status, body → class, words that tell what to do. ZITADEL's answers first.
ANSWERS = {
    "bad assertion, 2.43 to 4.13": (JWT, 500, INTERNAL, MintUnavailable, r"clock.*aud.*key id"),
    "bad assertion, from 4.14": (JWT, 400, oauth("invalid_client"), MintRejected, "clock is right"),
    "bad assertion, to 2.42": (
        JWT,
        400,
        oauth("server_error", "signature invalid"),
        MintRejected,
        "signed assertion",
    ),
    "no assertion": (JWT, 400, oauth("invalid_request", "assertion missing"), MintRejected, "mal"),
    "unknown client": (
        CLIENT,
        400,
        oauth("invalid_client", "client not found"),
        MintRejected,
        "client_id is the service user's login name.*client not found",
    ),
    "wrong secret": (
        CLIENT,
        400,
        oauth("invalid_request", "Errors.User.Machine.Secret.Invalid"),
        MintRejected,
        "client secret is wrong; generate a new one",
    ),
    "no secret": (
        CLIENT,
        400,
        oauth("invalid_request", "Errors.User.Machine.Secret.NotExisting"),
        MintRejected,
        "without a client secret; generate one",
    ),
    "user not active": (
        JWT,
        400,
        oauth("invalid_request", "Errors.User.NotActive"),
        MintRejected,
        "administrator must reactivate",
    ),
    "no scope": (
        CLIENT,
        400,
        oauth("invalid_request", "The scope of your request is missing. Please"),
        MintRejected,
        r"write scopes: \[openid\]",
    ),
    "two authentications": (
        CLIENT,
        400,
        oauth("invalid_request", "client authentication must not use more than one method"),
        MintRejected,
        "set client_auth to basic or post",
    ),
    "grant": (JWT, 400, oauth("unsupported_grant_type", "x not supported"), MintRejected, "method"),
    "blocked": (CLIENT, 429, b"Your ZITADEL instance is blocked.", MintUnavailable, "throttles"),
    "rate limit with an error": (
        CLIENT,
        429,
        oauth("invalid_request", "slow"),
        MintUnavailable,
        "throttles",
    ),
    "wrong host": (CLIENT, 404, NO_INSTANCE, MintRejected, "connect_to where to dial"),
    "database trouble": (CLIENT, 500, INTERNAL, MintUnavailable, "in trouble.*500 server_error"),
    "database trouble, 503": (JWT, 503, INTERNAL, MintUnavailable, "in trouble"),
    # Other issuers.
    "plain provider": (CLIENT, 401, oauth("invalid_client"), MintRejected, "does not know"),
    "bad assertion elsewhere": (
        JWT,
        400,
        oauth("invalid_grant", "assertion expired"),
        MintRejected,
        "key belongs to this user.*assertion expired",
    ),
    "unauthorized client": (CLIENT, 403, oauth("unauthorized_client"), MintRejected, "allow it"),
    "invalid scope": (CLIENT, 400, oauth("invalid_scope"), MintRejected, "check scopes"),
    "invalid target": (CLIENT, 400, oauth("invalid_target"), MintRejected, "audience"),
    "access denied": (CLIENT, 403, oauth("access_denied"), MintRejected, "denied"),
    "a refusal in a 500": (CLIENT, 500, oauth("invalid_client"), MintRejected, "does not know"),
    "temporarily": (CLIENT, 400, oauth("temporarily_unavailable"), MintUnavailable, "trouble"),
    "slow down": (CLIENT, 400, oauth("slow_down"), MintUnavailable, "in trouble"),
    "bad gateway": (CLIENT, 502, b"<html>bad gateway</html>", MintUnavailable, "answered 502"),
    "request timeout": (CLIENT, 408, b"", MintUnavailable, "answered 408"),
    "moved": (CLIENT, 301, b"", MintRejected, "redirects, which is not followed"),
    "moved for good": (JWT, 308, INTERNAL[:0], MintRejected, "write its final address"),
    "not found": (CLIENT, 404, b"404 page not found", MintRejected, "no token endpoint"),
    "wrong method": (CLIENT, 405, b"", MintRejected, "no token endpoint"),
    "something in front": (CLIENT, 403, b"<html>denied</html>", MintRejected, "in front of it"),
    "unknown error": (CLIENT, 400, oauth("teapot"), MintRejected, "answered 400 teapot"),
    "no content": (CLIENT, 204, b"", MintUnavailable, "makes no sense"),
    "odd error": (CLIENT, 400, b'{"error": {"code": 7}}', MintRejected, "answered 400"),
}


@pytest.mark.parametrize(
    ("method", "status", "body", "kind", "words"), ANSWERS.values(), ids=ANSWERS.keys()
)
def test_each_answer_means_one_error_and_says_what_to_do(method, status, body, kind, words):
    """
    The `error` field decides, then the status; the reason names the likely cause.
    """
    error = refusal(status, body, method=method)

    assert type(error) is kind
    assert re.search(words, error.reason), error.reason


def test_retry_after_is_kept_where_trying_again_may_help():
    """
    Throttling and trouble carry the issuer's wish; a final refusal does not.
    """
    assert refusal(429, b"", method=CLIENT, retry_after=7.0).retry_after == 7.0
    assert refusal(503, b"", method=CLIENT, retry_after=7.0).retry_after == 7.0
    assert refusal(400, b"", method=CLIENT, retry_after=7.0).retry_after is None


def test_an_echoed_secret_is_not_repeated():
    """
    What was sent does not come back in a reason, nor does anything that can break a log line.
    """
    body = oauth("invalid_grant", "canary\r\nlevel=error " + "eyJ" * 40)

    error = refusal(400, body, method=CLIENT, hide=(Secret("canary"),))

    assert error.reason.endswith("(answered 400 invalid_grant: *** level=error ***)")


@given(st.integers(100, 599), st.binary(max_size=200), st.sampled_from([JWT, CLIENT]))
def test_every_answer_is_some_token_error(status, body, method):
    """
    No answer is beyond words, and no reason breaks a log line.
    """
    error = refusal(status, body, method=method)

    assert isinstance(error, TokenError)
    assert error.reason.isprintable()


WALL = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


RETRY_AFTER = {
    "absent": (None, None),
    "seconds": ("7", 7.0),
    "white space": (" 7 ", 7.0),
    "zero": ("0", 0.0),
    "long": ("86400", MAX_RETRY_AFTER),
    "very long": ("9" * 60, MAX_RETRY_AFTER),
    "too long to read": ("9" * 65, None),
    "date": ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
    "past date": ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
    "far date": ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
    "negative": ("-5", None),
    "fraction": ("1.5", None),
    "other digits": ("٣", None),
    "words": ("soon", None),
    "empty": ("", None),
    "odd date": ("Tue, 99 Nov 2023 22:13:50 GMT", None),
}


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
def test_retry_after_is_seconds_or_a_date_and_capped(value, seconds):
    """
    RFC 9110 §10.2.3 has two forms; anything else counts as absent, nothing asks for hours.
    """
    assert retry_after_seconds(value, WALL) == seconds


@given(st.text(max_size=64))
def test_no_retry_after_raises(value):
    """
    Any text gives seconds within bounds or None.
    """
    seconds = retry_after_seconds(value, WALL)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER

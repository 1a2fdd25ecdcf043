"""
What a fault of the token endpoint answers instead of a token: refusals, failures, no answer at all.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.cuts import close, drip, truncated, truncated_gzip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.sandbox.faults import Faults
    from proxy.sandbox.mints import Mint

# Source: ZITADEL's quota answer: plain text and a cookie, no Retry-After.
BLOCKED_TEXT = "Your ZITADEL instance is blocked."
BLOCKED_COOKIE = "zitadel.quota.exhausted"

HUGE = 2 << 20

# Status, error, description. Source: ZITADEL answers every refusal with 400, invalid_client too.
OAUTH_ERRORS: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        "token-500": (500, "server_error", "Errors.Internal"),
        "token-error-in-200": (200, "invalid_grant", "the grant is invalid or was revoked"),
        "token-invalid-client": (400, "invalid_client", "client not found"),
        "token-invalid-grant": (400, "invalid_grant", "the grant is invalid or was revoked"),
        "token-unauthorized-client": (400, "unauthorized_client", "the client is not authorized"),
        "token-invalid-scope": (400, "invalid_scope", "the scope is not allowed"),
        "token-not-active": (400, "invalid_request", "Errors.User.NotActive"),
    }
)


async def broken_answer(
    faults: Faults, request: web.Request, mint: Mint
) -> web.StreamResponse | None:
    """
    Return what a fault of the token endpoint answers instead of a token; None if none is on.
    """
    name = next((name for name in _NAMES if faults.take(name)), "")
    if not name:
        return None
    mint.error, mint.reason = name, "fault"
    if name == "token-close":
        return close(request)
    mint.status = OAUTH_ERRORS[name][0] if name in OAUTH_ERRORS else 200
    if name == "token-truncated":
        return await truncated(request)
    if name == "token-drip":
        return await drip(request, faults, name)
    response = _oauth_error(name) if name in OAUTH_ERRORS else _ANSWERS[name](faults)
    mint.status = response.status
    return response


def _oauth_error(name: str) -> web.Response:
    status, error, description = OAUTH_ERRORS[name]
    body = {"error": error, "error_description": description}
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})


def _blocked(faults: Faults) -> web.Response:
    response = _text(429, BLOCKED_TEXT, faults.text("token-429"))
    response.set_cookie(BLOCKED_COOKIE, "true", path="/", samesite="Lax")
    return response


def _text(status: int, text: str, retry_after: str = "") -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else None
    return web.Response(status=status, text=text + "\n", headers=headers)


def _json_body(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


_ANSWERS: Mapping[str, Callable[[Faults], web.Response]] = MappingProxyType(
    {
        "token-400-text": lambda _: _text(400, "Bad Request"),
        "token-429": _blocked,
        "token-503": lambda faults: _text(503, "Service Unavailable", faults.text("token-503")),
        "token-504": lambda _: _text(504, "Gateway Timeout"),
        "token-html": lambda _: web.Response(
            text="<!doctype html><title>Sign in</title>", content_type="text/html"
        ),
        "token-empty": lambda _: web.Response(body=b""),
        "token-garbage": lambda _: _json_body(b'{"access_token": \xff\xfe'),
        "token-huge": lambda _: web.json_response({"access_token": "x" * HUGE, "expires_in": 60}),
        "token-body": lambda faults: _json_body(faults.text("token-body").encode()),
        "token-truncated-gzip": lambda _: truncated_gzip(),
        "token-redirect": lambda _: web.Response(
            status=307, headers={"Location": "http://elsewhere.invalid/oauth/v2/token"}
        ),
    }
)

# In the order in which they are looked at; the first that is on answers.
_NAMES = (*OAUTH_ERRORS, *_ANSWERS, "token-close", "token-truncated", "token-drip")

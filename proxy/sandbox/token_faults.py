"""
Token answers that are wrong in ways an issuer, or what stands before it, can be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sandbox.faults import Faults
    from proxy.sandbox.mints import Mint

# Source: ZITADEL's quota answer: plain text and a cookie, no Retry-After.
BLOCKED_TEXT = "Your ZITADEL instance is blocked."
BLOCKED_COOKIE = "zitadel.quota.exhausted"

HUGE = 2 << 20

DEFAULT_ODD_EXPIRES_IN = "soon"


def broken_answer(faults: Faults, request: web.Request, mint: Mint) -> web.StreamResponse | None:
    """
    Return what a fault of the token endpoint answers instead of a token; None if none is on.
    """
    for name, make in _ANSWERS.items():
        if faults.take(name):
            response = make()
            mint.status, mint.error, mint.reason = response.status, name, "fault"
            return response
    if faults.take("token-close"):
        mint.error, mint.reason = "token-close", "fault"
        return close(request)
    return None


def odd_answer(faults: Faults, answer: dict[str, object]) -> None:
    """
    Spoil a token answer that would have been right.
    """
    if faults.take("no-access-token"):
        del answer["access_token"]
    if faults.take("no-expires-in"):
        answer.pop("expires_in", None)
    if faults.take("odd-expires-in"):
        value = faults.value("odd-expires-in")
        answer["expires_in"] = DEFAULT_ODD_EXPIRES_IN if value is None else value


def close(request: web.Request) -> web.Response:
    """
    Close the connection under a request; the returned response reaches nobody.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _blocked() -> web.Response:
    response = web.Response(status=429, text=BLOCKED_TEXT + "\n")
    response.set_cookie(BLOCKED_COOKIE, "true", path="/", samesite="Lax")
    return response


_ANSWERS: dict[str, Callable[[], web.Response]] = {
    "token-500": lambda: web.json_response(
        {"error": "server_error", "error_description": "Errors.Internal"}, status=500
    ),
    "token-503": lambda: web.Response(status=503, text="Service Unavailable\n"),
    "token-429": _blocked,
    "token-html": lambda: web.Response(
        text="<!doctype html><title>Sign in</title>", content_type="text/html"
    ),
    "token-empty": lambda: web.Response(body=b""),
    "token-garbage": lambda: web.Response(
        body=b'{"access_token": \xff\xfe', content_type="application/json"
    ),
    "token-huge": lambda: web.json_response({"access_token": "x" * HUGE, "expires_in": 60}),
    "token-redirect": lambda: web.Response(
        status=307, headers={"Location": "http://elsewhere.invalid/oauth/v2/token"}
    ),
}

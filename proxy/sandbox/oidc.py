"""
OpenID Connect as far as service users meet it: keys, userinfo, health; and the dispatch to
discovery, token endpoint and introspection.

Every answer carries a user-agent cookie, as ZITADEL's does: a client with a cookie jar would send
it back. Source: ZITADEL internal/api/oidc/op.go, cmd/defaults.yaml `OIDC.CustomEndpoints`.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.discovery import (
    DISCOVERY,
    INTROSPECT,
    KEYS,
    METADATA,
    REVOKE,
    USERINFO,
    Discovery,
)
from proxy.sandbox.form import read_form
from proxy.sandbox.grants import TOKEN, TokenEndpoint
from proxy.sandbox.hits import Hit, read_body
from proxy.sandbox.introspection import Introspection, profile_claims
from proxy.sandbox.origin import origin_of
from proxy.sandbox.replies import OAuthRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.sandbox.instance import Instance

HEALTHZ = "/debug/healthz"
READY = "/debug/ready"

COOKIE = "zitadel.useragent"


class Oidc:
    """
    Answers the OpenID Connect paths.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._discovery = Discovery(instance)
        self._tokens = TokenEndpoint(instance)
        self._introspection = Introspection(instance)
        self._handlers: dict[
            str, Callable[[web.Request, Hit, str], Awaitable[web.StreamResponse]]
        ] = {
            DISCOVERY: self._discovery.answer,
            METADATA: self._discovery.answer,
            TOKEN: self._tokens.answer,
            INTROSPECT: self._introspection.answer,
            REVOKE: self._introspection.revoke,
            KEYS: self._keys,
            USERINFO: self._userinfo,
            HEALTHZ: self._healthz,
            READY: self._ready,
        }

    @property
    def paths(self) -> frozenset[str]:
        """
        The paths answered here, by any method as in ZITADEL.
        """
        return frozenset(self._handlers)

    async def handle(self, request: web.Request, hit: Hit) -> web.StreamResponse:
        """
        Answer a request to one of `paths`.
        """
        options = self._instance.options
        secure = options.external_secure or options.tls is not None
        issuer = origin_of(request.headers, secure=secure).issuer
        try:
            response = await self._handlers[request.path](request, hit, issuer)
        except OAuthRefusedError as refused:
            response = refused.response()
        if COOKIE not in request.cookies and not request.path.startswith("/debug/"):
            response.set_cookie(
                COOKIE, secrets.token_urlsafe(64), path="/", httponly=True, samesite="Lax"
            )
        return response

    async def _keys(self, request: web.Request, hit: Hit, _issuer: str) -> web.Response:
        await read_body(request, hit)
        return web.json_response(self._instance.tokens.key_set())

    async def _userinfo(self, request: web.Request, hit: Hit, _issuer: str) -> web.Response:
        form = await read_form(request, hit)
        if self._instance.faults.take("userinfo-500"):
            raise OAuthRefusedError("server_error", "Errors.Internal", status=500)
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not text:
            text = form.get("access_token", "")
        if not text:
            raise OAuthRefusedError("invalid_request", "access token missing", status=401)
        alive = self._instance.alive(text)
        if alive is None or self._instance.faults.take("userinfo-401"):
            raise OAuthRefusedError("access_denied", "access token invalid", status=401)
        hit.user = alive.user.name
        return web.json_response(
            {"sub": alive.user.user_id} | profile_claims(alive.user, alive.token.scopes)
        )

    async def _healthz(self, _request: web.Request, _hit: Hit, _issuer: str) -> web.Response:
        return web.Response(text=json.dumps("ok"), content_type="application/json")

    async def _ready(self, _request: web.Request, _hit: Hit, _issuer: str) -> web.Response:
        status = 412 if self._instance.faults.take("not-ready") else 200
        return web.Response(status=status, text=json.dumps("ok" if status == 200 else "not ready"))

"""
Introspection (RFC 7662) and revocation (RFC 7009), for API applications.

Source: ZITADEL internal/api/oidc/introspect.go: only a bad client gets an error, every trouble
with the token is `active: false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.clients import find_application, parse_client
from proxy.sandbox.form import read_form
from proxy.sandbox.replies import OAuthRefusedError

if TYPE_CHECKING:
    from proxy.sandbox.clients import ClientAuth
    from proxy.sandbox.hits import Hit
    from proxy.sandbox.instance import Alive, Instance
    from proxy.sandbox.users import Application, ServiceUser


class Introspection:
    """
    Answers `/oauth/v2/introspect` and `/oauth/v2/revoke`.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def answer(self, request: web.Request, hit: Hit, issuer: str) -> web.Response:
        """
        Answer one introspection request.
        """
        if self._instance.faults.take("introspection-500"):
            raise OAuthRefusedError("server_error", "Errors.Internal", status=500)
        form = await read_form(request, hit)
        client = parse_client(request.headers.get("Authorization", ""), form)
        if not client.secret and not client.assertion:
            raise OAuthRefusedError("invalid_client", "client must be authenticated")
        if not form.get("token"):
            raise OAuthRefusedError("invalid_request", "token missing")
        app = self._application(client, issuer)
        if self._instance.faults.take("introspection-inactive"):
            return web.json_response({"active": False})
        alive = self._instance.shown(form["token"])
        if alive is None or not app.meant_by(alive.token):
            return web.json_response({"active": False})
        return web.json_response(_active(alive, issuer))

    async def revoke(self, request: web.Request, hit: Hit, issuer: str) -> web.Response:
        """
        Answer one revocation request: a service user's token cannot be revoked this way.

        Source: ZITADEL internal/command/oidc_session_model.go `CheckClient`.
        """
        form = await read_form(request, hit)
        self._application(parse_client(request.headers.get("Authorization", ""), form), issuer)
        if self._instance.alive(form.get("token", "")) is not None:
            raise OAuthRefusedError(
                "invalid_client", "token was not issued for this client", status=401
            )
        return web.Response()

    def _application(self, client: ClientAuth, issuer: str) -> Application:
        found = find_application(self._instance, client, issuer)
        if found is None:
            raise OAuthRefusedError("unauthorized_client", "The client is not authorized")
        return found


def _active(alive: Alive, issuer: str) -> dict[str, object]:
    token = alive.token
    answer: dict[str, object] = {
        "active": True,
        "scope": " ".join(token.scopes),
        "token_type": "Bearer",
        "exp": int(token.expires),
        "iat": int(token.created),
        "nbf": int(token.created),
        "auth_time": int(token.created),
        "sub": token.user_id,
        "aud": list(token.audience),
        "iss": issuer,
        "jti": token.token_id,
    }
    if token.client_id:
        answer["client_id"] = token.client_id
    if token.actor:
        answer["act"] = {"sub": token.actor, "iss": token.issuer}
    profile = profile_claims(alive.user, token.scopes)
    if profile:
        answer |= profile
        answer["username"] = alive.user.login_name
    return answer


def profile_claims(user: ServiceUser, scopes: tuple[str, ...]) -> dict[str, object]:
    """
    Return the claims the scope `profile` adds; none without it.
    """
    if "profile" not in scopes:
        return {}
    return {
        "name": user.name,
        "preferred_username": user.login_name,
        "updated_at": int(user.created),
    }

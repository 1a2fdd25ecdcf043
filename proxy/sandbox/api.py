"""
A few ZITADEL APIs, REST and Connect, each behind the real token check.

Source: ZITADEL internal/api/authz/context.go (Bearer parsing, token check, audience),
internal/api/grpc/server (order: limits, token, organisation, permission, handler).
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from proxy.sandbox import replies
from proxy.sandbox.hits import Hit, read_body
from proxy.sandbox.instance import ORG_DOMAIN, ORG_NAME, Alive
from proxy.sandbox.replies import ApiRefusedError, api_refusal
from proxy.sandbox.system import SYSTEM_PREFIX, SystemTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import ServiceUser

    Reply = dict[str, object]
    Handler = Callable[[Alive, dict[str, Any]], Reply]

ORG_HEADER = "x-zitadel-orgid"
BEARER = "Bearer "

# Source: grpc-gateway's preflight handling; no token is asked for.
PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, x-zitadel-orgid",
}


class Api:
    """
    Answers every path of the issuer that is not OpenID Connect.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._system = SystemTokens(instance)
        self._handlers: dict[str, tuple[str, Handler]] = {
            "/management/v1/orgs/me": ("GET", self._my_org),
            "/management/v1/users/_search": ("POST", self._search_users),
            "/auth/v1/users/me": ("GET", self._myself),
            "/v2/users": ("POST", self._list_users),
            "/zitadel.user.v2.UserService/ListUsers": ("POST", self._list_users),
            SYSTEM_PREFIX + "instances/_search": ("POST", self._search_instances),
        }

    async def handle(self, request: web.Request, hit: Hit) -> web.StreamResponse:
        """
        Answer one API request.
        """
        path = request.rel_url.raw_path
        body = await read_body(request, hit)
        await self._instance.faults.hold("api-slow")
        try:
            response: web.StreamResponse = self._answer(request, path, hit, body)
        except ApiRefusedError as refused:
            response = api_refusal(path, refused.refusal)
        response.headers["X-Request-ID"] = secrets.token_hex(16)
        return response

    def _answer(self, request: web.Request, path: str, hit: Hit, body: bytes) -> web.Response:
        if path not in self._handlers:
            raise ApiRefusedError(replies.NOT_FOUND)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=PREFLIGHT)
        method, handler = self._handlers[path]
        if request.method != method:
            raise ApiRefusedError(replies.WRONG_METHOD)
        if self._instance.faults.take("api-429"):
            raise ApiRefusedError(replies.BLOCKED)
        alive = self._authenticate(request)
        hit.user = alive.user.name
        if path.startswith(SYSTEM_PREFIX) and alive.token.kind != "system":
            raise ApiRefusedError(replies.NO_ROLE)
        if request.headers.get(ORG_HEADER, self._instance.org_id) != self._instance.org_id:
            raise ApiRefusedError(replies.NO_ORG)
        if self._instance.faults.take("api-500"):
            raise ApiRefusedError(replies.INTERNAL)
        return web.json_response(handler(alive, _parsed(body)))

    def _authenticate(self, request: web.Request) -> Alive:
        values = request.headers.getall("Authorization", [])
        if not any(values):
            raise ApiRefusedError(replies.HEADER_MISSING)
        parts = values[0].split(BEARER)
        if len(values) != 1 or len(parts) != 2:
            raise ApiRefusedError(replies.HEADER_INVALID)
        if self._instance.faults.take("api-401"):
            raise ApiRefusedError(replies.TOKEN_INVALID)
        alive = self._instance.shown(parts[1]) or self._system.shown(parts[1])
        if alive is None:
            raise ApiRefusedError(replies.TOKEN_INVALID)
        if alive.token.actor:
            raise ApiRefusedError(replies.NOT_FOR_API)
        # A PAT is good for the APIs as it is; a minted token must have asked for them.
        if (
            alive.token.kind == "minted"
            and self._instance.zitadel_project not in alive.token.audience
        ):
            raise ApiRefusedError(replies.TOKEN_INVALID)
        return alive

    def _my_org(self, alive: Alive, _body: dict[str, Any]) -> Reply:
        _need_role(alive)
        return {
            "org": {
                "id": self._instance.org_id,
                "details": self._details(0.0),
                "state": "ORG_STATE_ACTIVE",
                "name": ORG_NAME,
                "primaryDomain": ORG_DOMAIN,
            }
        }

    def _myself(self, alive: Alive, _body: dict[str, Any]) -> Reply:
        return {"user": self._v1_user(alive.user)}

    def _search_users(self, alive: Alive, body: dict[str, Any]) -> Reply:
        _need_role(alive)
        users = list(self._instance.users)
        return {
            "details": self._list_details(len(users)),
            "result": [self._v1_user(user) for user in _page(users, body)],
        }

    def _search_instances(self, _alive: Alive, _body: dict[str, Any]) -> Reply:
        return {
            "details": self._list_details(1),
            "result": [{"details": self._details(0.0), "state": "STATE_RUNNING", "name": ORG_NAME}],
        }

    def _list_users(self, alive: Alive, body: dict[str, Any]) -> Reply:
        # v2 reads are not refused for want of a role: they show what the role lets one see.
        users = [user for user in self._instance.users if alive.user.roles or user is alive.user]
        return {
            "details": self._list_details(len(users)),
            "result": [self._v2_user(user) for user in _page(users, body)],
        }

    def _v1_user(self, user: ServiceUser) -> Reply:
        return {
            "id": user.user_id,
            "details": self._details(user.created),
            "state": _state(user),
            "userName": user.name,
            "loginNames": [user.login_name],
            "preferredLoginName": user.login_name,
            "machine": _machine(user),
        }

    def _v2_user(self, user: ServiceUser) -> Reply:
        return {
            "userId": user.user_id,
            "details": self._details(user.created),
            "state": _state(user),
            "username": user.name,
            "loginNames": [user.login_name],
            "preferredLoginName": user.login_name,
            "machine": _machine(user),
        }

    def _details(self, created: float) -> Reply:
        stamp = _stamp(created)
        return {
            "sequence": "1",
            "creationDate": stamp,
            "changeDate": stamp,
            "resourceOwner": self._instance.org_id,
        }

    def _list_details(self, total: int) -> Reply:
        return {"totalResult": str(total), "timestamp": _stamp(self._instance.now())}


def _need_role(alive: Alive) -> None:
    if not alive.user.roles:
        raise ApiRefusedError(replies.NO_ROLE)


def _parsed(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise ApiRefusedError(replies.BAD_JSON) from exc
    if not isinstance(parsed, dict):
        raise ApiRefusedError(replies.BAD_JSON)
    return parsed


def _page(users: list[ServiceUser], body: dict[str, Any]) -> list[ServiceUser]:
    query = body.get("query")
    query = query if isinstance(query, dict) else {}
    try:
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 0))
    except (TypeError, ValueError) as exc:
        raise ApiRefusedError(replies.BAD_JSON) from exc
    offset = max(offset, 0)
    return users[offset : offset + limit] if limit > 0 else users[offset:]


def _machine(user: ServiceUser) -> Reply:
    kind = "JWT" if user.jwt else "BEARER"
    return {
        "name": user.name,
        "hasSecret": user.secret is not None,
        "accessTokenType": f"ACCESS_TOKEN_TYPE_{kind}",
    }


def _state(user: ServiceUser) -> str:
    return "USER_STATE_ACTIVE" if user.active else "USER_STATE_INACTIVE"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

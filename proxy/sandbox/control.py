"""
The sandbox's own paths, on the issuer's server: what goes on, and faults over HTTP.

GET /sandbox/state                 users, faults that are on, mints, latest hits; no credential
GET /sandbox/faults                every fault and what it does
POST /sandbox/faults/{name}        switch one on; query `times=N`, `value=V`
DELETE /sandbox/faults/{name}      switch one off
DELETE /sandbox/faults             switch all off
POST /sandbox/revoke               take back every access token and PAT; query `user=NAME`:
                                   those of one service user

A request with an Origin header is refused: no web page has business here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.faults import FAULTS, UnknownFaultError

if TYPE_CHECKING:
    from proxy.sandbox.hits import Hit
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.mints import Mint

PREFIX = "/sandbox/"
LATEST = 20


class Control:
    """
    Answers the paths under `/sandbox/`.

    Args:
        instance: The instance it controls.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def handle(self, request: web.Request) -> web.Response:
        """
        Answer one request.
        """
        if "Origin" in request.headers:
            return web.json_response({"error": "not for web pages"}, status=403)
        try:
            answer = self._answer(request)
        except (UnknownFaultError, KeyError, ValueError) as exc:
            return web.json_response({"error": str(exc)[:2_000]}, status=400)
        if answer is None:
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response(answer)

    def _answer(self, request: web.Request) -> dict[str, object] | None:
        what, _, name = request.path.removeprefix(PREFIX).partition("/")
        match request.method, what, name:
            case "GET", "state", "":
                return self._state()
            case "GET", "faults", "":
                pass
            case "POST", "faults", str(name) if name:
                self._set(request, name)
            case "DELETE", "faults", name:
                self._instance.faults.clear(name or None)
            case "POST", "revoke", "":
                return {"revoked": self._revoke(request)}
            case _:
                return None
        return self._faults()

    def _set(self, request: web.Request, name: str) -> None:
        times = request.query.get("times")
        self._instance.faults.set(
            name,
            times=None if times is None else max(1, int(times)),
            value=request.query.get("value"),
        )

    def _revoke(self, request: web.Request) -> int:
        name = request.query.get("user")
        user_id = None if name is None else self._instance.users[name].user_id
        return self._instance.tokens.revoke(user_id)

    def _faults(self) -> dict[str, object]:
        on = self._instance.faults.names()
        return {"on": list(on), "faults": dict(FAULTS)}

    def _state(self) -> dict[str, object]:
        instance = self._instance
        return {
            "users": [
                {
                    "name": user.name,
                    "user_id": user.user_id,
                    "login_name": user.login_name,
                    "active": user.active,
                    "mints": instance.mints.count(user=user.name, ok=True),
                    "refused": instance.mints.count(user=user.name, ok=False),
                }
                for user in instance.users
            ],
            "faults": list(instance.faults.names()),
            "token_requests": instance.mints.requests,
            "mints": [_mint(mint) for mint in list(instance.mints)[-LATEST:]],
            "hits": instance.hits.total,
            "latest_hits": [_hit(hit) for hit in list(instance.hits)[-LATEST:]],
        }


def _mint(mint: Mint) -> dict[str, object]:
    return {
        "grant": mint.grant,
        "user": mint.user,
        "status": mint.status,
        "error": mint.error,
        "reason": mint.reason,
    }


def _hit(hit: Hit) -> dict[str, object]:
    # Without the query, which may hold what is nobody's business.
    return {
        "place": hit.place,
        "method": hit.method,
        "path": hit.path,
        "user": hit.user,
        "status": hit.status,
    }

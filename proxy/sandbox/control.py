"""
The sandbox's own paths, on the issuer's server: what goes on, and faults over HTTP.

GET /sandbox/state                 users, applications, faults that are on, mints, latest hits; no
                                   credential
GET /sandbox/faults                every fault: what it does, whether it is on, value, times left
POST /sandbox/faults/{name}        switch one on; query `times=N`, `value=V`
DELETE /sandbox/faults/{name}      switch one off
DELETE /sandbox/faults             switch all off; these three answer with those that are on
POST /sandbox/revoke               take back every access token and PAT; query `user=NAME`:
                                   those of one service user

A request with an Origin header is refused: no web page has business here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.fault_list import FAULTS
from proxy.sandbox.faults import UnknownFaultError

if TYPE_CHECKING:
    from collections.abc import Iterable

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
            return _json({"error": "not for web pages"}, 403)
        try:
            answer = self._answer(request)
        except UnknownFaultError as exc:
            return _json({"error": f"{exc}; GET /sandbox/faults lists all"}, 400)
        except ValueError as exc:
            return _json({"error": str(exc)[:2_000]}, 400)
        return _json({"error": "not found"}, 404) if answer is None else _json(answer)

    def _answer(self, request: web.Request) -> dict[str, object] | None:
        what, _, name = request.path.removeprefix(PREFIX).partition("/")
        match request.method, what, name:
            case "GET", "state", "":
                return self._state()
            case "GET", "faults", "":
                return self._faults(FAULTS)
            case "POST", "faults", str(name) if name:
                self._set(request, name)
            case "DELETE", "faults", name:
                self._instance.faults.clear(name or None)
            case "POST", "revoke", "":
                return {"revoked": self._revoke(request)}
            case _:
                return None
        return self._faults(self._instance.faults.names())

    def _set(self, request: web.Request, name: str) -> None:
        _only(request, "times", "value")
        times = request.query.get("times")
        if times is not None and not (times.isascii() and times.isdigit() and int(times[:10]) > 0):
            raise ValueError("times: write a whole number from 1")
        self._instance.faults.set(
            name,
            times=None if times is None else int(times[:10]),
            value=request.query.get("value"),
        )

    def _revoke(self, request: web.Request) -> int:
        _only(request, "user")
        name = request.query.get("user")
        if name is None:
            return self._instance.tokens.revoke()
        user = next((user for user in self._instance.users if user.name == name), None)
        if user is None:
            raise ValueError(f"no service user {name[:64]!r}")
        return self._instance.tokens.revoke(user.user_id)

    def _faults(self, listed: Iterable[str]) -> dict[str, object]:
        faults = self._instance.faults
        return {
            "on": list(faults.names()),
            "faults": {
                name: {"description": FAULTS[name]} | asdict(faults.state(name)) for name in listed
            },
        }

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
            "applications": [
                {
                    "client_id": app.client_id,
                    "project_id": app.project_id,
                    "exchange": app.exchange,
                }
                for app in instance.users.applications.values()
            ],
            "faults": list(instance.faults.names()),
            "token_requests": instance.mints.requests,
            "mints": [_mint(mint) for mint in list(instance.mints)[-LATEST:]],
            "hits": instance.hits.total,
            "latest_hits": [_hit(hit) for hit in list(instance.hits)[-LATEST:]],
        }


def _json(answer: dict[str, object], status: int = 200) -> web.Response:
    # For people at a terminal.
    text = json.dumps(answer, indent=2) + "\n"
    return web.Response(text=text, status=status, content_type="application/json")


def _only(request: web.Request, *names: str) -> None:
    """
    Refuse a query with other names: a typing mistake would pass for a wish that was heard.
    """
    for name in request.query:
        if name not in names:
            raise ValueError(f"no parameter {name[:64]!r}; there are: {', '.join(names)}")


def _mint(mint: Mint) -> dict[str, object]:
    return {
        "grant": mint.grant,
        "user": mint.user,
        "client_auth": mint.client_auth,
        "audience": list(mint.audience),
        "resource": list(mint.resource),
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

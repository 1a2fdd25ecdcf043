"""
What can be changed on the admin listener.

POST /reload        read the configuration again; 422 if it is refused
POST /service-users/NAME/revoke     drop its tokens and get no more; `?streams=cut` ends what goes on
POST /service-users/NAME/allow      undo that
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.admin.answer import facts
from proxy.admin.status import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.admin.reloads import Reloads
    from proxy.admin.switch import Switch


class Changes:
    """
    The handlers of all that changes something.

    Args:
        switch: Revokes service users; None if nothing does.
        reloads: Reloads the configuration; None if nothing does.
        condition: Returns how a service user fares, by its name; `removed` if a reload has taken it
            away.
    """

    def __init__(
        self,
        switch: Switch | None,
        reloads: Reloads | None,
        condition: Callable[[str], str],
    ) -> None:
        self._switch = switch
        self._reloads = reloads
        self._condition = condition

    @property
    def any(self) -> bool:
        """
        Whether there is anything to change.
        """
        return self._switch is not None or self._reloads is not None

    def add_to(self, router: web.UrlDispatcher) -> None:
        """
        Add a route for each change that can be made.
        """
        if self._reloads is not None:
            router.add_post("/reload", partial(_reload, self._reloads))
        if self._switch is not None:
            place = "/service-users/{name}"
            router.add_post(f"{place}/revoke", partial(self._revoke, self._switch))
            router.add_post(f"{place}/allow", partial(self._allow, self._switch))

    async def _revoke(self, switch: Switch, request: web.Request) -> web.Response:
        streams = request.query.get("streams", "end")
        if streams not in {"cut", "end"}:
            return web.Response(status=400, text="streams is none of cut and end\n")
        name = request.match_info["name"]
        if name not in switch.names():
            return _nobody(switch)
        ended = await switch.revoke(name, _peer(request), cut=streams == "cut")
        return self._changed(name, requests_ended=ended)

    async def _allow(self, switch: Switch, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in switch.names():
            return _nobody(switch)
        switch.allow(name, _peer(request))
        return self._changed(name)

    def _changed(self, name: str, **more: int) -> web.Response:
        """
        Return how a service user fares after a change.
        """
        told = {"service_user": name, "condition": self._condition(name), **more}
        return web.json_response(told)


async def _reload(reloads: Reloads, _: web.Request) -> web.Response:
    done = await reloads.reload("request")
    return facts(outcome(done), status=422 if done.outcome == "rejected" else 200)


def _nobody(switch: Switch) -> web.Response:
    names = ", ".join(switch.names())
    return web.Response(status=404, text=f"no such service user; there are: {names}\n")


def _peer(request: web.Request) -> str:
    """
    Return the address of whoever asks; `unix` over a socket.
    """
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else "unix"

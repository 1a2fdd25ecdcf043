"""
Health and state over HTTP, for orchestrators and people; never on the data plane's port.

GET /livez          200 while the loop turns; asks nothing of anybody else
GET /readyz         200 once every required service user has a token, else 503; `?verbose` says who
GET /status.json    the state of each service user
GET /metrics        what Prometheus scrapes, in its text format or as OpenMetrics

POST /service-users/NAME/revoke     drop its tokens and get no more; `?streams=cut` ends what goes on
POST /service-users/NAME/allow      undo that

Who may ask is `admin.guard`'s.
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.admin.guard import Guard
from proxy.config.network import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from aiohttp.typedefs import Handler, Middleware

    from proxy.admin.switch import Switch
    from proxy.generation import Generation

    Scrape: TypeAlias = Callable[[str], Awaitable[tuple[bytes, str]]]


class Admin:
    """
    The admin application over the generation of the moment.

    Args:
        generation: Returns the generation of the moment.
        draining: Returns whether the proxy is on its way down.
        scrape: Makes the metrics' text and its media type for an `Accept`; None for no metrics.
        switch: Revokes service users; None if nothing can be changed.
        guard: Who may ask.
    """

    def __init__(
        self,
        generation: Callable[[], Generation],
        draining: Callable[[], bool],
        scrape: Scrape | None = None,
        *,
        switch: Switch | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._generation = generation
        self._draining = draining
        self._scrape = scrape
        self._switch = switch
        self._guard = guard or Guard()
        self._runner: web.AppRunner | None = None
        self.address = ""

    def application(self) -> web.Application:
        """
        Return the routes.
        """
        app = web.Application(middlewares=(_middleware(self._guard),))
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status.json", self._status)
        if self._scrape is not None:
            app.router.add_get("/metrics", partial(self._metrics, self._scrape))
        if self._switch is not None:
            place = "/service-users/{name}"
            app.router.add_post(f"{place}/revoke", partial(self._revoke, self._switch))
            app.router.add_post(f"{place}/allow", partial(self._allow, self._switch))
        return app

    async def start(self, address: TcpAddress | UnixAddress) -> None:
        """
        Listen.

        Raises:
            OSError: The address cannot be had.
        """
        self._runner = web.AppRunner(self.application(), access_log=None)
        await self._runner.setup()
        if isinstance(address, UnixAddress):
            await web.UnixSite(self._runner, str(address.path)).start()
            address.path.chmod(0o660)
            self.address = str(address)
            return
        await web.TCPSite(self._runner, address.host, address.port).start()
        self.address = str(TcpAddress(address.host, self._runner.addresses[0][1]))

    async def stop(self) -> None:
        """
        Stop listening.
        """
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        keeper = self._generation().keeper
        ready = keeper.ready() and not self._draining()
        lines = []
        if "verbose" in request.query and not self._guard.knows(request):
            lines.append("who is not ready is told with the admin key only\n")
        elif "verbose" in request.query:
            if self._draining():
                lines.append("[-] shutting down\n")
            for state in keeper.states():
                sign = "+" if state.condition in ("ready", "stale", "idle") else "-"
                why = f": {state.last_error}" if state.last_error else ""
                lines.append(f"[{sign}] {state.name} {state.condition}{why}\n")
        text = "".join(lines) + ("ok\n" if ready else "not ready\n")
        return web.Response(text=text, status=200 if ready else 503)

    async def _status(self, _: web.Request) -> web.Response:
        keeper = self._generation().keeper
        body = {
            "ready": keeper.ready(),
            "draining": self._draining(),
            "service_users": [dataclasses.asdict(state) for state in keeper.states()],
        }
        return web.json_response(body, dumps=lambda value: json.dumps(value, indent=2) + "\n")

    async def _revoke(self, switch: Switch, request: web.Request) -> web.Response:
        streams = request.query.get("streams", "end")
        if streams not in {"cut", "end"}:
            return web.Response(status=400, text="streams is none of cut and end\n")
        name = request.match_info["name"]
        if name not in switch.names():
            return _nobody(switch)
        ended = await switch.revoke(name, _peer(request), cut=streams == "cut")
        return self._told(name, requests_ended=ended)

    async def _allow(self, switch: Switch, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in switch.names():
            return _nobody(switch)
        switch.allow(name, _peer(request))
        return self._told(name)

    def _told(self, name: str, **facts: int) -> web.Response:
        """
        Return how a service user fares after a change.
        """
        condition = self._generation().keeper.state(name).condition
        return web.json_response({"service_user": name, "condition": condition, **facts})

    async def _metrics(self, scrape: Scrape, request: web.Request) -> web.Response:
        text, media_type = await scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": media_type})


def _middleware(guard: Guard) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard(request, handler)

    return guarded


def _nobody(switch: Switch) -> web.Response:
    names = ", ".join(switch.names())
    return web.Response(status=404, text=f"no such service user; there are: {names}\n")


def _peer(request: web.Request) -> str:
    """
    Return the address of whoever asks; `unix` over a socket.
    """
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else "unix"

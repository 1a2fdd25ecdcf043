"""
Health and state over HTTP, for orchestrators and people; never on the data plane's port.

GET /livez          200 while the loop turns; asks nothing of anybody else
GET /readyz         200 once every required service user has a token, else 503; `?verbose` says who
GET /status.json    the state of each service user
GET /metrics        what Prometheus scrapes, in its text format or as OpenMetrics
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.config.network import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from proxy.generation import Generation

    Scrape: TypeAlias = Callable[[str], Awaitable[tuple[bytes, str]]]


class Admin:
    """
    The admin application over the generation of the moment.

    Args:
        generation: Returns the generation of the moment.
        draining: Returns whether the proxy is on its way down.
        scrape: Makes the metrics' text and its media type for an `Accept`; None for no metrics.
    """

    def __init__(
        self,
        generation: Callable[[], Generation],
        draining: Callable[[], bool],
        scrape: Scrape | None = None,
    ) -> None:
        self._generation = generation
        self._draining = draining
        self._scrape = scrape
        self._runner: web.AppRunner | None = None
        self.address = ""

    def application(self) -> web.Application:
        """
        Return the routes.
        """
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status.json", self._status)
        if self._scrape is not None:
            app.router.add_get("/metrics", partial(self._metrics, self._scrape))
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
        if "verbose" in request.query:
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

    async def _metrics(self, scrape: Scrape, request: web.Request) -> web.Response:
        text, media_type = await scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": media_type})

"""
The admin application: small, read-mostly, never on the data plane's port.

GET /livez          200 while the loop turns; asks nothing of anybody else
GET /readyz         200 once every required service user has a token, else 503; `?verbose` says who,
                    `?exclude=NAME` leaves one out; /startupz is the same
GET /status         the page a person looks at (`admin.page`); / leads there
GET /status.json    what it shows (`admin.status`)
GET /metrics        what Prometheus scrapes, in its text format or as OpenMetrics
GET /explain        what would happen to a request (`admin.explain`)

What can be changed there is in `admin.changes`.

Who may ask is `admin.guard`'s. State: the listening socket, and a task that looks at the counters.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.admin.answer import facts, pages, protect
from proxy.admin.changes import Changes
from proxy.admin.explain import explain
from proxy.admin.guard import Guard
from proxy.admin.listening import listen
from proxy.admin.page import page
from proxy.admin.readiness import readiness
from proxy.admin.status import Sources, status
from proxy.config.network import TcpAddress, UnixAddress
from proxy.explanation.question import Unclear
from proxy.explanation.words import text
from proxy.observe.pace import STEP, Paces
from proxy.tasks import spawn

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from aiohttp.typedefs import Handler

    from proxy.admin.reloads import Reloads
    from proxy.admin.switch import Switch
    from proxy.config.load import Loaded
    from proxy.core.clock import Clock
    from proxy.generation import Generation
    from proxy.observe.metrics import Metrics
    from proxy.observe.reading import Reading

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
        reloads: Reloads the configuration; None if nothing does.
        loaded: Returns the configuration that serves; None for no explaining.
        metrics: Where requests are counted; None to tell nothing of them.
        reading: Returns what the metrics look up; None likewise.
        clock: What time it is; only together with *metrics*.

    Attributes:
        guard: Who may ask; may be replaced at any time.
        address: Where it listens; empty before that.
    """

    def __init__(  # noqa: PLR0913 - each is one thing it tells of
        self,
        generation: Callable[[], Generation],
        draining: Callable[[], bool],
        scrape: Scrape | None = None,
        *,
        switch: Switch | None = None,
        guard: Guard | None = None,
        reloads: Reloads | None = None,
        loaded: Callable[[], Loaded] | None = None,
        metrics: Metrics | None = None,
        reading: Callable[[], Reading] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._paces = Paces(metrics, clock.boot) if metrics and clock else None
        self._sources = Sources(
            generation,
            draining,
            reloads=reloads,
            metrics=metrics,
            paces=self._paces,
            reading=reading,
            clock=clock,
            version=_version(),
        )
        self._scrape = scrape
        self._changes = Changes(switch, reloads, self._condition)
        self._loaded = loaded
        self.guard = guard or Guard()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self.address = ""

    def application(self) -> web.Application:
        """
        Return the routes.
        """
        app = web.Application(middlewares=(self._guarded,))
        add = app.router.add_get
        add("/", _to_the_page)
        add("/livez", _livez)
        add("/readyz", self._readyz)
        add("/startupz", self._readyz)
        add("/status", self._page)
        add("/status.json", self._status)
        if self._scrape is not None:
            add("/metrics", partial(self._metrics, self._scrape))
        if self._loaded is not None:
            add("/explain", partial(self._explain, self._loaded))
        self._changes.add_to(app.router)
        return app

    async def start(
        self, address: TcpAddress | UnixAddress, sock: socket.socket | None = None
    ) -> None:
        """
        Listen.

        Args:
            address: Where.
            sock: A socket that listens there already; None to open one.

        Raises:
            OSError: The address cannot be had.
        """
        self._runner = web.AppRunner(self.application(), access_log=None, logger=_logger())
        await self._runner.setup()
        handle = self._runner.server
        assert handle is not None
        self._server = await listen(handle, address, sock)
        if isinstance(address, TcpAddress):
            address = TcpAddress(address.host, self._server.sockets[0].getsockname()[1])
        self.address = str(address)
        if self._paces is not None:
            _ = spawn(self._tasks, _look_forever(self._paces), name="paces")

    def sockets(self) -> tuple[socket.socket, ...]:
        """
        Return the sockets it listens on, to be handed to a process that is to listen there next.
        """
        return () if self._server is None else tuple(self._server.sockets)

    async def stop(self) -> None:
        """
        Stop listening.
        """
        for task in tuple(self._tasks):
            task.cancel()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await self.guard(request, handler)
        except web.HTTPNotFound:
            response = web.Response(status=404, text=pages(request.app))
        except web.HTTPException as answer:
            protect(answer.headers)
            raise
        protect(response.headers)
        return response

    async def _readyz(self, request: web.Request) -> web.Response:
        ready, lines = readiness(
            self._sources.generation().keeper,
            draining=self._sources.draining(),
            left_out=frozenset(request.query.getall("exclude", [])),
        )
        if "verbose" not in request.query:
            lines = []
        elif not self.guard.knows(request):
            lines = ["who is not ready is told with the admin key only"]
        said = "\n".join((*lines, "ok" if ready else "not ready", ""))
        return web.Response(text=said, status=200 if ready else 503)

    def _condition(self, name: str) -> str:
        states = self._sources.generation().keeper.states()
        return next((each.condition for each in states if each.name == name), "removed")

    def _told(self) -> dict[str, Any]:
        return status(self._sources, changes=self._changes.any and self.guard.changes)

    async def _status(self, _: web.Request) -> web.Response:
        return facts(self._told())

    async def _page(self, _: web.Request) -> web.Response:
        shown = page()
        return web.Response(
            text=shown.showing(self._told()),
            content_type="text/html",
            headers={"Content-Security-Policy": shown.policy},
        )

    async def _explain(self, loaded: Callable[[], Loaded], request: web.Request) -> web.Response:
        try:
            told = explain(loaded(), self._sources.generation(), request.query)
        except Unclear as unclear:
            return web.Response(status=400, text=f"{unclear}\n")
        accept = request.headers.get("Accept", "")
        if "text/plain" in accept and "json" not in accept:
            return web.Response(text=text(told))
        return facts(told)

    async def _metrics(self, scrape: Scrape, request: web.Request) -> web.Response:
        said, media_type = await scrape(request.headers.get("Accept", ""))
        return web.Response(body=said, headers={"Content-Type": media_type})


def _logger() -> logging.Logger:
    """
    Return where aiohttp complains: of what is no HTTP it would quote the line, key and all.
    """
    logger = logging.Logger("authproxy.admin")  # noqa: LOG001 - each its own: it keeps a filter
    logger.addFilter(lambda record: not _malformed(record))
    return logger


def _malformed(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError)


def _version() -> str:
    try:
        return version("zitadel-authproxy")
    except PackageNotFoundError:  # pragma: no cover - run from a folder
        return ""


async def _look_forever(paces: Paces) -> None:
    while True:
        await asyncio.sleep(STEP)
        paces.look()


async def _to_the_page(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/status"}, text="see /status\n")


async def _livez(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")

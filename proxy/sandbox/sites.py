"""
The two HTTP servers: which part of the sandbox answers a request, and the record around it.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox import replies
from proxy.sandbox.api import Api
from proxy.sandbox.control import PREFIX, Control
from proxy.sandbox.cuts import close
from proxy.sandbox.oidc import HEALTHZ, READY, Oidc
from proxy.sandbox.origin import origin_of
from proxy.sandbox.replies import api_refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from proxy.sandbox.backend import Backend
    from proxy.sandbox.hits import Hit, HitLog, Place
    from proxy.sandbox.instance import Instance

    Answer = Callable[[web.Request, Hit], Awaitable[web.StreamResponse]]

# Longest request line and header field, in bytes: a JWT full of roles must fit.
LONGEST_FIELD = 65_536

# How long a request under way may keep a stopping server, in seconds.
SHUTDOWN_TIMEOUT = 1.0


class IssuerSite:
    """
    The issuer, its APIs and the control paths, on one port as ZITADEL's are.

    Args:
        instance: The instance it serves.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._oidc = Oidc(instance)
        self._api = Api(instance)
        self._control = Control(instance)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """
        Answer one request.
        """
        path = request.path
        if path.startswith(PREFIX):
            return self._control.handle(request)
        if path in self._oidc.paths:
            return await recorded(
                self._instance.issuer_hits, "issuer", request, self._in_instance(self._oidc.handle)
            )
        return await recorded(
            self._instance.hits, "api", request, self._in_instance(self._api.handle)
        )

    def _in_instance(self, answer: Answer) -> Answer:
        """
        Wrap an answer so that a request for another instance does not get it, and nobody does
        while the whole issuer is gone.
        """
        faults = self._instance.faults

        async def checked(request: web.Request, hit: Hit) -> web.StreamResponse:
            if faults.take("down"):
                return close(request)
            await faults.hold("silent")
            response = self._stray(request) or await answer(request, hit)
            # What was under way when it went down is lost too.
            return close(request) if faults.take("down") else response

        return checked

    def _stray(self, request: web.Request) -> web.Response | None:
        if request.path in {HEALTHZ, READY}:
            return None
        options = self._instance.options
        origin = origin_of(request.headers, secure=options.external_secure)
        domains = (options.host, "localhost", *options.domains)
        if origin.within(domains, options.trusted_domains):
            return None
        text = (
            f"unable to set instance using origin {origin} (ExternalDomain is {options.host}): "
            "ID=QUERY-1kIjX Message=Instance not found"
        )
        if request.path in self._oidc.paths:
            return web.Response(status=404, text=text + "\n")
        return api_refusal(request.path, replies.Refusal(404, 5, "not_found", text))

    async def date(self, _request: web.Request, response: web.StreamResponse) -> None:
        """
        Set the Date header from the instance's clock, which need not be the machine's.
        """
        response.headers["Date"] = formatdate(self._instance.now(), usegmt=True)


class BackendSite:
    """
    The protected backend, on a port of its own.

    Args:
        instance: The instance whose record it writes.
        backend: What answers.
    """

    def __init__(self, instance: Instance, backend: Backend) -> None:
        self._instance = instance
        self._backend = backend

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """
        Answer one request.
        """
        return await recorded(self._instance.hits, "backend", request, self._backend.handle)


async def recorded(
    log: HitLog, place: Place, request: web.Request, answer: Answer
) -> web.StreamResponse:
    """
    Record a request and answer it.
    """
    hit = log.arrive(place, request)
    try:
        response = await answer(request, hit)
    except (ConnectionError, web.RequestPayloadError):
        # The client is gone in the middle of its body: the record shows it as incomplete.
        return web.Response(status=400)
    hit.status = response.status
    return response


async def serve(
    site: IssuerSite | BackendSite, *, host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[web.AppRunner, str]:
    """
    Start a server.

    Returns:
        What stops it, and its origin without trailing slash.
    """
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.handle)
    if isinstance(site, IssuerSite):
        app.on_response_prepare.append(site.date)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        auto_decompress=False,  # bodies are counted and hashed as they were sent
        max_line_size=LONGEST_FIELD,
        max_field_size=LONGEST_FIELD,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except BaseException:
        await runner.cleanup()
        raise
    scheme = "https" if tls else "http"
    shown = f"[{host}]" if ":" in host else host
    return runner, f"{scheme}://{shown}:{runner.addresses[0][1]}"

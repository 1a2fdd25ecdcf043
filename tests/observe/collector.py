"""
A collector of traces on a loopback socket that keeps what it is sent.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """
    Takes spans by OTLP over HTTP. Use as `async with Collector() as collector:`.

    Attributes:
        status: What it answers.
        raw: All it was sent.
        spans: Every span, in the order it came, as protobuf has it.
        resources: The attributes of whom they are from.
        headers: Of the last request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.raw = b""
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self._came = asyncio.Event()
        application = web.Application()
        application.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(application)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw += body
        self.headers = dict(request.headers)
        if self.status == 200:
            sent = ExportTraceServiceRequest.FromString(body)
            for each in sent.resource_spans:
                self.resources.append(attributes(each.resource))
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        self._came.set()
        return web.Response(status=self.status)

    async def came(self) -> None:
        """
        Wait until something was sent.
        """
        async with asyncio.timeout(20):
            await self._came.wait()

    async def gathered(self, count: int) -> list[Any]:
        """
        Return the spans once there are so many.
        """
        async with asyncio.timeout(20):
            while len(self.spans) < count:
                self._came.clear()
                await self._came.wait()
        return self.spans

    def named(self, name: str) -> list[Any]:
        """
        Return the spans of this name.
        """
        return [span for span in self.spans if span.name == name]


def attributes(holder: Any) -> dict[str, Any]:
    """
    Return the attributes of a span or a resource.
    """
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes
    }

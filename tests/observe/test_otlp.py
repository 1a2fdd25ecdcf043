"""
Spans as a collector gets them, and a collector that is not there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from proxy.config.network import parse_url
from proxy.config.traces import Traces as Settings
from proxy.core.clock import Clock
from proxy.observe.log import make_logger
from proxy.observe.opening import open_traces, wanted
from proxy.observe.traces import Span, Spot
from tests.observe.collector import Collector, attributes

CLOCK = Clock(lambda: 1_700_000_000.0, lambda: 5.0)
MINT = Spot(7, 8)
SERVER = Span(
    "GET orders",
    "server",
    Spot(2**128 - 1, 2),
    1_700_000_000.0,
    1_700_000_000.25,
    {"http.route": "orders", "http.response.status_code": 502, "authproxy.replayed": False},
    parent=9,
    remote=True,
    links=(MINT,),
    error="upstream_closed",
)
CLIENT = Span("GET", "client", Spot(2**128 - 1, 3), 1_700_000_000.0, 1_699_999_999.0, parent=2)


class ListSink:
    """
    Keeps what it is handed.
    """

    def __init__(self):
        self.raw = b""

    def put(self, piece):
        """
        Keep a piece.
        """
        self.raw += piece

    def lines(self):
        """
        Return the lines so far.
        """
        return [json.loads(line) for line in self.raw.splitlines()]


@pytest.fixture
async def collector():
    """
    A collector that takes everything.
    """
    async with Collector() as collector:
        yield collector


@pytest.fixture
def sink():
    """
    Where the log goes.
    """
    return ListSink()


@pytest.fixture
def opened(sink):
    """
    Open traces by settings and environment.
    """
    log = make_logger(sink, lambda: 0.0)
    return lambda environ=None, **said: open_traces(
        Settings(**said), environ or {}, CLOCK, log, last_words=0.5
    )


async def test_spans_arrive_as_they_were(opened, collector, sink):
    """
    Ids, times, kinds, parents, links, attributes, and whether they failed; sent when it closes.
    """
    async with opened(otlp_endpoint=collector.url, service_name="edge") as traces:
        traces.put((SERVER, CLIENT))
    server, client = collector.spans

    assert (server.trace_id, server.span_id) == (b"\xff" * 16, (2).to_bytes(8))
    assert (server.parent_span_id, client.parent_span_id) == ((9).to_bytes(8), (2).to_bytes(8))
    assert (server.name, server.kind) == ("GET orders", Sent.SPAN_KIND_SERVER)
    assert (client.name, client.kind) == ("GET", Sent.SPAN_KIND_CLIENT)
    assert server.start_time_unix_nano == 1_700_000_000_000_000_000
    assert server.end_time_unix_nano == 1_700_000_000_250_000_000
    assert client.end_time_unix_nano == client.start_time_unix_nano  # a clock put back meanwhile
    assert attributes(server) == dict(SERVER.attributes)
    (link,) = server.links
    assert (link.trace_id, link.span_id) == ((7).to_bytes(16), (8).to_bytes(8))
    assert server.status.code == Status.STATUS_CODE_ERROR
    assert client.status.code == Status.STATUS_CODE_UNSET
    (resource,) = collector.resources
    assert resource["service.name"] == "edge"
    assert sink.raw == b""


@pytest.mark.parametrize(
    ("environ", "name"),
    [({}, "authproxy"), ({"OTEL_SERVICE_NAME": "by-environment"}, "by-environment")],
)
async def test_the_environment_may_say_where_and_who(environ, name, opened, collector, monkeypatch):
    """
    By OpenTelemetry's own variables, headers for the collector too.
    """
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/v1/traces"),
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=acme",
        **environ,
    }
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    async with opened(environ) as traces:
        traces.put((CLIENT,))

    assert collector.resources[0]["service.name"] == name
    assert collector.headers["x-tenant"] == "acme"


async def test_a_collector_that_is_not_there_is_told_of_once(opened, sink, caplog):
    """
    Requests never wait for it, nor does the end; the log has how many spans were lost, and why.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces"
        async with opened(otlp_endpoint=url) as traces:
            traces.put((SERVER, CLIENT))
    (line,) = sink.lines()

    assert (line["event"], line["level"], line["spans"]) == ("traces.lost", "warning", 2)
    assert line["reason"]
    assert caplog.records == []
    assert logging.getLogger("opentelemetry").propagate


async def test_what_a_collector_says_is_hostile(opened, sink):
    """
    Its words stand in the log as one line, cut.
    """

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 no\x1b[2J" + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
        async with opened(otlp_endpoint=url) as traces:
            traces.put((CLIENT,))
    (line,) = sink.lines()

    assert "400" in line["reason"]
    assert len(line["reason"]) <= 200
    assert line["reason"].isprintable()


@pytest.mark.parametrize(
    ("endpoint", "headers"),
    [
        ("ftp://user:canary@127.0.0.1/v1/traces", ""),
        ("user:canary@127.0.0.1", ""),
        ("ftp://127.0.0.1/v1/traces?api-key=canary", ""),
        ("http://127.0.0.1:1/v1/traces", "api-key=canary%0Aof"),
        ("http://127.0.0.1:1/v1/traces", "x-tenant=acme,authorization=Basic%20canary%0Aof"),
    ],
    ids=["user", "no scheme", "query", "header", "second header"],
)
async def test_no_secret_of_the_collectors_is_told(endpoint, headers, opened, sink, monkeypatch):
    """
    Why spans are lost repeats neither user and query of its address nor what headers show it.
    """
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": headers,
    }
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    async with opened(environ) as traces:
        traces.put((CLIENT,))
    (line,) = sink.lines()

    assert line["event"] == "traces.lost"
    assert "***" in line["reason"]
    assert b"canary" not in sink.raw


async def test_without_a_collector_there_are_no_traces(opened):
    """
    Nothing is opened.
    """
    async with opened() as traces:
        assert traces is None


URL = parse_url("http://localhost:4318/v1/traces")


@pytest.mark.parametrize(
    ("endpoint", "environ", "told"),
    [
        pytest.param(None, {}, False, id="nothing said"),
        pytest.param(URL, {}, True, id="by the file"),
        pytest.param(URL, {"OTEL_TRACES_EXPORTER": "none"}, True, id="the file before"),
        pytest.param(URL, {"OTEL_SDK_DISABLED": "true"}, False, id="but for the switch"),
        pytest.param(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True, id="environment"),
        pytest.param(None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, True, id="traces"),
        pytest.param(
            None,
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"},
            False,
            id="no exporter",
        ),
        pytest.param("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False, id="off"),
    ],
)
def test_who_says_whether_there_is_a_collector(endpoint, environ, told):
    """
    proxy.yaml, else the environment as OpenTelemetry defines it.
    """
    assert wanted(Settings.model_construct(otlp_endpoint=endpoint), environ) is told

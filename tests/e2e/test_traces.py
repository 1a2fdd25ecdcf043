"""
Traces of the whole proxy, as a collector on a real socket gets them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import proxy
from tests.e2e.conftest import at_once, change, only, proxy_by
from tests.observe.collector import Collector, attributes

ROOT = str(Path(proxy.__file__).parent.parent)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
STATE = {"tracestate": "vendor=1", "baggage": "user=7"}


@pytest.fixture
async def collector():
    """
    A collector that takes everything.
    """
    async with Collector() as collector:
        yield collector


def sampling(collector, share):
    """
    Return an edit that has this share of requests told to the collector.
    """

    def edit(document):
        document["traces"] = {"otlp_endpoint": collector.url, "sample": share}

    return edit


async def test_a_mint_is_a_trace_that_the_requests_waiting_for_it_are_linked_to(
    collector, config, secrets, session, sandbox
):
    """
    One mint for a burst: a root of its own, that every request which waited has a link to; the one
    that came later has none. No secret is in any of it.
    """

    def edit(document):
        only("reporter")(document)
        sampling(collector, 1.0)(document)

    sandbox.faults.set("token-slow")
    async with proxy_by(change(config, edit), secrets, session) as through:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(at_once(through, "/orders/42?access_token=canary", 4))
            await through.waiting(4)
            sandbox.faults.clear("token-slow")
        burst = asked.result()
        late = await through("GET", "/orders/42")
        assert {each.status for each in (*burst, late)} == {200}
    (mint,) = collector.named("mint reporter")
    servers = collector.named("GET orders")
    by_id = {attributes(each)["authproxy.request_id"]: each for each in servers}

    assert not mint.parent_span_id
    assert attributes(mint)["authproxy.outcome"] == "minted"
    for reply in burst:
        span = by_id[reply.headers["X-Request-Id"]]
        assert [link.span_id for link in span.links] == [mint.span_id]
        assert [link.trace_id for link in span.links] == [mint.trace_id]
        assert span.trace_id != mint.trace_id
        assert attributes(span)["authproxy.token"] == "minted"
    assert len(by_id[late.headers["X-Request-Id"]].links) == 0
    assert secrets.absent_from(collector.raw)
    assert b"canary" not in collector.raw


async def test_the_upstream_is_asked_as_part_of_the_callers_trace(
    collector, config, secrets, session, sandbox
):
    """
    Caller → proxy → request upstream, one below the other; state and baggage go up as they came,
    and so does nothing of it where the caller does not record.
    """
    async with proxy_by(change(config, sampling(collector, 0.0)), secrets, session) as through:
        told = await through(
            "GET", "/orders/42", headers={"traceparent": f"00-{TRACE}-{SPAN}-01", **STATE}
        )
        untold = await through(
            "GET", "/orders/42", headers={"traceparent": f"00-{TRACE}-{SPAN}-00", **STATE}
        )
        unknown = await through("GET", "/orders/42")
        assert {told.status, untold.status, unknown.status} == {200}
        lines = [await through.log.done(each) for each in (told, untold, unknown)]
    (server,) = collector.named("GET orders")
    (client,) = collector.named("GET")
    hits = [{name.lower(): value for name, value in hit.headers} for hit in sandbox.hits]

    assert server.trace_id == client.trace_id == bytes.fromhex(TRACE)
    assert server.parent_span_id == bytes.fromhex(SPAN)
    assert client.parent_span_id == server.span_id
    assert hits[0]["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert hits[1]["traceparent"] == f"00-{TRACE}-{SPAN}-00"
    assert [lines[0]["trace_id"], lines[1]["trace_id"]] == [TRACE, TRACE]
    assert hits[2]["traceparent"].split("-")[1] == lines[2]["trace_id"]
    assert hits[2]["traceparent"].endswith("-00")
    for hit in hits[:2]:
        assert (hit["tracestate"], hit["baggage"]) == ("vendor=1", "user=7")


async def test_traces_and_the_audit_trail_are_kept_at_once(
    collector, config, secrets, session, tmp_path
):
    """
    A request is recorded and told of, once each.
    """

    def edit(document):
        sampling(collector, 1.0)(document)
        document["audit"] = {"to": str(tmp_path / "audit.jsonl")}

    async with proxy_by(change(config, edit), secrets, session) as through:
        assert (await through("GET", "/orders/42")).status == 200

    assert (tmp_path / "audit.jsonl").read_bytes().count(b"\n") == 1
    assert len(collector.named("GET orders")) == 1


async def test_a_collector_that_is_down_costs_no_request_anything(config, secrets, session, relay):
    """
    Requests are served as ever, and the log says at the end that spans were lost.
    """

    def edit(document):
        document["traces"] = {"otlp_endpoint": f"{relay.url}/v1/traces", "sample": 1.0}

    async with proxy_by(change(config, edit), secrets, session) as through:
        assert (await through("GET", "/orders/42")).status == 200
    (line,) = through.log.events("traces.lost")

    assert line["spans"] >= 2
    assert line["level"] == "warning"


@pytest.fixture
def without(tmp_path):
    """
    A PYTHONPATH by which OpenTelemetry is not installed, and whose file tells that it was looked for.
    """
    folder = tmp_path / "without" / "opentelemetry"
    folder.mkdir(parents=True)
    asked = tmp_path / "asked"
    (folder / "__init__.py").write_text(
        f"open({str(asked)!r}, 'w').close()\nraise ImportError('not installed')\n"
    )
    return f"{folder.parent}:{ROOT}", asked


async def test_without_traces_nothing_of_opentelemetry_is_imported(running, config, without):
    """
    The whole proxy serves without it, and does not even look for it.
    """
    path, asked = without
    through = await running("--config", str(config), PYTHONPATH=path)

    assert (await through("GET", "/orders/42")).status == 200
    assert not asked.exists()


async def test_traces_without_opentelemetry_are_a_problem_of_the_file(spawned, edit, without):
    """
    `check` names the line, and what to install.
    """
    path, asked = without
    config = edit(lambda it: it.update(traces={"otlp_endpoint": "http://127.0.0.1:4318/v1/traces"}))
    process = await spawned("check", "--config", str(config), PYTHONPATH=path)

    assert await process.end() == 2
    said = (process.out + process.err).decode()
    assert "traces.otlp_endpoint  needs OpenTelemetry, which is not installed" in said
    assert "install zitadel-authproxy[otel]" in said
    assert asked.exists()


async def test_an_environment_that_asks_in_vain_is_told(spawned, config, without):
    """
    A collector's address put into every container's environment is no reason not to start.
    """
    path, _ = without
    environ = {"PYTHONPATH": path, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    process = await spawned("run", "--config", str(config), logs=True, **environ)

    line = await process.log.wait("traces.unavailable")
    assert "zitadel-authproxy[otel]" in line["reason"]
    await process.log.wait("proxy.started")
    assert await process.stop() == 0

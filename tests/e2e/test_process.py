"""
The process: start, signals, end.
"""

from __future__ import annotations

import asyncio
import signal

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_request_in_flight_ends_well_when_the_process_is_told_to(
    sandbox, config, running, number
):
    """
    After SIGTERM or Ctrl-C nothing new is accepted, what is under way is answered, the code is 0.
    """
    through = await running("--config", str(config))
    assert (await through("GET", "/orders/1")).status == 200
    sandbox.faults.set("backend-slow")

    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        asked = group.create_task(through("GET", "/orders/2"))
        await sandbox.hits.until(2)
        through.process.signal(number)
        while (await through("GET", through.admin + "/readyz")).status == 200:
            pass  # each turn is a request: it is seen as soon as the signal is
        host, _, port = through.url.removeprefix("http://").rpartition(":")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(host, int(port))
        sandbox.faults.clear()

    assert asked.result().status == 200
    assert asked.result().json["id"] == "2"
    assert asked.result().headers["Connection"] == "close"
    assert await through.process.end() == 0
    assert [record["path"] for record in through.log.events("request.done")] == [
        "/orders/1",
        "/orders/2",
    ]


async def test_the_last_line_says_that_the_proxy_has_stopped(sandbox, config, running):
    """
    proxy.stopped comes after the lines of all requests.
    """
    through = await running("--config", str(config))
    sandbox.faults.set("backend-slow")
    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        _ = group.create_task(through("GET", "/orders/1"))
        await sandbox.hits.until(1)
        through.process.signal(signal.SIGTERM)
        sandbox.faults.clear()

    assert await through.process.end() == 0
    assert through.log.records[-1]["event"] == "proxy.stopped"


async def test_idle_connections_do_not_delay_the_end(config, running):
    """
    A caller that keeps its connection open between requests does not keep the process alive.
    """
    through = await running("--config", str(config))
    host, _, port = through.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b'"reporter"}')
        assert await through.process.stop() == 0
        assert await reader.read() == b""
    writer.close()


async def test_the_log_is_json_lines_with_the_contracts_keys(config, running):
    """
    Every line of standard output is one JSON object; a request's line has all keys promised.
    """
    through = await running("--config", str(config))
    reply = await through("GET", "/orders/1?q=not-to-be-logged")

    assert reply.status == 200
    line = await through.log.wait("request.done")
    promised = (
        "timestamp level request_id trace_id client caller method path route service_user upstream "
        "status upstream_status error token replayed bytes_in bytes_out duration_ms token_ms upstream_ms"
    )
    assert set(promised.split()) <= line.keys()
    assert line["bytes_out"] == len(reply.body)
    assert reply.headers["X-Request-Id"] == line["request_id"]
    assert b"not-to-be-logged" not in through.log.raw
    assert through.log.records[0].keys() >= {"timestamp", "level", "event", "listen", "admin"}


async def test_settings_worth_a_warning_are_said_in_the_log(config, running, edit):
    """
    What is allowed but doubtful is a config.warning with its place, and the proxy serves.
    """
    edit(lambda document: document["service_users"]["provisioner"].update(scopes=["openid"]))

    through = await running("--config", str(config))

    warned = await through.log.wait("config.warning")
    assert warned["level"] == "warning"
    assert "urn:zitadel:iam:org:project:id:zitadel:aud" in warned["problem"]
    assert (await through("GET", "/orders/1")).status == 200


async def test_several_listeners_serve_the_same_routes(sandbox, config, running, edit):
    """
    Each listener has its port in the first line, and all of them serve.
    """
    edit(
        lambda document: document.update(
            listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}]
        )
    )

    through = await running("--config", str(config))

    addresses = through.log.records[0]["listen"]
    assert len(set(addresses)) == 2
    for address in addresses:
        assert (await through("GET", f"http://{address}/orders/1")).status == 200
    assert sandbox.hits.total == 2

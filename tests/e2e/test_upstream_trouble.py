"""
Upstreams that are down, break off, or show a certificate nobody signed.
"""

from __future__ import annotations

import asyncio

import pytest

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox


def to(url, **more):
    """
    Return an edit that sends /orders/ elsewhere.
    """

    def edit(document):
        route = next(each for each in document["routes"] if each["name"] == "orders")
        route.update(upstream=url, **more)

    return edit


async def test_an_upstream_that_is_down(serve, relay):
    """
    Nobody there: 502 upstream_connect at once; the log says why, the answer does not say where.
    """
    through = await serve(to(relay.url))

    reply = await through("GET", "/orders/1")

    assert (reply.status, reply.code) == (502, "upstream_connect")
    assert reply.json["request_id"] == reply.headers["X-Request-Id"]
    assert reply.headers["Proxy-Status"].startswith("authproxy; error=destination_unavailable")
    assert str(relay.port).encode() not in reply.body
    line = await through.log.done(reply)
    assert line["error"].startswith("upstream_connect: no connection to the upstream")
    assert (line["status"], line["upstream_status"], line["upstream"]) == (502, None, relay.url)
    assert (await through("GET", "/echo")).status == 200


async def test_an_upstream_that_comes_back(sandbox, serve, relay):
    """
    Nothing is remembered of an upstream that was down.
    """
    through = await serve(to(relay.url))
    assert (await through("GET", "/orders/1")).code == "upstream_connect"

    await relay.open(sandbox.backend_url)

    assert (await through("GET", "/orders/1")).status == 200


async def test_an_upstream_that_breaks_off(sandbox, through):
    """
    A connection closed without an answer is 502 upstream_closed; the next request is served.
    """
    sandbox.faults.set("backend-close", times=1)

    reply = await through("POST", "/orders/")

    assert (reply.status, reply.code) == (502, "upstream_closed")
    assert (await through("GET", "/orders/1")).status == 200


async def test_an_upstream_that_does_not_answer_in_time(sandbox, serve):
    """
    A route's response timeout ends the wait with 504 upstream_timeout.
    """
    sandbox.faults.set("backend-slow")
    through = await serve(to(sandbox.backend_url, timeouts={"response": "100ms"}))

    reply = await through("GET", "/orders/1")

    assert (reply.status, reply.code) == (504, "upstream_timeout")


@pytest.fixture
async def secure(keys, server_tls):
    """
    A sandbox whose backend speaks TLS with a certificate of the test's own authority.
    """
    async with Sandbox(SandboxOptions(keys=keys, backend_tls=server_tls)) as sandbox:
        yield sandbox


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_an_untrusted_certificate_is_refused(sandbox, secure, serve, host):
    """
    No token is shown to an upstream whose certificate nobody vouches for.
    """
    port = secure.backend_url.rpartition(":")[2]
    through = await serve(to(f"https://{host}:{port}"))

    reply = await through("GET", "/orders/1")

    assert (reply.status, reply.code) == (502, "upstream_connect")
    assert "certificate" in (await through.log.done(reply))["error"]
    assert secure.hits.total == 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_routes_authority_is_trusted(secure, serve, ca_file, host):
    """
    With the authority in the route's ca_file the same upstream is served.
    """
    port = secure.backend_url.rpartition(":")[2]
    through = await serve(to(f"https://{host}:{port}", ca_file=ca_file))

    reply = await through("GET", "/orders/1")

    # the token is the other sandbox's: that this backend refuses it shows that it was reached
    assert (reply.status, reply.code) == (401, None)
    assert secure.hits[-1].values("host") == [f"{host}:{port}"]


async def test_a_certificate_for_another_name_is_refused(secure, serve, ca_file):
    """
    A trusted authority does not make a certificate good for a name that is not in it.
    """
    port = secure.backend_url.rpartition(":")[2]
    through = await serve(to(f"https://[::1]:{port}", ca_file=ca_file))

    assert (await through("GET", "/orders/1")).code == "upstream_connect"
    assert secure.hits.total == 0


async def test_a_caller_that_leaves_ends_the_upstream_request(sandbox, through):
    """
    Who hangs up is logged as 499 and leaves no request behind.
    """
    sandbox.faults.set("backend-slow")
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = group.create_task(through("GET", "/orders/1"))
        await sandbox.hits.until(1)
        asked.cancel()
        line = await through.log.wait("request.done", path="/orders/1")

    assert (line["status"], line["error"]) == (499, "caller_left")

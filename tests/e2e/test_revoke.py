"""
The kill switch: a service user's tokens taken away from a running proxy, and given back.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import WSMsgType

ORDERS, DEV = "/orders/42", "/dev/auth/v1/users/me"
STREAM = "/sse?count=100000&interval=0.05"


async def change(through, name, what, **options):
    """
    Ask the admin listener for a change; return status and body.
    """
    reply = await through("POST", f"{through.admin}/service-users/{name}/{what}", **options)
    return reply.status, reply.body.decode()


async def condition(through, name):
    """
    Return how a service user fares, by /status.json.
    """
    users = (await through("GET", f"{through.admin}/status.json")).json["service_users"]
    return next(user["condition"] for user in users if user["name"] == name)


@pytest.fixture
async def through(running, config):
    """
    The real process, every token minted.
    """
    made = await running("--config", str(config))
    for user in ("provisioner", "reporter"):
        await made.log.wait("token.minted", service_user=user)
    return made


@pytest.mark.parametrize(("path", "user"), [(ORDERS, "reporter"), (DEV, "dev")])
async def test_a_revoked_service_user_gets_nothing_until_it_is_allowed(
    through, sandbox, secrets, path, user
):
    """
    Its requests are 503 and never sent, no token is asked for; others go on; allow undoes it.
    """
    assert (await through("GET", path)).status == 200
    hits, mints = sandbox.hits.total, sandbox.mints.requests

    status, told = await change(through, user, "revoke")

    assert status == 200
    assert json.loads(told) == {
        "service_user": user,
        "condition": "revoked",
        "requests_ended": 0,
    }
    for _ in range(3):
        reply = await through("GET", path)
        assert (reply.status, reply.code) == (503, "credential_invalid")
        line = await through.log.done(reply)
        assert line["error"] == "credential_invalid: revoked by an operator"
    assert (sandbox.hits.total, sandbox.mints.requests) == (hits, mints)
    assert (await through("GET", "/management/v1/orgs/me")).status == 200

    assert await condition(through, user) == "revoked"
    ready = await through("GET", f"{through.admin}/readyz?verbose")
    assert ready.status == 200  # the others' work goes on
    assert f"[-] {user} revoked: revoked by an operator\n" in ready.body.decode()
    metrics = (await through("GET", f"{through.admin}/metrics")).body
    assert f'authproxy_service_user_revoked{{service_user="{user}"}} 1.0'.encode() in metrics
    told_event = await through.log.wait("service_user.revoked", service_user=user)
    assert told_event["level"] == "warning"
    assert told_event["who"].startswith("127.0.0.1:")

    assert (await change(through, user, "allow"))[0] == 200
    if user != "dev":
        await sandbox.mints.until(mints + 1)  # without anybody having asked
    assert (await through("GET", path)).status == 200
    assert await condition(through, user) == "ready"
    assert (await through.log.wait("service_user.allowed"))["level"] == "info"
    secrets.check(through, ready.body, metrics, told.encode())


async def test_a_mint_under_way_brings_nothing(running, config, sandbox):
    """
    Who waits for a token is answered 503 though the issuer gave one, and it is not used later.
    """
    sandbox.faults.set("token-slow")
    through = await running("--config", str(config))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asked = group.create_task(through("GET", ORDERS))
        await sandbox.mints.until(2)
        assert (await change(through, "reporter", "revoke"))[0] == 200
        assert (await change(through, "reporter", "allow"))[0] == 200
        assert (await change(through, "reporter", "revoke"))[0] == 200
        sandbox.faults.clear("token-slow")

    assert asked.result().code == "credential_invalid"
    assert sandbox.hits.total == 0
    assert await condition(through, "reporter") == "revoked"


async def test_open_responses_end_by_themselves_or_are_cut(through, session):
    """
    A stream goes on unless the operator says cut; then it breaks off, and the log says why.
    """
    async with session.get(through.url + STREAM) as response:
        await response.content.readuntil(b"\n\n")
        assert (await change(through, "reporter", "revoke"))[0] == 200
        for _ in range(5):
            await response.content.readuntil(b"\n\n")

        status, told = await change(through, "reporter", "revoke?streams=cut")
        assert (status, json.loads(told)["requests_ended"]) == (200, 1)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with asyncio.timeout(20):
                await response.content.read()

    line = await through.log.wait("request.done", path="/sse")
    assert line["status"] == 200
    assert line["error"] == "credential_invalid: revoked by an operator"


async def test_what_goes_on_as_somebody_else_is_not_cut(through, session):
    """
    Only the revoked service user's.
    """
    async with session.get(through.url + STREAM) as response:
        await response.content.readuntil(b"\n\n")
        status, told = await change(through, "provisioner", "revoke?streams=cut")
        assert (status, json.loads(told)["requests_ended"]) == (200, 0)
        for _ in range(5):
            await response.content.readuntil(b"\n\n")


async def test_a_websocket_is_cut_with_a_goodbye(serve, sandbox, session, secrets):
    """
    Both ends read a close frame, 1001.
    """
    ended: asyncio.Queue[int | None] = asyncio.Queue()

    async def echo(request):
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        ended.put_nowait(socket.close_code)
        return socket

    app = aiohttp.web.Application()
    app.router.add_get("/ws", echo)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    there = "http://{}:{}".format(*runner.addresses[0])
    route = {"name": "ws", "match": {"path": "/ws"}, "upstream": there, "service_user": "reporter"}
    through = await serve(lambda document: document["routes"].append(route))
    through.admin = f"http://{through.runtime.admin}"

    async with asyncio.timeout(20), session.ws_connect(f"{through.url}/ws") as socket:
        await socket.send_str("a")
        assert await socket.receive_str() == "a"
        status, told = await change(through, "reporter", "revoke?streams=cut")
        assert (status, json.loads(told)["requests_ended"]) == (200, 1)
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        assert await ended.get() == 1001
    line = await through.log.wait("request.done", status=101)
    assert line["error"] == "credential_invalid: revoked by an operator"
    await runner.cleanup()


async def test_what_has_not_been_sent_yet_never_is(serve, sandbox, relay):
    """
    A request that bears a token and waits for its upstream's connection ends with the revocation,
    cut or not.
    """
    blocked = {"connections": 1}
    through = await serve(lambda document: document.update(pools=blocked))
    through.admin = f"http://{through.runtime.admin}"
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        first = group.create_task(through("GET", "/slow?seconds=2"))
        await sandbox.hits.until(1)
        second = group.create_task(through("GET", ORDERS))
        pool = through.runtime._gateway.generation.pools
        while not any(each.state().waiting for each in pool):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        status, told = await change(through, "reporter", "revoke")
        assert (status, json.loads(told)["requests_ended"]) == (200, 1)

    assert second.result().code == "credential_invalid"
    assert first.result().status == 200
    assert sandbox.hits.total == 1


@pytest.mark.parametrize(
    ("name", "what", "status", "said"),
    [
        ("nobody", "revoke", 404, "there are: dev, provisioner, reporter"),
        ("nobody", "allow", 404, "there are: dev, provisioner, reporter"),
        ("dev", "revoke?streams=all", 400, "streams is none of cut and end"),
        ("..%2f..%2fetc", "revoke", 404, ""),
    ],
)
async def test_what_cannot_be_done_is_said(serve, name, what, status, said):
    """
    An unknown name or word changes nothing.
    """
    through = await serve()
    through.admin = f"http://{through.runtime.admin}"

    answer = await change(through, name, what)

    assert answer[0] == status
    assert said in answer[1]
    assert not through.log.events("service_user.revoked")

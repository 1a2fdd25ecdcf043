"""
What signals do to a process that serves: it ends, hands over, reads its files again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from urllib.parse import urlsplit

import pytest
from aiohttp import WSCloseCode, WSMsgType, web

from tests.e2e.load import Load

CALLERS = 24


def load_on(url, tls=None):
    """
    Return callers of the proxy at this URL.
    """
    where = urlsplit(url)
    return Load(where.hostname, where.port, tls)


def start(load):
    """
    Let callers of all kinds begin.
    """
    load.start(CALLERS)
    load.start(4, lasting=False)
    load.start(2, version="1.0")


@pytest.fixture
def trusting(authority):
    """
    A caller's TLS settings that trust the test's authority.
    """
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_sigterm_under_load_fails_no_request(config, running):
    """
    Whoever was connected is answered, and told that the connection ends.
    """
    through = await running("--config", str(config))
    load = load_on(through.url)
    start(load)
    await load.more(400)
    load.refusable = True
    through.process.signal(signal.SIGTERM)
    await load.all_done()

    assert load.failures == []
    assert load.closes >= CALLERS
    assert await through.process.end() == 0
    done = through.log.events("request.done")
    assert len(done) == load.done


async def test_sigterm_under_load_fails_no_request_over_tls(
    config, running, edit, key_file, trusting
):
    """
    The same with TLS, whose handshakes may be under way.
    """
    edit(lambda document: document.update(listen=[{"address": "127.0.0.1:0", "tls": key_file}]))
    through = await running("--config", str(config))
    load = load_on(through.url, trusting)
    start(load)
    await load.more(200)
    load.refusable = True
    through.process.signal(signal.SIGTERM)
    await load.all_done()

    assert load.failures == []
    assert load.closes >= CALLERS
    assert await through.process.end() == 0


async def test_websockets_are_told_that_the_proxy_goes_away(config, running, edit, session):
    """
    A WebSocket is closed with 1001, at both ends, and does not keep the process for its grace.
    """
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def echo(request):
        upstream = web.WebSocketResponse()
        await upstream.prepare(request)
        async for message in upstream:
            await upstream.send_str(message.data)
        codes.put_nowait(upstream.close_code)
        return upstream

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    edit(
        lambda document: document["routes"].append(
            {
                "name": "ws",
                "match": {"path": "/ws"},
                "upstream": f"http://{host}:{port}",
                "service_user": "reporter",
            }
        )
    )
    through = await running("--config", str(config))
    async with asyncio.timeout(20), session.ws_connect(f"{through.url}/ws") as caller:
        await caller.send_str("hello")
        assert await caller.receive_str() == "hello"
        through.process.signal(signal.SIGTERM)
        message = await caller.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)
        assert await codes.get() == WSCloseCode.GOING_AWAY
    assert await through.process.end() == 0
    await runner.cleanup()


async def test_unready_before_it_stops_accepting(config, running, edit):
    """
    For `shutdown.delay` it says that it is not ready, and serves whoever comes.
    """
    edit(lambda document: document.update(shutdown={"delay": "1s", "grace": "5s"}))
    through = await running("--config", str(config))
    load = load_on(through.url)
    through.process.signal(signal.SIGTERM)
    while (await through("GET", through.admin + "/readyz")).status == 200:
        pass  # each turn is a request: it is seen as soon as the signal is
    load.start(2, lasting=False)
    await load.more(10)
    load.refusable = True
    await load.all_done()

    assert load.failures == []
    assert await through.process.end() == 0


async def test_a_second_sigterm_ends_at_once(sandbox, config, running, spawned):
    """
    Whoever cannot wait for what is in flight says so once more; the code is 1.
    """
    process = await spawned("run", "--config", str(config), logs=True)
    first = await process.log.wait("proxy.started")
    sandbox.faults.set("backend-slow")
    host, _, port = first["listen"][0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: x\r\n\r\n")
    await sandbox.hits.until(1)
    process.signal(signal.SIGTERM)
    await process.log.wait("proxy.draining")
    process.signal(signal.SIGTERM)

    assert await process.end() == 1
    assert await reader.read() == b""
    assert not process.log.events("proxy.stopped")
    writer.close()


@contextlib.asynccontextmanager
async def handed_over(through):
    """
    Have the process hand over and wait for its end; in the end, end the new one.
    """
    through.process.signal(signal.SIGUSR2)
    pid = (await through.log.wait("proxy.handed_over"))["pid"]
    try:
        await through.log.wait("proxy.stopped")
        async with asyncio.timeout(10):
            while through.process.running:  # noqa: ASYNC110 - its output goes on: nobody tells
                await asyncio.sleep(0)
        yield
    finally:
        os.kill(pid, signal.SIGTERM)
    assert await through.process.end() == 0
    assert len(through.log.events("proxy.stopped")) == 2


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_hot_restart_under_load_fails_no_request(
    encrypted, config, running, edit, key_file, trusting
):
    """
    Another process takes over the sockets; nobody is refused, reset or left waiting.
    """
    if encrypted:
        edit(lambda document: document.update(listen=[{"address": "127.0.0.1:0", "tls": key_file}]))
    through = await running("--config", str(config))
    load = load_on(through.url, trusting if encrypted else None)
    start(load)
    await load.more(200)
    async with handed_over(through):
        await load.more(200)
        assert (await through("GET", through.admin + "/readyz")).status == 200
        await load.stop()

        assert load.failures == []
        assert through.log.events("proxy.took_over")
        starts = through.log.events("proxy.started")
        assert starts[0]["listen"] == starts[1]["listen"]


async def test_who_is_revoked_stays_so_through_a_hot_restart(config, running):
    """
    The new process is told whom an operator has revoked; and it can be undone there.
    """
    through = await running("--config", str(config))
    place = through.admin + "/service-users/reporter"
    assert (await through("POST", place + "/revoke")).status == 200
    async with handed_over(through):
        assert (await through("GET", "/orders/1")).code == "credential_invalid"
        assert (await through("GET", "/management/v1/orgs/me")).status == 200
        assert (await through("POST", place + "/allow")).status == 200
        assert (await through("GET", "/orders/1")).status == 200


async def test_a_hot_restart_leaves_unix_sockets_in_place(config, running, edit, tmp_path):
    """
    The file of a socket that is handed over stays, until the last process ends.
    """
    path = tmp_path / "proxy.sock"
    edit(
        lambda document: document.update(
            listen=[{"address": "127.0.0.1:0"}, {"address": f"unix:{path}"}]
        )
    )
    through = await running("--config", str(config))
    load = Load(str(path), 0)
    start(load)
    await load.more(100)
    async with handed_over(through):
        await load.more(100)
        await load.stop()
        assert load.failures == []
    assert not path.exists()


async def test_a_hand_over_that_fails_changes_nothing(config, spawned, session, tmp_path, edit):
    """
    With a configuration that cannot be used the running process goes on, and says why.
    """
    path = tmp_path / "proxy.sock"
    edit(lambda document: document["listen"].append({"address": f"unix:{path}"}))
    process = await spawned("run", "--config", str(config), logs=True)
    first = await process.log.wait("proxy.started")
    load = load_on(f"http://{first['listen'][0]}")
    start(load)
    await load.more(50)
    edit(lambda document: document.update(nonsense=True))
    process.signal(signal.SIGUSR2)
    process.signal(signal.SIGUSR2)
    failed = await process.log.wait("proxy.handover_failed")
    assert "configuration" in failed["reason"]
    await load.more(50)
    await load.stop()

    assert load.failures == []
    assert len(process.log.events("proxy.handing_over")) == 1
    over_unix = Load(str(path), 0)
    over_unix.start(1)
    await over_unix.more(1)
    await over_unix.stop()
    assert over_unix.failures == []
    assert await process.stop() == 0
    assert b"nonsense" in process.err


async def test_a_taken_over_socket_is_left_alone_by_who_fails_later(
    config, spawned, tmp_path, edit
):
    """
    A new process that dies after it has taken the sockets takes none of their files along.
    """
    path = tmp_path / "proxy.sock"
    edit(lambda document: document.update(listen=[{"address": f"unix:{path}"}]))
    process = await spawned("run", "--config", str(config), logs=True)
    await process.log.wait("proxy.started")
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    edit(lambda document: document["listen"].append({"address": f"127.0.0.1:{port}"}))
    process.signal(signal.SIGUSR2)
    await process.log.wait("proxy.handover_failed")

    load = Load(str(path), 0)
    load.start(1)
    await load.more(1)
    await load.stop()
    assert load.failures == []
    assert await process.stop() == 0
    taken.close()


async def test_sigterm_calls_a_hand_over_off(config, spawned):
    """
    Told to end while another process is being started, both end, with code 0.
    """
    process = await spawned("run", "--config", str(config), logs=True)
    await process.log.wait("proxy.started")
    process.signal(signal.SIGUSR2)
    await process.log.wait("proxy.handing_over")
    process.signal(signal.SIGTERM)

    assert await process.end() == 0  # it reads to the end of what both of them write
    failed = process.log.events("proxy.handover_failed")
    assert [line["reason"] for line in failed] == ["this process was told to end"]
    assert not process.log.events("proxy.handed_over")

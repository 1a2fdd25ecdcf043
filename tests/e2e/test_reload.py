"""
The configuration read again while callers are served: nobody notices but by what was changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import ssl
from collections import Counter
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from proxy.tasks import spawn
from tests.e2e.conftest import PATIENCE, only
from tests.e2e.load import Load

RELOADS = 100


@pytest.fixture
def reloaded(edit):
    """
    Edit the file, and have it read again.
    """

    async def reload(through, how, outcome="reloaded"):
        edit(how)
        done = await through.runtime.reload("request")
        assert done.outcome == outcome, done.problems
        return done

    return reload


async def until(reached):
    """
    Wait until something is so that nobody tells.
    """
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def one_by_one(through, most):
    """
    Return whether so few retired generations are left.
    """
    return lambda: through.runtime.succession.retired <= most


def open_files():
    """
    Count this process's file descriptors.
    """
    return len(list(Path("/proc/self/fd").iterdir()))


def orders(document):
    """
    Return the route of that name.
    """
    return next(each for each in document["routes"] if each["name"] == "orders")


class Line:
    """
    One connection of a caller, by hand.
    """

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data):
        """
        Send bytes.
        """
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        """
        Return the next answer's status; None if the connection has ended instead.
        """
        async with asyncio.timeout(PATIENCE):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            lines = head.lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:"))
            self.body = await self.reader.readexactly(int(length.partition(b":")[2]))
            return int(lines[0].split()[1])

    async def get(self, path, *headers):
        """
        Send a request and return the answer's status, as `answer`.
        """
        fields = "".join(f"{header}\r\n" for header in headers)
        with contextlib.suppress(ConnectionError):
            await self.send(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n".encode())
        return await self.answer()


@pytest.fixture
async def line():
    """
    Connect to a port of this host.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def connect(port, tls=None):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            stack.callback(writer.close)
            return Line(reader, writer)

        yield connect


def free_port():
    """
    Return a port nobody listens on.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def other(turn):
    """
    Return the edit of a turn: another route, limit, caller or pool each time.
    """

    def edit(document):
        only("reporter")(document)
        document["limits"] = {"idle_time": f"{60 + turn}s"}
        route = {**orders(document), "name": "more", "match": {"path": f"/more-{turn}"}}
        if turn % 2:
            document["routes"].append(route)
        if turn % 3 == 0:
            document["callers"] = {"job": {"api_key_sha256": f"{turn:064x}"}}
        if turn % 5 == 0:
            document["pools"] = {"idle": f"{60 + turn}s"}

    return edit


async def test_reloads_under_load_fail_no_request(sandbox, config, serve):
    """
    Callers that keep their connections and callers that do not are all answered; nobody mints again,
    and of the old generations nothing is left.
    """
    through = await serve(only("reporter"))
    document = yaml.safe_load(config.read_text())
    load = Load("127.0.0.1", through.port)
    load.start(6)
    load.start(2, lasting=False)
    await load.more(20)
    before = open_files()
    for turn in range(RELOADS):
        fresh = yaml.safe_load(yaml.safe_dump(document))
        other(turn)(fresh)
        config.write_text(yaml.safe_dump(fresh))
        done = await through.runtime.reload("request")
        assert done.outcome == "reloaded", done.problems
    assert through.runtime.reloader.last.generation == RELOADS + 1
    await load.more(20)
    await until(one_by_one(through, 0))
    await until(lambda: not through.runtime.succession._tasks)
    after = open_files()
    await load.stop()

    assert load.failures == []
    assert sandbox.mints.count() == 1
    names = Counter(task.get_name() for task in asyncio.all_tasks())
    assert (names["keeper"], names["credentials"], names["reload"]) == (1, 1, 0)
    assert after <= before + 16  # two ends of each caller's connection, and of the upstream's


@pytest.fixture
async def talking():
    """
    An upstream that streams, as told, and echoes on WebSockets.
    """
    events: asyncio.Queue[bytes] = asyncio.Queue()

    async def stream(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while event := await events.get():
            await response.write(event)
        return response

    async def echo(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/stream", stream)
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", events
    await runner.cleanup()


async def test_streams_outlive_reloads(serve, reloaded, talking):
    """
    An event stream and a WebSocket go on though their pool passes through two generations and is
    dropped by the third.
    """
    url, events = talking

    def streams(document):
        only("reporter")(document)
        orders(document).update(upstream=url, match={"path": "/"})

    through = await serve(streams)
    async with (
        through.session.get(through.url + "/stream") as response,
        through.session.ws_connect(through.url + "/ws") as ws,
    ):
        for turn, how in enumerate(
            (
                lambda document: document.update(limits={"head": "9KiB"}),
                lambda document: document.update(pools={"idle": "7s"}),
                lambda document: document.update(pools={"idle": "8s"}),
            )
        ):
            await reloaded(through, how)
            await until(one_by_one(through, 1))  # the second one has begun no request
            events.put_nowait(b"data: %d\n\n" % turn)
            assert await response.content.readany() == b"data: %d\n\n" % turn
            await ws.send_str(f"turn {turn}")
            assert await ws.receive_str(timeout=PATIENCE) == f"turn {turn}"
        events.put_nowait(b"")
        assert await response.content.read() == b""
    await until(one_by_one(through, 0))


async def test_streams_of_a_user_that_is_no_more_can_be_cut(serve, reloaded, talking):
    """
    A service user that a reload has taken away can still be revoked as long as its streams go on.
    """
    url, _ = talking
    through = await serve(only("reporter"))

    def streams(document):
        orders(document).update(upstream=url, match={"path": "/"})

    await reloaded(through, streams)
    place = f"http://{through.runtime.admin}/service-users/reporter/revoke?streams=cut"
    async with through.session.ws_connect(through.url + "/ws") as ws:
        await reloaded(through, renamed)
        reply = await through("POST", place)
        assert (await ws.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.CLOSE
    assert reply.json == {"service_user": "reporter", "condition": "removed", "requests_ended": 1}
    assert (await through("POST", place)).status == 404


def renamed(document):
    """
    Call the reporter something else.
    """
    users = document["service_users"]
    users["other"] = users.pop("reporter")
    for route in document["routes"]:
        route["service_user"] = "other"


async def test_a_connection_that_stays_sees_what_is_new(serve, reloaded, line):
    """
    Routes, callers and conditions on headers hold from the next request on, of any connection.
    """
    through = await serve(only("reporter"))
    kept = await line(through.port)
    assert await kept.get("/orders/1") == 200
    await reloaded(through, lambda document: orders(document)["match"].update(path="/orders/2"))
    assert await kept.get("/orders/1") == 404
    assert await kept.get("/orders/2") == 200
    match = {"path": "/orders/2", "headers": {"x-for": "this"}}
    await reloaded(through, lambda document: orders(document).update(match=match))
    assert await kept.get("/orders/2") == 404
    assert await kept.get("/orders/2", "X-For: this") == 200
    digest = "0" * 64
    await reloaded(
        through,
        lambda document: document.update(
            callers={"job": {"api_key_sha256": digest}},
            listen=[{"address": "127.0.0.1:0", "callers": ["job"]}],
        ),
    )

    assert await kept.get("/orders/2", "X-For: this") in {401, 403, 407}


async def test_a_slow_upload_keeps_what_it_began_with(sandbox, serve, reloaded, line):
    """
    A request whose body is on its way goes where it was going, though its route is gone.
    """
    through = await serve(only("reporter"))
    kept = await line(through.port)
    await kept.send(b"POST /orders/1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nfirst")
    await until(lambda: through.runtime.metrics.active == 1)
    await reloaded(through, lambda document: orders(document)["match"].update(path="/gone"))
    await until(one_by_one(through, 1))
    await kept.send(b"later")

    assert await kept.answer() == 200
    assert sandbox.hits[-1].path.startswith("/orders/1")
    assert await kept.get("/orders/1") == 404
    await until(one_by_one(through, 0))


async def test_a_bad_file_changes_nothing_until_it_is_mended(config, serve, session):
    """
    All its problems are told, the metric says so, what serves goes on; once mended nothing is left of it.
    """
    through = await serve(only("reporter"))
    good = config.read_text()
    admin = f"http://{through.runtime.admin}"
    config.write_text(good.replace("version: 1", "version: 1\nnonsense: 1\nlimits: {head: never}"))
    refused = await through("POST", admin + "/reload")

    assert refused.status == 422
    told = await through.log.wait("config.rejected")
    for what in ("nonsense", "limits.head"):
        assert what in str(told["problems"])
        assert what.encode() in refused.body
    assert (await through("GET", "/orders/1")).status == 200
    assert "authproxy_config_last_reload_successful 0" in await scraped(through, admin)
    config.write_text(good)
    assert (await through("POST", admin + "/reload")).json["outcome"] == "unchanged"
    assert "authproxy_config_last_reload_successful 1" in await scraped(through, admin)
    assert through.runtime.reloader.last.problems == ()


async def scraped(through, admin):
    """
    Return the metrics' text.
    """
    return (await through("GET", admin + "/metrics")).body.decode()


async def test_what_cannot_be_had_leaves_all_as_it_was(serve, reloaded):
    """
    A listener on an address in use refuses the whole: the route beside it is not served, the listener
    before it is closed again, and the keeper goes on.
    """
    through = await serve(only("reporter"))
    keeper = through.runtime._gateway.generation.keeper
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        extra = free_port()
        ports = (extra, taken.getsockname()[1])

        def how(document):
            document["listen"] = ["127.0.0.1:0", *(f"127.0.0.1:{port}" for port in ports)]
            document["listen"] = [{"address": each} for each in document["listen"]]
            orders(document)["match"]["path"] = "/other"

        assert (await through("GET", "/orders/1")).status == 200
        before = open_files()
        done = await reloaded(through, how, "rejected")
        after = open_files()

    assert "listen[2]" in done.problems[0]
    assert "in use" in done.problems[0]
    assert (await through("GET", "/orders/1")).status == 200
    assert through.runtime._gateway.generation.keeper is keeper
    assert keeper.at_rest is False
    assert len(through.runtime.addresses) == 1
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", extra)):
        pass
    assert after <= before


async def test_listeners_come_and_go(serve, reloaded, line):
    """
    A new listener serves, the others go on; one that is removed takes nobody more, and who is still
    connected there gets nothing of it.
    """
    through = await serve(only("reporter"))
    port = free_port()
    first = await line(through.port)

    def two(document):
        document["listen"] = [{"address": "127.0.0.1:0"}, {"address": f"127.0.0.1:{port}"}]

    await reloaded(through, two)
    second = await line(port)
    assert await second.get("/orders/1") == 200
    assert await first.get("/orders/1") == 200
    await reloaded(through, lambda document: document["listen"].pop())

    assert await second.get("/orders/1") in {None, 401}
    assert await first.get("/orders/1") == 200
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await line(port)
    await until(lambda: len(through.runtime._connections) == 1)
    await reloaded(through, two)
    assert await (await line(port)).get("/orders/1") == 200


async def test_tls_is_switched_on_where_it_was_plain(
    serve, reloaded, line, key_file, authority, session
):
    """
    The address stays open: who was connected is served once more at most, who comes speaks TLS.
    """
    port = free_port()

    def plain(document):
        only("reporter")(document)
        document["listen"] = [{"address": f"127.0.0.1:{port}"}]

    through = await serve(plain)
    kept = await line(port)
    assert await kept.get("/orders/1") == 200
    await reloaded(through, lambda document: document["listen"][0].update(tls=key_file))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    assert await (await line(port, trusting)).get("/orders/1") == 200
    assert await kept.get("/orders/1") in {200, None}
    assert await kept.get("/orders/1") is None
    await reloaded(through, lambda document: document["listen"][0].pop("tls"))
    assert await (await line(port)).get("/orders/1") == 200


async def test_the_admin_listener_moves_with_its_keys(serve, edit, session):
    """
    Whoever asks for the reload that moves it is answered still; from then on it is elsewhere, and
    asks for the new key; and once the key is gone from the file, it is asked for no more.
    """
    through = await serve(only("reporter"))
    before = f"http://{through.runtime.admin}"
    port = free_port()
    digest = sha256(b"letmein").hexdigest()
    edit(lambda document: document.update(admin=f"127.0.0.1:{port}", admin_key_sha256=digest))
    reply = await through("POST", before + "/reload")

    assert reply.json["outcome"] == "reloaded"
    assert through.runtime.admin == f"127.0.0.1:{port}"
    assert (await through("GET", f"http://127.0.0.1:{port}/livez")).status == 200
    async with aiohttp.ClientSession() as fresh:
        await until(lambda: not through.runtime._administration._tasks)
        with pytest.raises(aiohttp.ClientConnectorError):
            await fresh.get(before + "/livez")
    status = f"http://127.0.0.1:{port}/status.json"
    shown = {"headers": {"Authorization": "Bearer letmein"}}
    assert (await through("GET", status)).status == 401
    assert (await through("GET", status, **shown)).status == 200
    edit(lambda document: document.pop("admin_key_sha256"))
    assert (await through("POST", f"http://127.0.0.1:{port}/reload")).status == 401
    assert (await through("POST", f"http://127.0.0.1:{port}/reload", **shown)).status == 200
    assert (await through("GET", status)).status == 200


async def test_the_audit_trail_is_switched_on_and_off(serve, reloaded, config):
    """
    From the reload on requests are recorded, in another file after another one, and no more after
    the one that says so.
    """
    through = await serve(only("reporter"))
    first, second = config.parent / "first.jsonl", config.parent / "second.jsonl"

    async def ask(audit):
        await reloaded(through, lambda document: document.update(audit=audit))
        assert (await through("GET", "/orders/1")).status == 200

    await ask({"to": str(first)})
    await ask({"to": str(second)})
    await ask({"to": "off"})

    for trail in (first, second):
        (line,) = trail.read_text().splitlines()
        assert json.loads(line)["service_user"] == "reporter"


async def test_an_exchange_under_way_gets_the_token_it_waited_for(sandbox, serve, reloaded):
    """
    A request that waits while its service user becomes another one goes out with the token it asked
    for, never with the other's; the next one goes out with the other's.
    """
    through = await serve(only("reporter"))
    sandbox.faults.set("token-slow", value=0.3)
    waiting = spawn(set(), through("GET", "/orders/1"), name="caller")
    await through.waiting(1)
    generation = through.runtime._gateway.generation
    slot = generation.keeper.slot("reporter")

    def how(document):
        document["service_users"]["reporter"]["scopes"] = ["openid", "email"]

    await reloaded(through, how)
    sandbox.faults.clear("token-slow")
    assert (await waiting).status == 200
    first = sandbox.hits[-1].bearer
    assert slot.token.value == first
    now = through.runtime._gateway.generation.keeper.slot("reporter")
    assert (await through("GET", "/orders/1")).status == 200
    assert sandbox.hits[-1].bearer == now.token.value
    assert sandbox.hits[-1].bearer != first


async def test_signals_and_changed_files_are_heeded_by_a_process(config, running, edit):
    """
    SIGHUP has the file read; a change of it does so by itself; in between nothing is lost.
    """
    through = await running("--config", str(config))
    load = Load("127.0.0.1", int(through.url.rpartition(":")[2]))
    load.start(4)
    await load.more(20)
    through.process.signal(signal.SIGHUP)
    assert await through.log.wait("config.unchanged", trigger="signal")
    edit(lambda document: document.update(limits={"head": "9KiB"}))
    done = await through.log.wait("config.reloaded")
    assert done["changes"] == ["limits: changed (head)"]
    edit(lambda document: document.update(limits={"head": "10KiB"}))
    through.process.signal(signal.SIGHUP)
    assert (await through.log.wait("config.reloaded", generation=3))["trigger"] == "signal"
    await load.more(20)
    await load.stop()

    assert load.failures == []

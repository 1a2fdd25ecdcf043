"""
The admin listener.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from proxy.admin.answer import HEADERS
from proxy.admin.guard import Guard
from proxy.admin.reloads import Reload, Trigger
from proxy.admin.server import Admin
from proxy.config.network import TcpAddress, UnixAddress
from proxy.tokens.state import Condition, UserState


def state(name: str, condition: Condition, error: str = "") -> UserState:
    """
    Return a service user's state as a keeper tells it.
    """
    return UserState(
        name=name, issuer="zitadel", method="private_key_jwt", required=True, condition=condition,
        fingerprint="", age=None, expires_in=None, renews_in=None, last_error=error, mints=0, failures=0,
    )  # fmt: skip


class FakeKeeper:
    """
    Says what a test tells it to.
    """

    def __init__(self) -> None:
        self.is_ready = True
        self.users = [state("provisioner", "ready")]

    def ready(self) -> bool:
        """
        Say whether all is well.
        """
        return self.is_ready

    def states(self) -> list[UserState]:
        """
        Return the states.
        """
        return self.users


class FakeReloads:
    """
    Comes to what a test says.
    """

    def __init__(self) -> None:
        self.origin = "proxy.yaml"
        self.last = Reload(1, 1_800_000_000.0, "start", "started")
        self.coming = Reload(
            2, 1_800_000_100.0, "request", "reloaded", changes=("routes: removed down",)
        )

    async def reload(self, trigger: Trigger) -> Reload:
        """
        Let it come to that.
        """
        self.last = replace(self.coming, trigger=trigger)
        return self.last


@pytest.fixture
async def admin():
    """
    A listening admin application, its keeper, and whether it drains.
    """
    keeper, flags = FakeKeeper(), SimpleNamespace(draining=False)
    generation: Any = SimpleNamespace(keeper=keeper)
    reloads = FakeReloads()
    server = Admin(lambda: generation, lambda: flags.draining, reloads=reloads)
    await server.start(TcpAddress("127.0.0.1", 0))
    async with aiohttp.ClientSession(f"http://{server.address}") as client:
        yield SimpleNamespace(
            client=client, keeper=keeper, flags=flags, reloads=reloads, server=server
        )
    await server.stop()


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    """
    Return status and text.
    """
    async with client.get(path) as response:
        return response.status, await response.text()


async def test_alive_is_all_it_takes_to_be_live(admin):
    """
    Liveness asks nothing of issuers: a restart would not cure them.
    """
    admin.keeper.is_ready = False

    assert await get(admin.client, "/livez") == (200, "ok\n")


async def test_ready_is_who_has_its_tokens(admin):
    """
    Without a required token the proxy is not ready, and verbose says whose and why.
    """
    assert await get(admin.client, "/readyz") == (200, "ok\n")

    admin.keeper.is_ready = False
    admin.keeper.users.append(state("reporter", "failing", "the client secret is wrong"))

    assert await get(admin.client, "/readyz?verbose") == (
        503,
        "[+] provisioner ready\n[-] reporter failing: the client secret is wrong\nnot ready\n",
    )


async def test_a_proxy_on_its_way_down_is_not_ready(admin):
    """
    So that nothing new is sent to it.
    """
    admin.flags.draining = True

    assert (await get(admin.client, "/readyz"))[0] == 503


async def test_status_tells_each_user(admin):
    """
    As JSON, with the fields of the keeper's own state.
    """
    async with admin.client.get("/status.json") as response:
        told = await response.json()

    assert told["ready"] is True
    assert [user["name"] for user in told["service_users"]] == ["provisioner"]


async def test_a_unix_socket_is_for_its_group(tmp_path):
    """
    Mode 0660, whatever the umask.
    """
    generation: Any = SimpleNamespace(keeper=FakeKeeper())
    server = Admin(lambda: generation, lambda: False)
    path = tmp_path / "admin.sock"
    await server.start(UnixAddress(path))

    assert path.stat().st_mode & 0o777 == 0o660
    await server.stop()


@pytest.mark.parametrize("given", [False, True], ids=["opened", "given"])
async def test_the_file_of_a_socket_outlives_its_server(tmp_path, given):
    """
    Another process may listen on it by then, which got it from this one. Some versions of Python
    remove the file unless they are told not to, on their own loop.
    """
    path = tmp_path / "admin.sock"
    generation: Any = SimpleNamespace(keeper=FakeKeeper())
    server = Admin(lambda: generation, lambda: False)
    sock = socket.socket(socket.AF_UNIX) if given else None
    if sock is not None:
        sock.bind(str(path))
    await server.start(UnixAddress(path), sock)
    await server.stop()

    assert path.is_socket()


async def test_one_who_is_not_ready_can_be_left_out(admin):
    """
    As a load balancer may want that knows which user matters to it; several, too, and no typing error
    makes the proxy ready.
    """
    admin.keeper.is_ready = False
    admin.keeper.users += [state("reporter", "failing", "no"), state("billing", "cold")]

    assert (await get(admin.client, "/readyz?exclude=reporter"))[0] == 503
    assert (await get(admin.client, "/readyz?exclude=reporter&exclude=billing"))[0] == 200
    assert await get(admin.client, "/startupz?exclude=reporte&exclude=billing&verbose") == (
        503,
        (
            "[+] provisioner ready\n[-] reporter failing: no\n[-] billing cold (left out)\n"
            "[?] a name to be left out is none of a service user\nnot ready\n"
        ),
    )
    admin.flags.draining = True
    assert (await get(admin.client, "/readyz?exclude=reporter&exclude=billing"))[0] == 503


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/startupz", "/status", "/status.json", "/nowhere"]
)
async def test_head_answers_as_get_does(admin, path):
    """
    With the same status and length, and without the body; and all of it is protected alike.
    """
    async with admin.client.get(path) as got:
        body = await got.read()
    async with admin.client.head(path) as response:
        assert await response.read() == b""
        assert response.status == got.status
        assert int(response.headers["Content-Length"]) == len(body)
        for name in HEADERS:
            assert name in response.headers
        assert response.headers["Cache-Control"] == "no-store"


async def test_what_is_not_there_is_answered_with_what_is(admin):
    """
    404, and each page with its method; a wrong method is 405.
    """
    status, text = await get(admin.client, "/nowhere")
    async with admin.client.get("/reload") as response:
        assert response.status == 405
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    assert status == 404
    assert "GET  /status.json\n" in text
    assert "POST /reload\n" in text
    assert "HEAD" not in text


async def test_what_is_no_http_is_quoted_in_no_log(admin, capfd):
    """
    A request with a key in it that cannot be parsed is answered 400, and no log repeats it.
    """
    host, _, port = admin.server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2\x00\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert "hunter2" not in "".join(capfd.readouterr())


async def test_the_root_leads_to_the_page(admin):
    """
    So that the address alone is enough to remember.
    """
    async with admin.client.get("/", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/status")


async def test_a_reload_says_what_came_of_it(admin):
    """
    200 with the changes, 422 with the problems.
    """
    async with admin.client.post("/reload") as response:
        assert response.status == 200
        assert await response.json() == {
            "outcome": "reloaded",
            "generation": 2,
            "changes": ["routes: removed down"],
            "problems": [],
            "warnings": [],
        }
    assert admin.reloads.last.trigger == "request"
    admin.reloads.coming = Reload(2, 0.0, "request", "rejected", problems=("proxy.yaml:1:1 no",))
    async with admin.client.post("/reload") as response:
        assert response.status == 422
        assert (await response.json())["problems"] == ["proxy.yaml:1:1 no"]


async def test_who_may_ask_can_change_while_it_listens(admin):
    """
    As a reload does: the next request is judged by the new guard.
    """
    assert (await get(admin.client, "/status.json"))[0] == 200
    admin.server.guard = Guard((sha256(b"new").digest(),))

    assert (await get(admin.client, "/status.json"))[0] == 401


@pytest.mark.parametrize("place", ["tcp", "unix"])
async def test_an_inherited_socket_is_listened_on(tmp_path, place):
    """
    Its file stays as it is; and it can be handed on.
    """
    path = tmp_path / "admin.sock"
    family = socket.AF_INET if place == "tcp" else socket.AF_UNIX
    inherited = socket.socket(family)
    inherited.bind(("127.0.0.1", 0) if place == "tcp" else str(path))
    inherited.listen()
    path_mode = path.stat().st_mode if place == "unix" else 0
    address = TcpAddress("127.0.0.1", 9090) if place == "tcp" else UnixAddress(path)
    generation: Any = SimpleNamespace(keeper=FakeKeeper())
    server = Admin(lambda: generation, lambda: False)
    assert server.sockets() == ()

    await server.start(address, inherited)
    (listening,) = server.sockets()
    assert listening.getsockname() == inherited.getsockname()
    if place == "tcp":
        async with aiohttp.ClientSession(f"http://{server.address}") as client:
            assert (await get(client, "/livez"))[0] == 200
    else:
        assert path.stat().st_mode == path_mode
    await server.stop()
    inherited.close()

"""
The admin listener.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

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


@pytest.fixture
async def admin():
    """
    A listening admin application, its keeper, and whether it drains.
    """
    keeper, flags = FakeKeeper(), SimpleNamespace(draining=False)
    generation: Any = SimpleNamespace(keeper=keeper)
    server = Admin(lambda: generation, lambda: flags.draining)
    await server.start(TcpAddress("127.0.0.1", 0))
    async with aiohttp.ClientSession(f"http://{server.address}") as client:
        yield SimpleNamespace(client=client, keeper=keeper, flags=flags)
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

"""
Metrics over HTTP, and what is looked up for them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin.reading import read
from proxy.admin.server import Admin
from proxy.config.network import TcpAddress
from proxy.core.credential import ClientSecret, FixedToken
from proxy.core.secret import Secret
from proxy.observe.exposition import PLAIN, Exposition
from proxy.observe.metrics import Metrics
from proxy.observe.reading import Reading, UpstreamReading
from proxy.wire.pool import PoolState

WALL = 1_800_000_000.0


@pytest.fixture
async def client():
    """
    A client of an admin application that tells metrics.
    """
    nothing: Any = SimpleNamespace()
    server = Admin(lambda: nothing, lambda: False, Exposition(Metrics(), Reading).text)
    await server.start(TcpAddress("127.0.0.1", 0))
    async with aiohttp.ClientSession(f"http://{server.address}") as session:
        yield session
    await server.stop()


async def test_metrics_are_text_for_prometheus(client):
    """
    In the format its own parser reads.
    """
    async with client.get("/metrics") as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"] == PLAIN
    assert {"http_server_active_requests", "authproxy_build_info"} <= {
        family.name for family in text_string_to_metric_families(text)
    }


async def test_metrics_are_open_metrics_for_who_asks(client):
    """
    Content negotiation by `Accept`.
    """
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with client.get("/metrics", headers=accept) as response:
        text = await response.text()

    assert response.headers["Content-Type"].startswith(
        "application/openmetrics-text; version=1.0.0"
    )
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("POST", 405), ("DELETE", 405), ("OPTIONS", 405)]
)
async def test_metrics_are_only_read(client, method, status):
    """
    HEAD answers as GET would, without the text; all else is refused.
    """
    async with client.request(method, "/metrics") as response:
        body = await response.read()

    assert response.status == status
    if method == "HEAD":
        assert int(response.headers["Content-Length"]) > 1000
        assert body == b""


async def test_a_nonsensical_accept_gets_the_plain_format(client):
    """
    Whatever is in that header, it neither fails nor comes back.
    """
    accept = {"Accept": "application/openmetrics-text; version=x; escaping=<script>"}
    async with client.get("/metrics", headers=accept) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == PLAIN


def user(
    name: str, credential: Any, expires_in: float | None, condition: str = "ready"
) -> tuple[str, Any, Any]:
    """
    Return a service user's name, slot and state.
    """
    state = SimpleNamespace(
        name=name, method=credential.method, expires_in=expires_in, condition=condition
    )
    return name, SimpleNamespace(credential=credential), state


def generation(users: list[tuple[str, Any, Any]], lanes: list[Any]) -> Any:
    """
    Return as much of a generation as is looked at.
    """
    slots = {name: slot for name, slot, _ in users}
    return SimpleNamespace(
        keeper=SimpleNamespace(
            states=lambda: tuple(state for *_, state in users),
            slot=slots.__getitem__,
            resting=lambda: {"zitadel": True},
        ),
        table=SimpleNamespace(routes=[SimpleNamespace(action=lane) for lane in lanes]),
    )


def test_expiries_and_troubles_are_told_where_they_are_known():
    """
    A client secret has no end, a key or a personal access token may have one; a token used on while
    renewing fails and an issuer left alone show.
    """
    value = Secret("a")
    looked_at = generation(
        [
            user("reporter", ClientSecret("id", value), 299.7, "stale"),
            user("dev", FixedToken(value, WALL + 900), 895.0),
            user("endless", FixedToken(value), None),
        ],
        [],
    )

    reading = read(looked_at, WALL)

    assert reading.token_expiry == {"reporter": WALL + 300, "dev": WALL + 895}
    assert reading.credential_expiry == {"dev": WALL + 900}
    assert reading.minting == ("reporter",)
    assert reading.token_stale == {"reporter": True}
    assert reading.issuer_resting == {"zitadel": True}


def lane(address: str, pool: Any) -> Any:
    """
    Return a lane to an upstream.
    """
    return SimpleNamespace(metrics=SimpleNamespace(server_address=address), pool=pool)


class FakePool:
    """
    A pool in this state.
    """

    def __init__(self, state: PoolState) -> None:
        self._state = state

    def state(self) -> PoolState:
        """
        Return how it fares.
        """
        return self._state


def test_a_pool_of_two_routes_counts_once():
    """
    Connections are added up per upstream, however many routes lead there.
    """
    shared = FakePool(PoolState(open=3, idle=1, connecting=1, waiting=2, resting=0.0))
    other = FakePool(PoolState(open=1, idle=1, connecting=0, waiting=0, resting=1.5))

    reading = read(generation([], [lane("a", shared), lane("a", shared), lane("a", other)]), WALL)

    assert reading.upstreams == {"a": UpstreamReading(2, 2, 1, 2, resting=True)}

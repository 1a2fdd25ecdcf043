"""
Who may ask the admin listener, and who may change something.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from proxy.admin.guard import CHALLENGES, KEY, PAGE, Guard
from proxy.admin.server import Admin
from proxy.config.network import TcpAddress

KEYS = tuple(sha256(key.encode()).digest() for key in ("old-key", "new-key"))
GOOD = {"Authorization": "Bearer new-key"}
CHANGES = ("/service-users/dev/revoke", "/service-users/dev/allow")


class FakeSwitch:
    """
    Notes what it is asked to do.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def names(self) -> tuple[str, ...]:
        """
        Return the one service user.
        """
        return ("dev",)

    async def revoke(self, name: str, who: str, *, cut: bool) -> int:
        """
        Note it.
        """
        self.done.append(("revoke", name, who.partition(":")[0], str(cut)))
        return 0

    def allow(self, name: str, who: str) -> None:
        """
        Note it.
        """
        self.done.append(("allow", name, who.partition(":")[0]))


@asynccontextmanager
async def listening(guard: Guard):
    """
    Yield a client of an admin listener with this guard, and its switch.
    """
    state = SimpleNamespace(condition="revoked", name="dev", last_error="", required=True)
    keeper = SimpleNamespace(ready=lambda: True, states=lambda: [state], state=lambda _: state)
    generation: Any = SimpleNamespace(keeper=keeper)
    switch: Any = FakeSwitch()
    server = Admin(lambda: generation, lambda: False, switch=switch, guard=guard)
    await server.start(TcpAddress("127.0.0.1", 0))
    try:
        async with aiohttp.ClientSession(f"http://{server.address}") as client:
            yield client, switch
    finally:
        await server.stop()


async def ask(client, method, path, **headers):
    """
    Return status and text.
    """
    async with client.request(method, path, headers=headers) as response:
        return response.status, await response.text()


async def test_a_change_needs_nothing_but_a_post_on_loopback():
    """
    Curl -X POST is enough, without a body or its type.
    """
    async with listening(Guard()) as (client, switch):
        assert (await ask(client, "POST", CHANGES[0] + "?streams=cut"))[0] == 200
        assert (await ask(client, "POST", CHANGES[1]))[0] == 200

    assert switch.done == [("revoke", "dev", "127.0.0.1", "True"), ("allow", "dev", "127.0.0.1")]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_only_a_post_changes_anything(method, path):
    """
    A link, an image or a prefetch is a GET.
    """
    async with listening(Guard()) as (client, switch):
        assert (await ask(client, method, path))[0] == 405

    assert switch.done == []


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", **GOOD},
    ],
    ids=str,
)
async def test_no_web_page_changes_anything(path, headers):
    """
    Through an operator's browser, even where that knows the key.
    """
    async with listening(Guard(KEYS)) as (client, switch):
        status, text = await ask(client, "POST", path, **(GOOD | headers))

    assert (status, text) == (403, "requests of web pages are refused\n")
    assert switch.done == []


@pytest.mark.parametrize("path", CHANGES)
async def test_other_machines_change_nothing_without_a_key(path):
    """
    Where they can connect and no key is set, the answer says what to set; reading goes on.
    """
    async with listening(Guard(local=False)) as (client, switch):
        status, text = await ask(client, "POST", path)
        assert (await ask(client, "GET", "/readyz?verbose"))[0] == 200

    assert status == 403
    assert "set admin_key_sha256" in text
    assert switch.done == []


@pytest.mark.parametrize("local", [True, False])
async def test_a_key_opens_what_it_is_set_for(local):
    """
    Any of the keys, as a Bearer or as a browser sends it after asking; without one only what
    orchestrators ask answers.
    """
    basic = {"Authorization": f"Basic {b64encode(b'anybody:old-key').decode()}"}
    async with listening(Guard(KEYS, local=local)) as (client, switch):
        for headers in (GOOD, basic):
            assert (await ask(client, "POST", CHANGES[0], **headers))[0] == 200
        for path in ("/livez", "/readyz", "/startupz"):
            assert (await ask(client, "GET", path))[0] == 200
        status, text = await ask(client, "GET", "/readyz?verbose")
        assert (status, "dev" in text) == (200, False)
        assert "dev revoked" in (await ask(client, "GET", "/readyz?verbose", **GOOD))[1]

    assert len(switch.done) == 2


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", "Bearer wrong", "Basic new-key", "new-key", "Bearer new-key2", "Bearer n\xe4",
        "Basic", "Basic !", "Basic " + b64encode(b"new-key").decode(), "Basic " + b64encode(b"new-key:").decode(),
        "Digest " + b64encode(b"a:new-key").decode(),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/status.json"), ("GET", "/metrics"), ("GET", "/none"), ("POST", CHANGES[0])],
)
async def test_without_the_key_nothing_is_told(method, path, value):
    """
    401 for all alike, there or not, and how to show a key.
    """
    async with (
        listening(Guard(KEYS)) as (client, switch),
        client.request(method, path, headers={"Authorization": value}) as response,
    ):
        text = await response.text()

    assert response.status == 401
    assert response.headers.getall("WWW-Authenticate") == list(CHALLENGES)
    assert text == KEY
    assert switch.done == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example.com"},
        {"Origin": "http://evil.example.com"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "a b"},
    ],
    ids=str,
)
async def test_no_web_page_reads_what_is_open_to_this_machine(headers):
    """
    Not even one whose name was rebound to it; what orchestrators ask stays open.
    """
    async with listening(Guard()) as (client, _):
        async with client.get("/readyz?verbose", headers=headers) as response:
            assert response.status == 200
        async with client.get("/status.json", headers=headers) as response:
            assert (response.status, await response.text()) == (403, PAGE)


@pytest.mark.parametrize("host", ["127.0.0.1:9090", "localhost", "[::1]:9090", "gateway.internal"])
async def test_this_machine_reads(host):
    """
    By address, and by names no page can have.
    """
    async with (
        listening(Guard()) as (client, _),
        client.get("/no-such-page", headers={"Host": host}) as response,
    ):
        assert response.status == 404


OWN = "http://127.0.0.1:9090"
PAGES = [
    pytest.param(
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, id="cross site"
    ),
    pytest.param(
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-site"}, id="other port"
    ),
    pytest.param({"Origin": "http://localhost:9090"}, id="other name of this machine"),
    pytest.param({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, id="null"),
    pytest.param({"Origin": "null"}, id="null alone"),
    pytest.param({"Origin": ""}, id="empty"),
    pytest.param({"Origin": "https://127.0.0.1:9090"}, id="https by an old browser"),
    pytest.param({"Origin": f"{OWN}/"}, id="no origin"),
    pytest.param({"Origin": OWN, "Sec-Fetch-Site": "none"}, id="typed, which no POST is"),
    pytest.param({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, id="contradiction"),
    pytest.param({"Origin": "http://evil.com", "Host": "evil.com"}, id="rebound"),
    pytest.param(
        {
            "Origin": "http://evil.com:9090",
            "Host": "evil.com:9090",
            "Sec-Fetch-Site": "same-origin",
        },
        id="rebound, sure of itself",
    ),
    pytest.param(
        {
            "Origin": "https://evil.example",
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Mode": "navigate",
        },
        id="form",
    ),
]


@pytest.mark.parametrize("headers", PAGES)
async def test_no_page_but_our_own_changes_anything(headers):
    """
    Whatever it says of itself: only a request from this very origin, under a name that nobody owns.
    """
    async with listening(Guard()) as (client, switch):
        sent = {"Host": "127.0.0.1:9090", **headers}
        assert await ask(client, "POST", CHANGES[0], **sent) == (403, PAGE)

    assert switch.done == []


@pytest.mark.parametrize(
    ("headers", "guard"),
    [
        ({"Host": "127.0.0.1:9090", "Origin": OWN, "Sec-Fetch-Site": "same-origin"}, Guard()),
        ({"Host": "localhost:9090", "Origin": "http://localhost:9090"}, Guard()),
        (
            {"Host": "ops.acme.com", "Origin": "http://ops.acme.com", **GOOD},
            Guard(KEYS, local=False),
        ),
        (
            {
                "Host": "ops.acme.com",
                "Origin": "https://ops.acme.com",
                "Sec-Fetch-Site": "same-origin",
                **GOOD,
            },
            Guard(KEYS, local=False),
        ),
    ],
    ids=["status page", "older browser", "with a key", "behind TLS"],
)
async def test_our_own_page_changes_things(headers, guard):
    """
    Its Origin is the Host it came by.
    """
    async with listening(guard) as (client, switch):
        assert (await ask(client, "POST", CHANGES[1], **headers))[0] == 200

    assert switch.done == [("allow", "dev", "127.0.0.1")]


async def test_a_key_that_a_browser_adds_by_itself_opens_nothing_for_other_pages():
    """
    HTTP Basic is added by browsers to whatever goes to the origin: a form of another page too.
    """
    basic = {"Authorization": f"Basic {b64encode(b':new-key').decode()}"}
    async with listening(Guard(KEYS, local=False)) as (client, switch):
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert await ask(client, "POST", CHANGES[0], **basic, **foreign) == (403, PAGE)

    assert switch.done == []


async def test_a_page_with_two_hosts_is_refused():
    """
    Which one the Origin must equal is not guessed at.
    """
    async with listening(Guard()) as (client, switch):
        reader, writer = await asyncio.open_connection(client._base_url.host, client._base_url.port)
        head = (
            "POST /service-users/dev/revoke HTTP/1.1\r\nHost: a\r\nHost: b\r\nOrigin: http://a\r\n"
        )
        writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answer.split()[1] in (b"400", b"403")
    assert switch.done == []


async def test_an_empty_key_is_none():
    """
    Not even if somebody has made a digest of it.
    """
    async with listening(Guard((sha256(b"").digest(),))) as (client, _):
        assert (await ask(client, "GET", "/status.json"))[0] == 401
        assert (await ask(client, "GET", "/status.json", Authorization="Basic Og=="))[0] == 401

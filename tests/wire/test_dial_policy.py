"""
Where upstreams' names lead, judged before each dial: with real sockets on loopback, where
127.0.0.2 stands for a good address.
"""

from __future__ import annotations

import asyncio
import json
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config.model import Settings
from proxy.core.destination import Destination, listening
from proxy.errors import UpstreamConnect
from proxy.generation import compile_generation
from proxy.wire.dial import Dialler
from proxy.wire.local import is_local
from proxy.wire.resolve import KEPT, Resolver

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GOOD = "127.0.0.2"


class Names:
    """
    Name servers under somebody else's hand.
    """

    def __init__(self, *answer):
        self.answer = answer
        self.asked = 0

    async def __call__(self, _):
        """
        Answer what is to be believed at the moment.
        """
        self.asked += 1
        family = {False: socket.AF_INET, True: socket.AF_INET6}
        return [(family[":" in host], 1, 6, "", (host, 0)) for host in self.answer]


@pytest.fixture
def ports():
    """
    Open a listening socket per address, all at one port; return that port.
    """
    opened = []

    def listen(*hosts):
        port = 0
        for host in hosts:
            one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            opened.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
            one.listen(8)
            port = one.getsockname()[1]
        return port

    yield listen
    for one in opened:
        one.close()


@pytest.fixture
async def dialler(clock):
    """
    Make diallers for an upstream as a route would, with these name servers.
    """
    made: list[Dialler] = []

    def make(names, host="api.example", allowed=(), own=()):
        networks = tuple(map(ip_network, allowed))
        destination = Destination(host, networks, own, is_local)
        one = Dialler(
            Resolver(clock, names),
            clock,
            may_dial=lambda at: destination.refusal(at.ip, at.port) or True,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
    await asyncio.sleep(0)


async def peer(dialler, host, port):
    """
    Return where a dial ends.
    """
    with await dialler.dial(host, port) as sock:
        return sock.getpeername()[0]


async def test_a_name_rebound_to_loopback_is_denied_at_the_second_dial(ports, dialler, clock):
    """
    A name that led to a good address and now leads to this machine is not followed there.
    """
    port = ports(GOOD, "127.0.0.1")
    names = Names(GOOD)
    one = dialler(names, allowed=[f"{GOOD}/32"])
    assert await peer(one, "api.example", port) == GOOD

    names.answer = ("127.0.0.1",)
    clock.seconds += KEPT + 1
    with pytest.raises(UpstreamConnect, match="the name leads to loopback"):
        await one.dial("api.example", port)

    assert names.asked == 2


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0", "169.254.169.254"]
)
async def test_a_bad_address_beside_a_good_one_is_passed_over(bad, ports, dialler):
    """
    An answer that holds both leads to the good one, whichever comes first.
    """
    port = ports(GOOD)
    for answer in ((bad, GOOD), (GOOD, bad)):
        one = dialler(Names(*answer), allowed=[f"{GOOD}/32"])
        assert await peer(one, "api.example", port) == GOOD


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "127.0.0.1", "::1"])
async def test_an_upstream_that_says_loopback_gets_there(host, ports, dialler):
    """
    As a literal, and by the names that mean this machine.
    """
    port = ports("127.0.0.1", "::1")
    one = dialler(Names("127.0.0.1"), host)

    assert await peer(one, host, port) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("listener", ["127.0.0.1", "0.0.0.0", "localhost", "some.name"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_own_listener_is_not_dialled(listener, host, ports, dialler):
    """
    Even where loopback may be, and although somebody would answer.
    """
    port = ports("127.0.0.1")
    one = dialler(Names("127.0.0.1"), host, ["127.0.0.0/8"], listening(listener, port))

    with pytest.raises(UpstreamConnect, match="this proxy's own listener"):
        await one.dial(host, port)


def test_the_machine_knows_its_own_addresses():
    """
    Loopback and its own interfaces' are local; an address nobody here has is not.
    """
    assert is_local(ip_address("127.0.0.1"))
    assert not is_local(ip_address("192.0.2.1"))
    assert not is_local(ip_address("2001:db8::1"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return  # no network at all
        assert is_local(ip_address(sock.getsockname()[0]))


def test_an_address_there_is_no_way_to_is_nobodys_here():
    """
    An interface that is not there leads nowhere.
    """
    assert not is_local(ip_address("fe80::1%nowhere"))


def routes(*changes):
    """
    Return routes to one upstream by name.
    """
    return [
        {"name": f"r{at}", "match": {"path": f"/{at}"}, "upstream": "https://a.example", **change}
        for at, change in enumerate(changes)
    ]


def pools_of(*changes):
    """
    Return the pool of each route.
    """
    model = Settings.model_validate(
        {
            "version": 1,
            "issuers": {"z": {"url": "http://127.0.0.1:9"}},
            "service_users": {
                "u": {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
            },
            "routes": [{"service_user": "u", **route} for route in routes(*changes)],
        }
    )
    keeper: Any = SimpleNamespace(slot=lambda _: None)
    generation = compile_generation(model, Path(), keeper, via=b"")
    return [route.action.pool for route in generation.table.routes]


async def test_connections_are_shared_only_by_routes_that_permit_the_same():
    """
    What one route permits does not serve another; the order it is written in means nothing.
    """
    first, second, third, fourth = pools_of(
        {},
        {"allow_addresses": ["10.0.0.0/8", "169.254.1.0/24"]},
        {"allow_addresses": ["169.254.1.0/24", "10.0.0.0/8"]},
        {"allow_addresses": ["10.0.0.0/8"]},
    )

    assert second is third
    assert len({id(first), id(second), id(fourth)}) == 3


async def test_a_refusal_is_told_to_the_log_alone(call, proxy):
    """
    The caller learns that there is no connection; the log says what the name led to and what
    permits it; the upstream hears nothing.
    """
    name = {"upstream": "http://api.example:80", "allow_insecure": True}
    await proxy.start(routes=[{"name": "api", **name}])
    names = Names("169.254.169.254", "fe80::1")
    proxy.generation.pools[0]._dialler._resolver._lookup = names

    caller = await call(GET)
    head, body = await caller.message()
    record = await proxy.record()

    assert head.startswith(b"HTTP/1.1 502 ")
    problem = json.loads(body)
    assert problem["code"] == "upstream_connect"
    assert not any(word in head + body for word in (b"169", b"fe80", b"metadata", b"link-local"))
    assert record["status"] == 502
    assert record["error"] == (
        "upstream_connect: the upstream's address may not be dialled: the name leads to "
        "a cloud's metadata service; allow_addresses on the route permits it"
    )
    assert names.asked == 1


async def test_a_literal_is_judged_too(upstream, call, proxy):
    """
    An upstream that is written as an address nobody should dial is not dialled, but where the
    route permits it.
    """
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    anyones = {"upstream": f"http://0.0.0.0:{upstream.port}", "allow_insecure": True}
    await proxy.start(
        routes=[
            {"name": "a", "match": {"path": "/a"}, **anyones},
            {"name": "b", "match": {"path": "/b"}, **anyones, "allow_addresses": ["0.0.0.0/32"]},
        ]
    )
    caller = await call(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    refused = await caller.head()
    assert refused.startswith(b"HTTP/1.1 502 ")
    assert "it is an unspecified address" in (await proxy.record())["error"]
    assert upstream.seen == []

    other = await call(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await other.message())[1] == b"ok"


async def test_a_request_does_not_come_back_in(call, proxy, upstream):
    """
    A route to the proxy's own listener is refused before a connection is made.
    """
    await proxy.start(
        listen=[{"address": f"127.0.0.1:{upstream.port}"}],
        routes=[{"name": "loop", "upstream": f"http://localhost:{upstream.port}"}],
    )
    caller = await call(GET)
    head = await caller.head()

    assert head.startswith(b"HTTP/1.1 502 ")
    assert "this proxy's own listener" in (await proxy.record())["error"]
    assert upstream.connections == []

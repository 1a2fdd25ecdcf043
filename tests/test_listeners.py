"""
Listeners that come, go and change while others serve.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from proxy.config.load import load
from proxy.errors import ConfigError
from proxy.listeners import FAREWELLS, Listeners
from proxy.supervision.inheritance import Inherited
from proxy.tasks import spawn
from proxy.wire.limits import Limits

FILE = """\
version: 1
issuers:
  z: {{url: "https://acme.zitadel.cloud"}}
service_users:
  u: {{issuer: z, method: personal_access_token, token: {{env: PAT}}}}
routes:
  - {{name: one, upstream: "https://a.example", service_user: u}}
listen: [{listen}]
"""
PLAIN = '{{address: "{}"}}'


@pytest.fixture
def asks(tmp_path):
    """
    Return the configuration that asks for these listeners: addresses, or what stands in the file.
    """

    def make(*listen):
        path = tmp_path / "proxy.yaml"
        entries = (each if each.startswith("{") else PLAIN.format(each) for each in listen)
        path.write_text(FILE.format(listen=", ".join(entries)))
        return load(path, {"PAT": "canary"}, now=0.0)

    return make


@pytest.fixture
def tls(tmp_path):
    """
    Return an entry with TLS at an address.
    """
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    (tmp_path / "server.key").chmod(0o600)
    files = "{cert_file: server.pem, key_file: server.key}"
    return lambda address: f'{{address: "{address}", tls: {files}}}'


class Connected:
    """
    A connection to the listener of a number.

    Attributes:
        told: The number, each time it was asked to go.
    """

    def __init__(self, listener):
        self.listener = listener
        self.told: list[int] = []

    def drain(self):
        """
        Note it.
        """
        self.told.append(self.listener)


class Doors:
    """
    Listeners that close whatever connects to them.

    Attributes:
        connections: Every open connection, as tests put them there.
    """

    def __init__(self, inherited=None):
        self.connections: set[Any] = set()
        full = replace(Limits(), connections=-FAREWELLS)
        self.gateway: Any = SimpleNamespace(limits=full, wheel=None, now=None, roles=None)
        inherited = inherited or Inherited()
        self.listeners = Listeners(self.connections, inherited, lambda *_, **__: None)

    async def be(self, loaded):
        """
        Let the listeners be as asked for; return the plan.
        """
        plan = await self.listeners.plan(loaded, 1.0)
        await self.listeners.commit(plan, loaded, self.gateway)
        return plan

    def connected(self, number):
        """
        Let somebody be connected to a listener of this number.
        """
        caller = Connected(number)
        self.connections.add(caller)
        return caller

    @property
    def numbers(self):
        """
        The numbers of those that are open.
        """
        return [each.number for each in self.listeners.opened]

    @property
    def ports(self):
        """
        Their ports.
        """
        return [int(each.name.rpartition(":")[2]) for each in self.listeners.opened]


@pytest.fixture
async def doors():
    """
    Listeners; none yet.
    """
    doors = Doors()
    yield doors
    await doors.listeners.close()


def open_files():
    """
    Count this process's file descriptors.
    """
    return len(list(Path("/proc/self/fd").iterdir()))


async def met(port):
    """
    Say whether somebody accepts there.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(5):
            await reader.read()
    except ConnectionResetError:
        pass
    writer.close()
    return True


def free_port():
    """
    Return a port nobody listens on.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_what_stays_keeps_its_socket_and_number(doors, asks):
    """
    Whatever the order in the file: port 0 is the port it was, and the place goes with the number.
    """
    port = free_port()
    await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{port}"))
    first, second = doors.listeners.opened

    plan = await doors.be(asks(f"127.0.0.1:{port}", "127.0.0.1:0"))

    assert doors.listeners.opened == (second, first)
    assert plan.numbers == {0: 1, 1: 0}
    assert plan.new == ()
    assert [await met(each) for each in doors.ports] == [True, True]


async def test_one_more_and_one_less(doors, asks):
    """
    What is added serves, what is removed accepts nobody; its callers are asked to go, others not.
    """
    await doors.be(asks("127.0.0.1:0"))
    port = free_port()
    await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{port}"))
    assert await met(port)
    stays, goes = doors.connected(0), doors.connected(1)

    plan = await doors.be(asks("127.0.0.1:0"))

    assert not await met(port)
    assert await met(doors.ports[0])
    assert (stays.told, goes.told) == ([], [1])
    assert plan.numbers == {0: 0, 1: None}


async def test_a_number_is_given_again_once_nobody_bears_it(doors, asks):
    """
    A connection of a listener that is no more must not pass for one of another listener.
    """
    await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    caller = doors.connected(1)
    await doors.be(asks("127.0.0.1:0"))

    plan = await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    assert doors.numbers == [0, 2]
    assert plan.numbers == {0: 0, 1: None, 2: 1}

    doors.connections.remove(caller)
    await doors.be(asks("127.0.0.1:0"))
    await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    assert doors.numbers == [0, 1]


async def test_a_handshake_under_way_bears_its_number(doors, asks, tls):
    """
    Who has been accepted and has not finished its TLS handshake is of that listener already.
    """
    doors.gateway.limits = Limits()
    first = f"127.0.0.1:{free_port()}"
    await doors.be(asks(first, tls("127.0.0.1:0")))
    caller = doors.listeners._accept(1, met=False)
    await doors.be(asks(first))

    await doors.be(asks(first, f"127.0.0.1:{free_port()}"))

    assert caller.listener == 1
    assert doors.numbers == [0, 2]


@pytest.mark.parametrize("place", ["first", "last"])
async def test_what_cannot_be_had_changes_nothing(doors, asks, place):
    """
    An address in use is named, and nothing that was opened for the plan stays open.
    """
    await doors.be(asks("127.0.0.1:0"))
    before, files = doors.listeners.opened, open_files()
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        entries = [f"127.0.0.1:{port}", f"127.0.0.1:{taken.getsockname()[1]}"]
        if place == "first":
            entries.reverse()
        loaded = asks("127.0.0.1:0", *entries)
        with pytest.raises(ConfigError, match="in use"):
            await doors.listeners.plan(loaded, 1.0)

    assert doors.listeners.opened is before
    assert open_files() == files
    assert not await met(port)
    assert await met(doors.ports[0])


async def test_a_plan_that_is_discarded_leaves_nothing(doors, asks, tls, tmp_path):
    """
    New sockets are closed and their files gone; what was to take a socket over leaves it alone.
    """
    path = f"unix:{tmp_path}/s.sock"
    port = free_port()
    await doors.be(asks(f"127.0.0.1:{port}"))
    files = open_files()
    plan = await doors.listeners.plan(asks(tls(f"127.0.0.1:{port}"), path), 1.0)
    assert (tmp_path / "s.sock").exists()

    plan.discard(doors.listeners.opened)

    assert not (tmp_path / "s.sock").exists()
    assert open_files() == files
    assert await met(port)


async def test_what_was_planned_can_be_listened_on_later(doors, asks):
    """
    Nobody else can take the address between the plan and its use.
    """
    port = free_port()
    loaded = asks(f"127.0.0.1:{port}")
    plan = await doors.listeners.plan(loaded, 1.0)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))

    await doors.listeners.commit(plan, loaded, doors.gateway)
    assert await met(port)


async def test_other_tls_settings_take_the_socket_over(doors, asks, tls):
    """
    The port is never closed; the callers of before end with what they have in progress.
    """
    address = f"127.0.0.1:{free_port()}"
    await doors.be(asks(address))
    caller = doors.connected(0)

    plan = await doors.be(asks(tls(address)))

    assert doors.numbers == [1]
    assert plan.numbers == {0: 0, 1: 0}
    assert caller.told == [0]
    assert len(doors.listeners.certificates) == 1
    assert await met(doors.ports[0])


async def test_unix_sockets_come_stay_and_go(doors, asks, tls, tmp_path):
    """
    The file is there as long as somebody listens, through other TLS settings too.
    """
    path = tmp_path / "s.sock"
    await doors.be(asks(f"unix:{path}"))
    inode = path.stat().st_ino
    assert path.stat().st_mode & 0o777 == 0o660

    await doors.be(asks(tls(f"unix:{path}")))
    assert path.stat().st_ino == inode

    await doors.be(asks("127.0.0.1:0"))
    assert not path.exists()


async def test_a_socket_that_was_passed_is_used(asks):
    """
    A listener that a reload adds may find its socket there already.
    """
    with socket.create_server(("127.0.0.1", 0)) as passed:
        passed.setblocking(False)
        port = passed.getsockname()[1]
        doors = Doors(Inherited([("unknown", passed.dup())]))
        await doors.be(asks("127.0.0.1:0", f"127.0.0.1:{port}"))

        assert doors.ports[1] == port
        assert await met(port)
        await doors.listeners.close()


async def test_the_end_overtakes_a_change(asks, tmp_path):
    """
    A process that stops in the middle of a reload leaves nobody accepting, and no file.
    """
    doors = Doors()
    path = tmp_path / "s.sock"
    await doors.be(asks(f"unix:{path}"))
    port = free_port()
    loaded = asks(f"127.0.0.1:{port}")
    plan = await doors.listeners.plan(loaded, 1.0)

    commit = doors.listeners.commit(plan, loaded, doors.gateway)
    change = spawn(set(), commit, name="commit")
    await asyncio.sleep(0)  # it has begun
    await doors.listeners.close()
    await change

    assert not path.exists()
    assert not await met(port)
    assert doors.listeners.opened == ()

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from proxy.wire.resolve import ADDRESSES, FAILED, KEPT, Resolver, literal, read_answer
from tests.wire.states import until

pytestmark = pytest.mark.usefixtures("both_loops")


def entry(host, family=None, scope=0):
    """
    Return one of the tuples that `getaddrinfo` answers.
    """
    v6 = ":" in host
    address = (host, 0, 0, scope) if v6 else (host, 0)
    family = family or (socket.AF_INET6 if v6 else socket.AF_INET)
    return (family, socket.SOCK_STREAM, 6, "", address)


class Names:
    """
    A name server under the test's hand: `answer` is what it says, or raises; `gate` holds it up.
    """

    def __init__(self):
        self.answer: Any = [entry("192.0.2.1")]
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host):
        """
        Answer once the gate is open.
        """
        self.asked.append(host)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def names():
    """
    Return the name server the resolver asks.
    """
    return Names()


@pytest.fixture
async def resolver(names, clock):
    """
    Return a resolver that asks `names`.
    """
    one = Resolver(clock, names)
    yield one
    one.close()


async def test_an_answer_is_kept_for_a_while(resolver, names, clock):
    """
    It is known for so long and no longer.
    """
    found = await resolver.ask("a.example")
    clock.seconds += KEPT - 0.1
    assert resolver.known("a.example") == found == (ip_address("192.0.2.1"),)
    clock.seconds += 0.2

    assert resolver.known("a.example") is None


async def test_a_failure_is_kept_for_a_moment(resolver, names, clock):
    """
    A storm of requests for a missing name asks once a second.
    """
    names.answer = socket.gaierror(socket.EAI_NONAME, "no such name")
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await resolver.ask("a.example")
    assert len(names.asked) == 1
    names.answer = [entry("192.0.2.7")]
    clock.seconds += FAILED + 0.1

    assert await resolver.ask("a.example") == (ip_address("192.0.2.7"),)


async def test_a_failure_drops_what_was_known(resolver, names):
    """
    Whoever asks anew has reason to doubt the old answer.
    """
    await resolver.ask("a.example")
    names.answer = socket.gaierror(socket.EAI_NONAME, "no such name")
    with pytest.raises(socket.gaierror):
        await resolver.ask("a.example")

    assert resolver.known("a.example") is None


async def test_all_who_want_a_name_wait_for_one_look_up(resolver, names):
    """
    However many ask, the system is asked once; a leaver cancels nothing.
    """
    names.gate.clear()
    async with asyncio.TaskGroup() as group:
        leaver = group.create_task(resolver.ask("a.example"))
        stayers = [group.create_task(resolver.ask("a.example")) for _ in range(20)]
        await until(lambda: names.asked)
        leaver.cancel()
        await until(leaver.done)
        names.gate.set()

    assert {stayer.result() for stayer in stayers} == {(ip_address("192.0.2.1"),)}
    assert names.asked == ["a.example"]


async def test_a_look_up_nobody_waits_for_fails_in_silence(resolver, names):
    """
    Its failure is remembered, and no unexpected error.
    """
    unexpected: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unexpected.append(context))
    names.gate.clear()
    names.answer = OSError(5, "boom")
    async with asyncio.TaskGroup() as group:
        leaver = group.create_task(resolver.ask("a.example"))
        await until(lambda: names.asked)
        leaver.cancel()
    names.gate.set()
    await until(lambda: not resolver._tasks)
    with pytest.raises(OSError, match="boom"):
        await resolver.ask("a.example")

    assert len(names.asked) == 1
    assert not unexpected


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [entry("nonsense")],
        [entry("/tmp/socket", socket.AF_UNIX)],
        UnicodeError("label too long"),
    ],
    ids=["nothing", "no address", "another family", "not a name"],
)
async def test_an_answer_without_an_address_is_a_failure(answer, resolver, names):
    """
    Whatever the resolver brings, the one who asks gets an address or a `gaierror`.
    """
    names.answer = answer
    with pytest.raises(socket.gaierror):
        await resolver.ask("a.example")


async def test_close_ends_a_look_up_that_hangs(resolver, names):
    """
    Nothing is left running.
    """
    names.gate.clear()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(resolver.ask("a.example"))
        await until(lambda: names.asked)
        resolver.close()

    assert asking.cancelled()
    assert not resolver._tasks
    assert not resolver._flights


async def test_the_system_knows_localhost(clock):
    """
    Without a look-up of one's own the system is asked.
    """
    found = await Resolver(clock).ask("localhost")

    assert all(ip.is_loopback for ip in found)


def test_addresses_come_once_in_order_and_not_too_many():
    """
    The order is the resolver's; a flood of addresses is cut.
    """
    flood = [entry(f"192.0.2.{number}") for number in range(100)]
    found = read_answer([entry("2001:db8::1"), entry("192.0.2.0"), *flood])

    assert [str(ip) for ip in found[:3]] == ["2001:db8::1", "192.0.2.0", "192.0.2.1"]
    assert len(found) == ADDRESSES


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (entry("fe80::1", scope=3), "fe80::1%3"),
        (entry("fe80::1%eth0", scope=3), "fe80::1%eth0"),
        (entry("2001:db8::1"), "2001:db8::1"),
    ],
)
def test_a_link_local_address_keeps_its_zone(given, read):
    """
    Without its zone it leads nowhere.
    """
    assert [str(ip) for ip in read_answer([given])] == [read]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:10.0.0.1"])
def test_a_literal_is_an_address(host):
    """
    An IP address needs no resolver.
    """
    assert literal(host) == ip_address(host)


@pytest.mark.parametrize("host", ["localhost", "1.2.3", "0x7f.1", "2130706433", "", "1.2.3.4.5"])
def test_what_is_no_literal_is_a_name(host):
    """
    Other ways to write a number are the system's to read, and its answer is looked at.
    """
    assert literal(host) is None

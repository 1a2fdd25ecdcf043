from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from proxy.errors import UpstreamConnect
from proxy.wire.dial import AVOIDED, Address, Dialler, interleave, telling
from proxy.wire.resolve import KEPT, Resolver
from tests.wire.states import descriptors, until

pytestmark = pytest.mark.usefixtures("both_loops")

NEVER = 1000.0
"""Seconds between attempts where a test must not depend on that."""


def hole(host, port=0):
    """
    Return sockets that make an address swallow connections: a listener whose backlog is full.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(0)
    held = [listener]
    for _ in range(4):
        filler = socket.socket(listener.family)
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        held.append(filler)
    return held


class Site:
    """
    A name with addresses on loopback, all at one port, each good, refusing or a black hole.
    """

    def __init__(self, clock):
        self.clock = clock
        self.port = 0
        self.answer: Any = []
        self.asked = 0
        self.dialled = []
        self.denied = {}
        self.accepted = []
        self.stack = contextlib.ExitStack()

    def good(self, host):
        """
        Listen at this address.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, self.port))
        listener.listen(100)
        self.port = listener.getsockname()[1]
        self.stack.callback(listener.close)
        return host

    def silent(self, host):
        """
        Make this address swallow connections.
        """
        held = hole(host, self.port)
        self.port = held[0].getsockname()[1]
        for sock in held:
            self.stack.callback(sock.close)
        return host

    async def lookup(self, host):
        """
        Answer with the addresses.
        """
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return [
            (
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (host, 0),
            )
            for host in self.answer
        ]

    def may_dial(self, address):
        """
        Note what is dialled.
        """
        self.dialled.append(str(address.ip))
        return self.denied.get(str(address.ip), True)

    def dialler(self, delay=NEVER):
        """
        Return a dialler for this site.
        """
        one = Dialler(
            Resolver(self.clock, self.lookup), self.clock, may_dial=self.may_dial, delay=delay
        )
        self.stack.callback(one.close)
        return one

    async def dial(self, dialler, host="a.example"):
        """
        Return the IP address a connection comes to stand at; close it.
        """
        async with asyncio.timeout(5):
            sock = await dialler.dial(host, self.port)
        with sock:
            return sock.getpeername()[0]


@pytest.fixture
async def site(clock):
    """
    Return a name with nothing behind it yet.
    """
    one = Site(clock)
    with one.stack:
        yield one
        await asyncio.sleep(0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_literal_never_goes_to_the_resolver(host, site):
    """
    Nor does an address literal escape the policy.
    """
    site.good(host)

    assert await site.dial(site.dialler(), host) == host
    assert site.asked == 0
    assert site.dialled == [host]


async def test_a_refused_address_is_followed_by_the_next_at_once(site):
    """
    Nobody waits for the delay where an attempt has failed.
    """
    site.good("127.0.0.1")
    site.answer = ["::1", "127.0.0.1"]

    assert await site.dial(site.dialler()) == "127.0.0.1"
    assert site.dialled == ["::1", "127.0.0.1"]


async def test_a_black_hole_does_not_hold_up_a_good_address(site):
    """
    After the delay the next address is tried beside it; then the hole is left with nothing open.
    """
    site.answer = [site.silent("::1"), site.good("127.0.0.1")]
    dialler = site.dialler(delay=0.01)
    before = descriptors()

    assert await site.dial(dialler) == "127.0.0.1"
    await until(lambda: not dialler._attempts)
    assert descriptors() == before


async def test_an_address_that_was_overtaken_is_tried_last_for_a_while(site, clock):
    """
    The next connection does not wait for the black hole; later ones look whether it is cured.
    """
    site.answer = [site.silent("::1"), site.good("127.0.0.1")]
    dialler = site.dialler(delay=0.01)
    await site.dial(dialler)
    await site.dial(dialler)
    assert site.dialled == ["::1", "127.0.0.1", "127.0.0.1"]
    clock.seconds += AVOIDED + 0.1
    await site.dial(dialler)

    assert site.dialled[3:] == ["::1", "127.0.0.1"]


async def test_an_address_that_refused_is_tried_last_for_a_while(site, clock):
    """
    Until its time is over, or nothing else is left.
    """
    site.good("127.0.0.1")
    site.answer = ["::1", "127.0.0.1"]
    dialler = site.dialler()
    for _ in range(2):
        await site.dial(dialler)
    assert site.dialled == ["::1", "127.0.0.1", "127.0.0.1"]
    site.stack.close()
    with pytest.raises(ConnectionRefusedError):
        await site.dial(dialler)

    assert site.dialled[3:] == ["127.0.0.1", "::1"]


async def test_the_second_to_stand_is_closed(site):
    """
    Two attempts succeed: one socket is handed out, the other one closed.
    """
    site.answer = [site.good("::1"), site.good("127.0.0.1")]
    dialler = site.dialler(delay=0.0)
    before = descriptors()
    for _ in range(20):
        await site.dial(dialler)
    await until(lambda: not dialler._attempts)

    assert descriptors() == before


async def test_cancelling_leaves_nothing_open(site):
    """
    Its owner's deadline ends every attempt.
    """
    site.answer = [site.silent("::1"), site.silent("127.0.0.1")]
    dialler = site.dialler(delay=0.0)
    before = descriptors()
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dialler.dial("a.example", site.port))
        await until(lambda: len(site.dialled) == 2)
        dialling.cancel()
    await until(lambda: not dialler._attempts)

    assert descriptors() == before


async def test_close_ends_every_attempt(site):
    """
    Whoever still dials is cancelled, and nothing stays open.
    """
    site.answer = [site.silent("::1"), site.silent("127.0.0.1")]
    dialler = site.dialler(delay=0.0)
    before = descriptors()
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dialler.dial("a.example", site.port))
        await until(lambda: len(site.dialled) == 2)
        dialler.close()

    assert dialling.cancelled()
    assert descriptors() == before


async def test_a_deadline_makes_the_next_one_ask_anew(site, clock):
    """
    Remembered addresses that swallow everything are not remembered any longer.
    """
    site.answer = [site.silent("127.0.0.1")]
    dialler = site.dialler()
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dialler.dial("a.example", site.port))
        await until(lambda: site.dialled)
        dialling.cancel()
    site.answer = [site.good("::1")]

    assert await site.dial(dialler) == "::1"
    assert site.asked == 2


async def test_a_remembered_answer_that_leads_nowhere_is_asked_anew(site):
    """
    The service moved: its new address is found before anybody hears of trouble.
    """
    site.answer = [site.good("127.0.0.1")]
    dialler = site.dialler()
    await site.dial(dialler)
    site.stack.close()
    site.answer = ["127.0.0.1", site.good("::1")]

    assert await site.dial(dialler) == "::1"
    assert site.asked == 2
    assert site.dialled == ["127.0.0.1", "127.0.0.1", "::1"]


async def test_the_same_answer_again_is_not_dialled_again(site):
    """
    Once is enough to know that nobody is there.
    """
    site.answer = [site.good("127.0.0.1")]
    dialler = site.dialler()
    await site.dial(dialler)
    site.stack.close()
    with pytest.raises(ConnectionRefusedError):
        await site.dial(dialler)

    assert site.asked == 2
    assert site.dialled == ["127.0.0.1"] * 2


async def test_a_fresh_answer_that_leads_nowhere_is_final(site):
    """
    It was asked for just now.
    """
    site.good("127.0.0.1")
    site.stack.close()
    site.answer = ["127.0.0.1", "::1"]
    with pytest.raises(ConnectionRefusedError):
        await site.dial(site.dialler())

    assert site.asked == 1


async def test_names_are_remembered(site, clock):
    """
    Asked once in a while, however many connections.
    """
    site.answer = [site.good("127.0.0.1")]
    dialler = site.dialler()
    for _ in range(3):
        await site.dial(dialler)
    assert site.asked == 1
    clock.seconds += KEPT + 1
    await site.dial(dialler)

    assert site.asked == 2


async def test_a_denied_address_is_not_dialled(site):
    """
    The policy is asked for each address right before its socket; another address may do.
    """
    site.answer = [site.good("::1"), site.good("127.0.0.1")]
    site.denied = {"::1": False}

    assert await site.dial(site.dialler()) == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "a.example"])
@pytest.mark.parametrize(
    ("verdict", "why"), [(False, "the policy says so"), ("it is ours", "it is ours")]
)
async def test_only_denied_addresses_are_a_refusal(host, verdict, why, site):
    """
    The reason is the policy's, and nothing was connected.
    """
    site.answer = [site.good("127.0.0.1")]
    site.denied = {"127.0.0.1": verdict}
    before = descriptors()
    with pytest.raises(UpstreamConnect) as caught:
        await site.dial(site.dialler(), host)

    assert caught.value.reason == f"the upstream's address may not be dialled: {why}"
    assert descriptors() == before


async def test_a_rebound_name_is_denied_at_the_second_dial(site, clock):
    """
    A resolver that answers well first and ill later: each dial is judged by its own address.
    """
    site.answer = [site.good("127.0.0.1")]
    site.good("::1")
    site.denied = {"::1": "it is ours"}
    dialler = site.dialler()
    await site.dial(dialler)
    clock.seconds += KEPT + 1
    site.answer = ["::1"]
    with pytest.raises(UpstreamConnect, match="it is ours"):
        await site.dial(dialler)


@pytest.mark.parametrize("known", [False, True], ids=["asked", "known"])
@pytest.mark.parametrize("answer", [["127.0.0.1"], ["127.0.0.1", "::1"]], ids=["one", "two"])
async def test_no_descriptor_left_is_our_trouble(answer, known, site):
    """
    It says so, and blames no address for it.
    """
    site.good("127.0.0.1")
    site.answer = answer
    dialler = site.dialler()
    if known:
        await site.dial(dialler)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        limit = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with pytest.raises(OSError) as caught:
            await dialler.dial("a.example", site.port)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.errno == errno.EMFILE
    assert await site.dial(dialler) == "127.0.0.1"
    assert site.asked == 1


async def test_a_socket_has_its_options(site):
    """
    Small writes leave at once, and a peer that is gone without a word is noticed.
    """
    site.good("127.0.0.1")
    with await site.dialler().dial("127.0.0.1", site.port) as sock:
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ("::1 ::2 10.0.0.1 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2"),
        ("10.0.0.1 ::1 ::2 ::3", "10.0.0.1 ::1 ::2 ::3"),
        ("::1 ::2 ::3 10.0.0.1", "::1 10.0.0.1 ::2 ::3"),
        ("10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"),
    ],
)
def test_families_take_turns(given, tried):
    """
    The resolver's first address stays first.
    """
    ips = [ip_address(host) for host in given.split()]

    assert [str(ip) for ip in interleave(ips)] == tried.split()


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([errno.ENETUNREACH, errno.ECONNREFUSED], errno.ECONNREFUSED),
        ([errno.ECONNREFUSED, errno.EHOSTUNREACH], errno.ECONNREFUSED),
        ([errno.ECONNREFUSED, errno.EMFILE], errno.EMFILE),
        ([None, errno.ENETUNREACH], None),
        ([None, errno.ECONNREFUSED], errno.ECONNREFUSED),
    ],
)
def test_the_most_telling_failure_is_told(numbers, told):
    """
    A missing family says less than a refusal, and our own trouble says most. None is a denial.
    """
    errors = [OSError(number, "x") if number else UpstreamConnect("denied") for number in numbers]

    assert getattr(telling(errors), "errno", None) == told


def test_addresses_compare():
    """
    What is avoided is an address with its port.
    """
    one = Address(ip_address("::1"), 1)

    assert {one: True}.get(Address(ip_address("::1"), 1))
    assert one != Address(ip_address("::1"), 2)

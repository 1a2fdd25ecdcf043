from __future__ import annotations

import asyncio
import random
import socket
import ssl
from dataclasses import replace
from typing import Any

import pytest
import trustme

from proxy.errors import Overloaded, UpstreamClosed, UpstreamConnect, UpstreamTimeout
from proxy.wire.dial import Dialler
from proxy.wire.limits import PoolLimits, Timeouts
from proxy.wire.origin import Origin
from proxy.wire.pool import Pool, PoolState
from proxy.wire.resolve import Resolver
from proxy.wire.roles import RESPONSE_ROLES, Roles
from proxy.wire.upstream import Upstream
from tests.wire.states import descriptors, until

pytestmark = pytest.mark.usefixtures("both_loops")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROLES = Roles(RESPONSE_ROLES, lambda _: False, alias=False)
TWO = PoolLimits(connections=2, queue=3)


class Asker:
    """
    An exchange as a pool sees it.
    """

    def __init__(self, connect=5.0):
        self.timeouts = Timeouts(connect=connect)
        self.done = False
        self.error = None
        self.upstream = None
        self.then = None

    def fail(self, error):
        """
        Hear that it went wrong; a caller's next request may follow at once.
        """
        if not self.done:
            self.done = True
            self.error = error
            if self.then is not None:
                self.then()

    def attach(self, upstream):
        """
        Be served.
        """
        assert not self.done, "an exchange that has ended is not served"
        assert self.upstream is None, "an exchange is served once"
        self.upstream = upstream

    @property
    def told(self):
        """
        Whether it knows how it went.
        """
        return self.upstream is not None or self.error is not None


class Place:
    """
    Where a pool's connections go: a listener that accepts and says nothing.
    """

    def __init__(self, clock):
        self.clock = clock
        self.accepted = []
        self.pools = []
        self.refuses = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.dials = 0

    async def open(self):
        """
        Listen.
        """
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        """
        Hold a connection until it ends.
        """
        self.accepted.append(writer)
        await reader.read()
        writer.close()

    async def dial(self, host, port):
        """
        Connect once the gate is open, unless told to refuse.
        """
        self.dials += 1
        await self.gate.wait()
        if self.refuses:
            raise ConnectionRefusedError(111, "refused by 127.0.0.1")
        return await Dialler(Resolver(self.clock), self.clock).dial(host, port)

    def close(self):
        """
        Be closed with the pool.
        """

    def pool(self, limits=TWO, *, tls=None, real=False):
        """
        Return a pool that dials here.
        """
        origin = Origin("127.0.0.1", self.port, tls, "a.example" if tls else "")
        dialler: Any = None if real else self
        one = Pool(origin, ROLES, limits, now=self.clock, dialler=dialler)
        self.pools.append(one)
        return one

    async def ask(self, pool, count=None):
        """
        Have so many exchanges connected and served; one, and not in a list, by default.
        """
        askers = [Asker() for _ in range(count or 1)]
        for asker in askers:
            pool.connect(asker)
        await until(lambda: all(asker.told for asker in askers))
        return askers if count else askers[0]


@pytest.fixture
async def place(clock):
    """
    Return a listening Place.
    """
    one = Place(clock)
    await one.open()
    yield one
    for pool in one.pools:
        pool.close()
    await until(lambda: not any(pool._open or pool._connecting for pool in one.pools))
    one.server.close()
    for writer in one.accepted:
        writer.transport.abort()
    await asyncio.sleep(0)


def put_to_rest(pool, *askers):
    """
    Give the exchanges' connections back, as if their responses were over.
    """
    for asker in askers:
        asker.done = True
        pool.give(asker.upstream)


# Taking and giving


async def test_the_last_given_is_the_first_taken(place):
    """
    The connection that rests shortest is the least likely to be closed by the other side.
    """
    pool = place.pool()
    assert pool.take() is None
    first, second = await place.ask(pool, 2)
    put_to_rest(pool, first, second)

    assert pool.take() is second.upstream
    assert pool.take() is first.upstream
    assert pool.take() is None
    assert first.upstream.reused


async def test_a_connection_that_ended_at_rest_is_not_taken(place):
    """
    Nor is its place lost.
    """
    pool = place.pool()
    put_to_rest(pool, *await place.ask(pool, 2))
    place.accepted[0].transport.abort()
    await until(lambda: pool.state().open == 1)

    assert pool.state().idle == 1
    pool.take().transport.abort()
    assert pool.take() is None
    await until(lambda: pool.state().open == 0)


async def test_repr_and_state_say_how_it_fares(place):
    """
    They read well.
    """
    pool = place.pool(PoolLimits(connections=2, failures=1, rest=8))
    first, _ = await place.ask(pool, 2)
    put_to_rest(pool, first)
    url = f"http://127.0.0.1:{place.port}"
    assert repr(pool) == f"<Pool {url} 2 open, 1 idle>"
    pool.take()
    pool.connect(Asker())
    assert pool.state() == PoolState(open=2, idle=0, connecting=0, waiting=1, resting=0.0)
    place.refuses = True
    first.upstream.transport.abort()
    await until(lambda: pool.state().resting)

    assert repr(pool) == f"<Pool {url} 1 open, 0 idle, resting 8.0 s>"
    assert str(Origin("::1", 443, ssl.create_default_context())) == "https://[::1]:443"


# Waiting


async def test_a_connection_given_back_serves_the_first_who_waits(place):
    """
    In the order they came, and without another connection.
    """
    pool = place.pool()
    served = await place.ask(pool, 2)
    waiting = [Asker() for _ in range(3)]
    for asker in waiting:
        pool.connect(asker)
    put_to_rest(pool, served[1])
    assert [asker.told for asker in waiting] == [True, False, False]
    put_to_rest(pool, served[0], waiting[0])

    assert waiting[1].upstream is served[0].upstream
    assert waiting[2].upstream is served[1].upstream
    assert place.dials == 2
    assert pool.state() == PoolState(open=2, idle=0, connecting=0, waiting=0, resting=0.0)


async def test_a_full_queue_refuses(place):
    """
    One more than the queue takes hears at once when to come back.
    """
    pool = place.pool(PoolLimits(connections=1, queue=1))
    await place.ask(pool)
    waiting, refused = Asker(), Asker()
    pool.connect(waiting)
    pool.connect(refused)

    assert isinstance(refused.error, Overloaded)
    assert refused.error.retry_after == 1
    assert not waiting.told


async def test_nobody_waits_longer_than_the_limit(place, clock):
    """
    Those in time stay; a next request that follows a refusal at once begins its own wait.
    """
    pool = place.pool(PoolLimits(connections=1, wait=5))
    await place.ask(pool)
    early, late, next_one = Asker(), Asker(), Asker()
    early.then = lambda: pool.connect(next_one)
    pool.connect(early)
    pool.sweep(clock.seconds)
    pool.sweep(clock.seconds + 3)
    pool.connect(late)
    pool.sweep(clock.seconds + 5)
    assert not early.told
    pool.sweep(clock.seconds + 5.5)
    assert isinstance(early.error, Overloaded)
    assert early.error.retry_after == 1
    assert not late.told
    pool.sweep(clock.seconds + 8.5)
    assert isinstance(late.error, Overloaded)
    assert not next_one.told
    pool.sweep(clock.seconds + 11)

    assert isinstance(next_one.error, Overloaded)


async def test_a_caller_that_leaves_while_queued_is_passed_over(place):
    """
    The connection goes to the next who still waits.
    """
    pool = place.pool()
    served = await place.ask(pool, 2)
    leaver, stayer = Asker(), Asker()
    pool.connect(leaver)
    pool.connect(stayer)
    leaver.done = True
    put_to_rest(pool, served[0])

    assert stayer.upstream is served[0].upstream
    assert pool.state().waiting == 0


async def test_those_who_left_take_no_room_in_the_queue(place):
    """
    At its front at once, anywhere from the next sweep on.
    """
    pool = place.pool(PoolLimits(connections=1, queue=2))
    served = await place.ask(pool)
    first, second, third, fourth = (Asker() for _ in range(4))
    pool.connect(first)
    pool.connect(second)
    first.done = True
    pool.connect(third)
    assert not third.told
    third.done = True
    pool.sweep(1000.0)
    pool.connect(fourth)
    assert not fourth.told
    put_to_rest(pool, served, second)

    assert fourth.upstream is served.upstream


async def test_when_all_who_waited_have_left_the_connection_rests(place):
    """
    Nobody is served in vain.
    """
    pool = place.pool()
    served = await place.ask(pool, 2)
    leaver = Asker()
    pool.connect(leaver)
    leaver.done = True
    put_to_rest(pool, *served)

    assert pool.state() == PoolState(open=2, idle=2, connecting=0, waiting=0, resting=0.0)


async def test_a_connection_that_dies_makes_room(place):
    """
    Those who wait get a new one instead of the one that never came back.
    """
    pool = place.pool()
    served = await place.ask(pool, 2)
    waiting = Asker()
    pool.connect(waiting)
    served[0].upstream.transport.abort()
    await until(lambda: waiting.told)

    assert waiting.upstream not in {served[0].upstream, served[1].upstream}
    assert place.dials == 3


async def test_a_connection_that_is_closing_serves_nobody(place):
    """
    Given back in that state it only makes room.
    """
    pool = place.pool(PoolLimits(connections=1))
    served = await place.ask(pool)
    waiting = Asker()
    pool.connect(waiting)
    served.upstream.transport.close()
    put_to_rest(pool, served)
    assert not waiting.told
    await until(lambda: waiting.told)

    assert waiting.upstream is not served.upstream


async def test_an_attempt_that_fails_makes_room(place):
    """
    Its place goes to the first who waits.
    """
    pool = place.pool(PoolLimits(connections=1, failures=0))
    place.gate.clear()
    place.refuses = True
    askers = [Asker() for _ in range(3)]
    for asker in askers:
        pool.connect(asker)
    assert pool.state().waiting == 2
    place.gate.set()
    await until(lambda: all(asker.told for asker in askers))

    assert [type(asker.error) for asker in askers] == [UpstreamConnect] * 3
    assert place.dials == 3


async def test_an_attempt_whose_caller_left_serves_the_first_who_waits(place):
    """
    An attempt belongs to nobody.
    """
    pool = place.pool(PoolLimits(connections=1))
    place.gate.clear()
    leaver, waiting = Asker(), Asker()
    pool.connect(leaver)
    pool.connect(waiting)
    leaver.done = True
    place.gate.set()
    await until(lambda: waiting.told)

    assert waiting.upstream is not None
    assert place.dials == 1


async def test_an_attempt_whose_caller_left_fills_the_pool(place):
    """
    With nobody waiting its connection rests.
    """
    pool = place.pool()
    leaver = Asker()
    pool.connect(leaver)
    leaver.done = True
    await until(lambda: pool.state().idle == 1)

    assert leaver.upstream is None


async def test_a_failed_attempt_falls_back_on_what_came_to_rest(place):
    """
    A connection given back meanwhile is better than a failure.
    """
    pool = place.pool()
    served = await place.ask(pool)
    place.gate.clear()
    place.refuses = True
    asker = Asker()
    pool.connect(asker)
    put_to_rest(pool, served)
    place.gate.set()
    await until(lambda: asker.told)

    assert asker.upstream is served.upstream


async def test_a_request_tried_again_at_a_full_pool_gets_a_new_connection(place):
    """
    It failed on a rested connection; another one of those makes place.
    """
    pool = place.pool()
    served = await place.ask(pool, 2)
    put_to_rest(pool, *served)
    asker = Asker()
    pool.connect(asker)
    await until(lambda: asker.told)

    assert asker.upstream not in {served[0].upstream, served[1].upstream}
    assert pool.take() is served[1].upstream


# Ages


async def test_what_rests_too_long_is_closed(place, clock):
    """
    Only that.
    """
    pool = place.pool(PoolLimits(idle=30))
    first, second = await place.ask(pool, 2)
    put_to_rest(pool, first)
    pool.sweep(clock.seconds)
    put_to_rest(pool, second)
    pool.sweep(clock.seconds + 20)
    pool.sweep(clock.seconds + 31)
    await until(lambda: pool.state().open == 1)

    assert pool.take() is second.upstream


@pytest.mark.parametrize("how", ["given back", "at rest"])
async def test_what_is_too_old_is_not_used_again(how, place, clock):
    """
    It is closed when it comes to rest or as it rests, never in the midst of a request.
    """
    pool = place.pool(PoolLimits(age=600, idle=10_000))
    old = await place.ask(pool)
    pool.sweep(clock.seconds)
    pool.sweep(clock.seconds + 300)
    young = await place.ask(pool)
    if how == "at rest":
        put_to_rest(pool, old, young)
    pool.sweep(clock.seconds + 601)
    if how == "given back":
        assert not old.upstream.transport.is_closing()
        put_to_rest(pool, old, young)

    assert pool.take() is young.upstream
    assert pool.take() is None
    await until(lambda: pool.state().open == 1)


async def test_what_is_too_old_serves_nobody_who_waits(place, clock):
    """
    A new connection does.
    """
    pool = place.pool(PoolLimits(connections=1, age=600, wait=10_000))
    old = await place.ask(pool)
    pool.sweep(clock.seconds)
    waiting = Asker()
    pool.connect(waiting)
    pool.sweep(clock.seconds + 601)
    put_to_rest(pool, old)
    await until(lambda: waiting.told)

    assert waiting.upstream is not old.upstream
    assert place.dials == 2


async def test_no_limit_no_age(place, clock):
    """
    With `age` 0 a connection serves for ever.
    """
    pool = place.pool(PoolLimits(age=0, idle=10_000))
    served = await place.ask(pool)
    pool.sweep(clock.seconds)
    pool.sweep(clock.seconds + 9_999)
    put_to_rest(pool, served)

    assert pool.take() is served.upstream


# The breaker


async def test_an_origin_that_fails_in_a_row_rests(place, clock):
    """
    Connects are answered at once; afterwards one probe tells whether it is well.
    """
    pool = place.pool(PoolLimits(failures=3, rest=4))
    place.refuses = True
    for _ in range(3):
        assert isinstance((await place.ask(pool)).error, UpstreamConnect)
    refused: Any = Asker()
    pool.connect(refused)
    assert isinstance(refused.error, Overloaded)
    assert refused.error.retry_after == 4
    assert place.dials == 3
    clock.seconds += 4
    place.gate.clear()
    place.refuses = False
    probe, other = Asker(), Asker()
    pool.connect(probe)
    pool.connect(other)
    assert isinstance(other.error, Overloaded)
    place.gate.set()
    await until(lambda: probe.told)

    assert probe.upstream is not None
    assert (await place.ask(pool)).upstream is not None


async def test_what_stands_is_not_touched_while_the_origin_rests(place):
    """
    Connections at rest are taken, and those in use come back to who waits.
    """
    pool = place.pool(PoolLimits(connections=2, failures=1, rest=4))
    stands = await place.ask(pool)
    place.gate.clear()
    place.refuses = True
    failing, waiting = Asker(), Asker()
    pool.connect(failing)
    pool.connect(waiting)
    place.gate.set()
    await until(lambda: failing.told)
    assert pool.state().resting == 4
    assert not waiting.told
    put_to_rest(pool, stands)
    assert waiting.upstream is stands.upstream
    put_to_rest(pool, waiting)

    assert pool.take() is stands.upstream


async def test_nobody_waits_for_an_origin_that_rests(place):
    """
    With nothing standing there is nothing to wait for.
    """
    pool = place.pool(PoolLimits(connections=2, failures=2, rest=4))
    place.gate.clear()
    place.refuses = True
    askers = [Asker() for _ in range(10)]
    for asker in askers:
        pool.connect(asker)
    place.gate.set()
    await until(lambda: all(asker.told for asker in askers))

    assert place.dials <= 3
    assert [type(asker.error) for asker in askers[-7:]] == [Overloaded] * 7


async def test_those_who_wait_go_on_when_the_rest_is_over(place, clock):
    """
    A sweep begins the probe for the first of them; its success lets the others follow.
    """
    pool = place.pool(PoolLimits(connections=3, failures=1, rest=4, wait=100))
    stands = await place.ask(pool)
    place.gate.clear()
    place.refuses = True
    failing, other, first, second = (Asker() for _ in range(4))
    for asker in (failing, other, first, second):
        pool.connect(asker)
    place.gate.set()
    await until(lambda: failing.told and other.told)
    assert pool.state().waiting == 2
    place.refuses = False
    clock.seconds += 4
    pool.sweep(clock.seconds)
    await until(lambda: first.told and second.told)

    assert first.upstream
    assert second.upstream
    assert stands.upstream not in {first.upstream, second.upstream}


async def test_a_newcomer_does_not_overtake_those_who_wait(place, clock):
    """
    Once the rest is over the probe is for the first in the queue, whoever set it off.
    """
    pool = place.pool(PoolLimits(connections=2, failures=1, rest=4))
    await place.ask(pool)
    place.gate.clear()
    place.refuses = True
    failing, first, newcomer = (Asker() for _ in range(3))
    pool.connect(failing)
    pool.connect(first)
    place.gate.set()
    await until(lambda: failing.told)
    place.refuses = False
    clock.seconds += 4
    pool.connect(newcomer)
    await until(lambda: first.told)
    assert not newcomer.told
    put_to_rest(pool, first)

    assert newcomer.upstream is first.upstream


async def test_our_own_trouble_is_not_the_origins(place):
    """
    A missing file descriptor is a 503, and does not make the origin rest.
    """
    pool = place.pool(PoolLimits(failures=1, rest=4))

    async def dial(host, port):
        raise OSError(24, "Too many open files")

    place.dial = dial
    asker = await place.ask(pool)

    assert isinstance(asker.error, Overloaded)
    assert asker.error.reason == "no file descriptor is left"
    assert not pool.state().resting


# How attempts end


async def test_a_silent_origin_is_a_timeout(place):
    """
    The route's own time to connect counts.
    """
    pool = place.pool()
    place.gate.clear()
    asker = Asker(connect=0.01)
    pool.connect(asker)
    await until(lambda: asker.told)

    assert isinstance(asker.error, UpstreamTimeout)
    assert pool.state().connecting == 0


async def test_a_resolver_that_hangs_is_a_timeout(place, clock):
    """
    All who wait for the name are told in their time, and one look-up is on its way.
    """
    asked = []
    silence = asyncio.Event()

    async def lookup(host):
        asked.append(host)
        await silence.wait()
        return []

    dialler = Dialler(Resolver(clock, lookup), clock)
    pool = Pool(Origin("a.example", 1), ROLES, now=clock, dialler=dialler)
    place.pools.append(pool)
    askers: list[Any] = [Asker(connect=0.01) for _ in range(4)]
    for asker in askers:
        pool.connect(asker)
    await until(lambda: all(asker.told for asker in askers))
    assert {type(asker.error) for asker in askers} == {UpstreamTimeout}
    assert asked == ["a.example"]
    pool.close()
    await until(lambda: not dialler._resolver._tasks)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([], "the name does not resolve"),
        (socket.gaierror(socket.EAI_NONAME, "no a.example"), "the name does not resolve"),
        (socket.gaierror(socket.EAI_AGAIN, "no a.example"), "the name servers do not answer"),
        (UnicodeError("a.example"), "the name does not resolve"),
    ],
    ids=["empty", "no such name", "no answer", "no name"],
)
async def test_a_name_without_an_address_is_said_in_words(answer, said, place, clock):
    """
    And without the name.
    """

    async def lookup(host):
        if isinstance(answer, Exception):
            raise answer
        return answer

    dialler = Dialler(Resolver(clock, lookup), clock)
    pool = Pool(Origin("a.example", 1), ROLES, now=clock, dialler=dialler)
    place.pools.append(pool)
    asker = await place.ask(pool)

    assert isinstance(asker.error, UpstreamConnect)
    assert asker.error.reason == f"no connection to the upstream: {said}"


async def test_a_refusal_is_said_in_words(place):
    """
    And without the address.
    """
    pool = place.pool()
    place.refuses = True
    asker = await place.ask(pool)

    assert asker.error.reason == "no connection to the upstream: Connection refused"


async def test_a_bug_while_connecting_is_told_and_logged(place):
    """
    The exchange is answered, the place is free again, and the loop's handler has the traceback.
    """
    bugs: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: bugs.append(context["exception"]))
    pool = place.pool(PoolLimits(connections=1))

    async def dial(host, port):
        raise ZeroDivisionError

    place.dial = dial
    asker = await place.ask(pool)
    await until(lambda: bugs)

    assert asker.error.code == "internal"
    assert pool.state().connecting == 0
    assert isinstance(bugs[0], ZeroDivisionError)


async def test_a_connection_closed_at_once_is_said_so(place):
    """
    The exchange does not begin on it.
    """
    pool = place.pool()
    opened = pool.opened

    def lose(upstream):
        opened(upstream)
        upstream.transport.abort()

    pool.opened = lose
    asker = await place.ask(pool)

    assert isinstance(asker.error, UpstreamClosed)
    assert not pool.state().resting
    await until(lambda: pool.state().open == 0)


async def test_a_connection_nobody_expects_is_dropped(place):
    """
    A handshake may go on after its attempt was given up; it takes no place then.
    """
    pool = place.pool()
    stray = Upstream(pool)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: stray, "127.0.0.1", place.port)
    await until(lambda: stray.transport is None)

    assert pool.state().open == 0
    assert pool.take() is None


# TLS


@pytest.fixture
def authority():
    """
    Return a certificate authority and a client's context that trusts it.
    """
    ca = trustme.CA()
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return ca, context


async def listen_tls(place, ca, name):
    """
    Have the place speak TLS with a certificate for *name*.
    """
    place.server.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    place.server = await asyncio.start_server(place.accept, "127.0.0.1", 0, ssl=context)
    place.port = place.server.sockets[0].getsockname()[1]


async def test_tls_to_the_named_server(place, authority):
    """
    The certificate must hold the origin's server name, whatever was dialled.
    """
    ca, context = authority
    await listen_tls(place, ca, "a.example")
    pool = place.pool(tls=context, real=True)

    assert (await place.ask(pool)).upstream.transport.get_extra_info("ssl_object") is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("b.example", "the upstream's certificate is refused: Hostname mismatch"),
        ("", "no connection to the upstream: TLS failed"),
    ],
    ids=["another's", "no TLS"],
)
async def test_tls_trouble_is_said_without_names(name, said, place, authority):
    """
    Nothing stays open, and the reason holds neither name nor address.
    """
    ca, context = authority
    if name:
        await listen_tls(place, ca, name)
    else:
        place.server.close()

        async def speak_plainly(reader, writer):
            writer.write(OK)
            await reader.read()
            writer.close()

        place.server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
        place.port = place.server.sockets[0].getsockname()[1]
    pool = place.pool(tls=context, real=True)
    before = descriptors()
    asker = await place.ask(pool)

    assert isinstance(asker.error, UpstreamConnect)
    assert asker.error.reason.startswith(said)
    assert "example" not in asker.error.reason
    assert "127.0.0.1" not in asker.error.reason
    await until(lambda: descriptors() == before)


async def test_closing_within_a_handshake_leaves_nothing_open(place, authority):
    """
    A server that accepts and never answers the greeting keeps no socket of ours.
    """
    _, context = authority
    before = descriptors()
    pool = place.pool(tls=context, real=True)
    asker = Asker()
    pool.connect(asker)
    await until(lambda: place.accepted)
    pool.close()
    await until(place.accepted[0].transport.is_closing)
    await until(lambda: descriptors() == before)

    assert isinstance(asker.error, Overloaded)


# The end


async def test_a_retired_pool_serves_those_who_wait_and_then_closes(place):
    """
    After a reload nobody is turned away for it.
    """
    pool = place.pool(PoolLimits(connections=1))
    served = await place.ask(pool)
    waiting = Asker()
    pool.connect(waiting)
    pool.retire()
    put_to_rest(pool, served)
    assert waiting.upstream is served.upstream
    put_to_rest(pool, waiting)
    await until(lambda: pool.state().open == 0)


async def test_a_retired_pool_closes_what_rests(place):
    """
    At once, and later what is given back; a sweep changes nothing about it.
    """
    pool = place.pool()
    first, second = await place.ask(pool, 2)
    put_to_rest(pool, first)
    pool.retire()
    pool.sweep(1000.0)
    await until(lambda: pool.state().open == 1)
    put_to_rest(pool, second)
    await until(lambda: pool.state().open == 0)


async def test_close_tells_everybody(place):
    """
    Those who wait, those who connect, and those who come too late.
    """
    pool = place.pool(PoolLimits(connections=2))
    served = await place.ask(pool)
    place.gate.clear()
    askers = [Asker() for _ in range(3)]
    for asker in askers:
        pool.connect(asker)
    await until(lambda: place.dials == 2)
    pool.close()
    late = Asker()
    pool.connect(late)

    assert [type(asker.error) for asker in (*askers, late)] == [Overloaded] * 4
    await until(lambda: served.upstream.transport is None and not pool._connecting)
    assert pool.state() == PoolState(open=0, idle=0, connecting=0, waiting=0, resting=0.0)


# All of it


async def test_two_hundred_requests_on_two_connections(upstream, call, proxy):
    """
    All are answered, over no more connections than allowed.
    """
    upstream.answer = OK
    await proxy.start()
    proxy.generation.pools[0].limits = TWO = PoolLimits(connections=2)  # noqa: N806 - as above
    callers = [await call(GET) for _ in range(200)]
    answers = await asyncio.gather(*(caller.message() for caller in callers))

    assert {body for _, body in answers} == {b"ok"}
    assert len(upstream.connections) == TWO.connections
    assert len(upstream.seen) == 200


class Walk:
    """
    A pool's life by chance: requests come and end, connections die, attempts fail, time passes.
    """

    def __init__(self, place, seed):
        self.place = place
        self.chance = random.Random(seed)
        limits = PoolLimits(connections=3, queue=5, wait=4, age=9, idle=3, failures=2, rest=1)
        self.pool = place.pool(replace(limits, longest_rest=1))
        self.askers: list[Asker] = []
        steps = {
            self.come: 40,
            self.end: 30,
            self.die: 8,
            self.leave: 6,
            self.turn: 6,
            self.pass_time: 10,
        }
        self.steps = random.Random(seed).choices(list(steps), list(steps.values()), k=400)

    def serving(self):
        """
        Return who is being served.
        """
        return [one for one in self.askers if one.upstream is not None and not one.done]

    def come(self):
        """
        A request comes.
        """
        asker = Asker()
        self.askers.append(asker)
        rested = self.pool.take()
        if rested is None:
            self.pool.connect(asker)
        else:
            asker.attach(rested)

    def end(self, *, dies=False):
        """
        A response ends, and its connection with it if it *dies*.
        """
        serving = self.serving()
        if serving:
            served = self.chance.choice(serving)
            served.done = True
            transport = served.upstream.transport
            if transport is not None and dies:
                transport.abort()
            elif transport is not None:
                self.pool.give(served.upstream)

    def die(self):
        """
        A connection in use dies.
        """
        self.end(dies=True)

    def leave(self):
        """
        The caller that waits longest leaves.
        """
        for asker in self.askers:
            if not asker.told and not asker.done:
                asker.done = True
                return

    def turn(self):
        """
        The origin refuses from now on, or does not.
        """
        self.place.refuses = self.chance.random() < 0.3

    def pass_time(self, seconds=0.7):
        """
        A sweep comes.
        """
        self.place.clock.seconds += seconds
        self.pool.sweep(self.place.clock.seconds)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_everybody_is_told(seed, place):
    """
    There are never more connections than allowed; at the end nobody waits and no place is lost.
    """
    walk = Walk(place, seed)
    pool = walk.pool
    for number, step in enumerate(walk.steps):
        step()
        assert len(pool._open) + len(pool._coming) <= pool.limits.connections
        if number % 2:
            await asyncio.sleep(0)
        if number % 9 == 0:
            await until(lambda: not pool._connecting)
    place.refuses = False
    for _ in range(20):
        walk.pass_time(1)
        while walk.serving():
            walk.end()
        await until(lambda: not pool._connecting)
    assert all(asker.told or asker.done for asker in walk.askers)
    assert sum(asker.upstream is not None for asker in walk.askers) > 20
    walk.pass_time(100)
    await until(lambda: not pool._open)

    assert pool.state() == PoolState(open=0, idle=0, connecting=0, waiting=0, resting=0.0)

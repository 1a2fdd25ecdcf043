from __future__ import annotations

import asyncio

import pytest

from proxy.tasks import spawn
from proxy.wire.wheel import LOOK, TICK, Round, Wheel


class Thing:
    """
    Something with deadlines: notes when it is looked at, and says when it wants the next look.
    """

    def __init__(self, *wishes: float) -> None:
        self.look_at = 0
        self.wishes = list(wishes)
        self.seen: list[float] = []

    def look(self, now: float) -> float:
        """
        Note the time.
        """
        self.seen.append(round(now, 3))
        return self.wishes.pop(0) if self.wishes else 0.0


class Broken(Thing):
    """
    Cannot be looked at.
    """

    def look(self, now: float) -> float:
        """
        Fail.
        """
        super().look(now)
        raise ZeroDivisionError


@pytest.fixture
def wheel(clock):
    """
    A wheel that turns by hand.
    """
    return Wheel(clock)


def turn(wheel, clock, seconds):
    """
    Let so much time pass, tick by tick.
    """
    end = clock.seconds + seconds
    while clock.seconds < end - TICK / 2:
        clock.seconds += TICK
        wheel.turn()


def test_looks_when_asked_to_and_not_before(wheel, clock):
    """
    A deadline is met within two ticks, and once.
    """
    thing = Thing()
    wheel.enter(thing, clock.seconds + 10)
    turn(wheel, clock, 9.9)
    assert not thing.seen

    turn(wheel, clock, 20)
    assert len(thing.seen) == 1
    assert 1010 <= thing.seen[0] <= 1010 + 2 * TICK


def test_soon_is_within_a_look(wheel, clock):
    """
    What begins to move is looked at after `LOOK` seconds.
    """
    thing = Thing()
    wheel.enter(thing, 0.0)
    turn(wheel, clock, LOOK + TICK)

    assert len(thing.seen) == 1


def test_an_earlier_wish_replaces_a_later_one(wheel, clock):
    """
    A thing is under one tick at a time: the later entry is passed over.
    """
    thing = Thing()
    wheel.enter(thing, clock.seconds + 60)
    wheel.enter(thing, clock.seconds + 1)
    turn(wheel, clock, 100)

    assert len(thing.seen) == 1
    assert thing.seen[0] < 1002


def test_goes_on_as_long_as_it_is_asked_to(wheel, clock):
    """
    Each look says when the next one is due.
    """
    thing = Thing(1003, 1005)
    wheel.enter(thing, 1001)
    turn(wheel, clock, 10)

    assert [int(seen) for seen in thing.seen] == [1001, 1003, 1005]


def test_time_may_jump(wheel, clock):
    """
    After a machine's sleep all that fell due is looked at, at once and once.
    """
    things = [Thing() for _ in range(50)]
    for number, thing in enumerate(things):
        wheel.enter(thing, clock.seconds + number)
    clock.seconds += 100_000
    wheel.turn()

    assert all(len(thing.seen) == 1 for thing in things)


async def test_a_thing_that_fails_harms_no_other(wheel, clock):
    """
    A bug is told to the loop's handler; the others are looked at, and it is again.
    """
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    broken, other = Broken(), Thing()
    wheel.enter(broken, 1001)
    wheel.enter(other, 1001)
    turn(wheel, clock, 2)

    assert other.seen
    assert len(broken.seen) > 1
    assert all(isinstance(context["exception"], ZeroDivisionError) for context in told)


def test_a_round_sweeps_what_there_is_now(wheel, clock):
    """
    Things that come and go are asked for at each round.
    """
    swept = []

    class Pool:
        def __init__(self, name):
            self.name = name

        def sweep(self, now):
            swept.append((self.name, round(now)))

    pools = [Pool("a")]
    wheel.enter(Round(lambda: pools), 0.0)
    turn(wheel, clock, 1)
    pools[:] = [Pool("b")]
    turn(wheel, clock, 1)

    assert {name for name, _ in swept} == {"a", "b"}
    assert swept[-1][0] == "b"


async def test_turns_by_itself(clock):
    """
    Left to itself it turns with real time.
    """
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop.time)
    seen = asyncio.Event()

    class Once(Thing):
        def look(self, now):
            seen.set()
            return super().look(now)

    wheel.enter(Once(), 0.0)
    tasks: set[asyncio.Task[None]] = set()
    task = spawn(tasks, wheel.turn_forever(), name="wheel")
    async with asyncio.timeout(5):
        await seen.wait()
    task.cancel()

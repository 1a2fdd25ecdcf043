from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from proxy.tokens.flight import Flights


@pytest.fixture
async def flights():
    """
    No flights yet; none left over.
    """
    under_test: Flights[object] = Flights()
    yield under_test
    await under_test.close()


async def test_all_who_join_share_one_piece_of_work(flights):
    """
    A hundred join, one flies, and the next to ask starts anew.
    """
    flown = []

    async def work():
        flown.append("once")
        return len(flown)

    assert set(await asyncio.gather(*(flights.join("k", work) for _ in range(100)))) == {1}
    assert await flights.join("k", work) == 2


async def test_keys_do_not_wait_for_each_other(flights):
    """
    One flight that hangs holds up nobody else's.
    """
    never = asyncio.Event()
    flights.start("slow", never.wait)

    async def quick():
        return "done"

    assert await flights.join("quick", quick) == "done"
    assert "slow" in flights
    assert "quick" not in flights


async def test_a_flight_does_not_inherit_the_callers_context(flights):
    """
    A request's log fields do not leak into work that outlives it.
    """
    request = ContextVar("request", default="none")
    request.set("r-1")

    async def work():
        return request.get()

    assert await flights.join("k", work) == "none"


async def test_closing_ends_what_is_under_way(flights):
    """
    Whoever waits is told by a cancellation, and nothing goes on flying.
    """
    never, flying = asyncio.Event(), asyncio.Event()

    async def work():
        flying.set()
        await never.wait()

    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(flights.join("k", work))
        await flying.wait()
        await flights.close()

    assert waiter.cancelled()
    assert "k" not in flights

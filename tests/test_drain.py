from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from proxy import drain as module
from proxy.drain import Patience, drain


class Caller:
    """
    A connection that leaves at a certain point of the drain, or never.
    """

    def __init__(self, story, leaves):
        self.story = story
        self.leaves = leaves
        self.transport = SimpleNamespace(abort=lambda: story.reach(self, "abort"))

    def drain(self):
        """
        Be told.
        """
        self.story.reach(self, "drain")

    def part(self):
        """
        Be told as a WebSocket.
        """
        self.story.reach(self, "part")

    def give_up(self):
        """
        Be given up.
        """
        self.story.reach(self, "give up")


class Story:
    """
    House, entrances and callers in one; notes what happens in which order, a second a look.
    """

    def __init__(self):
        self.steps = []
        self.callers = set()
        self.seconds = 100.0
        self.shaking = 0
        self.linger = None

    def now(self):
        """
        Return the time, a quarter of a second later than the last.
        """
        self.seconds += 0.25
        return self.seconds

    def drain(self, linger):
        """
        Begin nothing new.
        """
        self.linger = linger
        self.note("house")

    async def close(self):
        """
        Accept nobody.
        """
        self.note("close")

    def arriving(self):
        """
        Return the handshakes under way.
        """
        self.note("arriving")
        return self.shaking

    def comes(self, leaves):
        """
        Have one more caller.
        """
        self.callers.add(Caller(self, leaves))

    def reach(self, caller, step):
        """
        A caller is told something.
        """
        self.note(step)
        if caller.leaves == step:
            self.callers.discard(caller)
            caller.transport = None

    def note(self, step):
        """
        Note a step, once in a row.
        """
        if self.steps[-1:] != [step]:
            self.steps.append(step)

    async def told(self, **patience):
        """
        Drain, and return how many were given up.
        """
        house: Any = self
        return await drain(house, self, self.callers, Patience(**patience))


@pytest.fixture
def story(monkeypatch):
    """
    A drain that looks as often as it can.
    """
    monkeypatch.setattr(module, "POLL", 0.0)
    return Story()


async def test_nobody_there_is_the_quickest_end(story):
    """
    Without callers it takes no time but that to close the entrances.
    """
    assert await story.told(grace=30.0) == 0
    assert story.steps == ["house", "close", "arriving"]
    assert story.seconds < 103.0


@pytest.mark.parametrize(
    ("leaves", "steps", "given_up"),
    [
        ("drain", ["drain", "close"], 0),
        ("part", ["drain", "close", "part"], 0),
        ("give up", ["drain", "close", "part", "give up"], 1),
        ("abort", ["drain", "close", "part", "give up", "abort"], 1),
        ("never", ["drain", "close", "part", "give up", "abort"], 1),
    ],
    ids=["idle", "websocket", "long", "deaf", "stuck"],
)
async def test_callers_are_told_before_they_are_given_up(leaves, steps, given_up, story):
    """
    Each leaves at its step; whoever does not is given up when the grace is over, and not later.
    """
    story.comes(leaves)

    assert await story.told(grace=20.0) == given_up
    assert [step for step in story.steps if step != "arriving"] == ["house", *steps]
    assert story.seconds <= 100.0 + 20.0 + 2.0  # and what the looks themselves took


async def test_a_handshake_under_way_is_waited_for(story):
    """
    Whoever is not a caller yet has as long as a caller may rest, and not the whole grace.
    """
    story.shaking = 1

    assert await story.told(grace=30.0) == 0
    assert 101.0 <= story.seconds < 105.0


@pytest.mark.parametrize(("grace", "linger"), [(30.0, 1.0), (10.0, 1.0), (2.0, 0.2)])
async def test_a_short_grace_has_a_short_linger(grace, linger, story):
    """
    Connections that rest take a tenth of the grace at most.
    """
    await story.told(grace=grace)

    assert story.linger == pytest.approx(linger)

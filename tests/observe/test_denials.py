from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.errors import CallerForbidden, CallerUnauthenticated
from proxy.observe.denials import Denials
from proxy.observe.seldom import AGAIN


class Listening:
    """
    Denials with a clock moved by hand.
    """

    def __init__(self):
        self.now = 0.0
        self.said: list[dict[str, object]] = []
        log: Any = SimpleNamespace(
            warning=lambda event, **facts: self.said.append({"": event} | facts)
        )
        self.denials = Denials(log, lambda: self.now)

    def deny(self, error=None, **facts: Any):
        """
        Say one, by default the same.
        """
        said: dict[str, Any] = {"route": "api", "caller": "ci", "client": "b:2", "enforced": True}
        self.denials.say(
            error or CallerForbidden("why"),
            facts.pop("listener", "a:1"),
            **(said | facts),
        )


@pytest.fixture
def listening():
    """
    Nothing said yet.
    """
    return Listening()


def test_the_first_is_said_whole(listening):
    """
    Every fact stands in it.
    """
    listening.deny()

    assert listening.said == [
        {
            "": "caller.denied", "listener": "a:1", "route": "api", "caller": "ci", "client": "b:2",
            "reason": "caller_forbidden", "detail": "why", "enforced": True, "suppressed": 0,
        }
    ]  # fmt: skip


def test_the_same_is_said_again_after_a_while_with_the_number_left_out(listening):
    """
    A flood is a line per interval, and each says how many it stands for.
    """
    for moment in (0.0, 1.0, 2.0, AGAIN, AGAIN + 1, 3 * AGAIN):
        listening.now = moment
        listening.deny()

    assert [each["suppressed"] for each in listening.said] == [0, 2, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"error": CallerUnauthenticated("why")},
        {"listener": "a:2"},
        {"route": None},
        {"caller": None},
        {"enforced": False},
    ],
    ids=str,
)
def test_something_else_is_not_held_back(listening, other):
    """
    Reason, listener, route, caller and mode tell denials apart.
    """
    listening.deny()
    listening.deny(**other)

    assert len(listening.said) == 2


def test_another_client_is_the_same_denial(listening):
    """
    Clients choose their ports: they do not make a denial another one.
    """
    listening.deny()
    listening.deny(client="b:3")

    assert len(listening.said) == 1

"""
What keeps happening is said once in a while.
"""

from __future__ import annotations

import pytest

from proxy.observe.seldom import AGAIN, MOST, Seldom


class Hand:
    """
    A clock moved by hand.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """
        Return the seconds it was moved to.
        """
        return self.now


@pytest.fixture
def clock():
    """
    A clock at 0.
    """
    return Hand()


def test_said_once_an_interval_with_the_number_left_out(clock):
    """
    The first is said; after the interval the next one tells how many there were between.
    """
    seldom = Seldom(clock)
    found = []
    for moment in (0.0, 1.0, AGAIN - 0.1, AGAIN, 3 * AGAIN):
        clock.now = moment
        found.append(seldom.suppressed("a"))

    assert found == [0, None, None, 2, 0]


def test_each_is_counted_on_its_own(clock):
    """
    Something else is neither held back nor counted with it.
    """
    seldom = Seldom(clock)
    assert [seldom.suppressed(key) for key in ("a", "b", "a", "a")] == [0, 0, None, None]
    clock.now = AGAIN

    assert [seldom.suppressed(key) for key in ("a", "b")] == [2, 0]


def test_what_is_remembered_does_not_grow_without_end(clock):
    """
    However many names come and go with reloads.
    """
    seldom = Seldom(clock)
    for number in range(MOST + 5):
        assert seldom.suppressed(number) == 0

    assert len(seldom._said) <= MOST

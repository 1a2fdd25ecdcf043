from __future__ import annotations

from types import SimpleNamespace

import pytest

from proxy.observe.crowd import AGAIN, NO_DESCRIPTOR, NO_PLACE, Crowd


@pytest.fixture
def said():
    """
    What was logged.
    """
    return []


@pytest.fixture
def crowd(said):
    """
    A crowd of nobody where two are allowed.
    """
    log = SimpleNamespace(warning=lambda event, **facts: said.append((event, facts)))
    return Crowd(log, set(), 2)


def test_room_for_more_is_not_worth_a_word(crowd, said):
    """
    Nothing is logged while another caller may come.
    """
    crowd._callers.add(1)
    crowd.sweep(0.0)

    assert said == []


def test_no_room_is_said_once_and_again_while_it_lasts(crowd, said):
    """
    However many are turned away, there is one line per interval.
    """
    crowd._callers |= {1, 2}
    for moment in (0.0, 0.5, AGAIN - 0.5, AGAIN, AGAIN + 0.5):
        crowd.sweep(moment)
    crowd._callers.clear()
    crowd.sweep(3 * AGAIN)

    line = ("connections.full", {"connected": 2, "most": 2, "reason": NO_PLACE})
    assert said == [line, line]


def test_no_file_descriptor_is_said_with_its_own_reason(crowd, said):
    """
    It is said though there is room by the count, and only if it happened since.
    """
    crowd.starve()
    crowd.starve()
    crowd.sweep(0.0)
    crowd.sweep(AGAIN)

    assert [facts["reason"] for _, facts in said] == [NO_DESCRIPTOR]

"""
The type every credential travels in.
"""

from __future__ import annotations

import copy
import pickle

import pytest

from proxy.core.secret import Secret

CANARY = "canary-4711"


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{:>20}".format, lambda secret: f"{secret!r}", lambda secret: f"{[secret]}"],
    ids=["repr", "str", "format", "padded", "conversion", "in a list"],
)  # fmt: skip
def test_it_shows_nothing(show):
    """
    Whatever turns it into text gets three stars.
    """
    shown = show(Secret(CANARY))

    assert CANARY not in shown
    assert "***" in shown


def test_only_reveal_gives_the_text():
    """
    One way out, easy to search for.
    """
    assert Secret(CANARY).reveal() == CANARY


def test_equal_texts_are_equal_secrets():
    """
    Comparison and hash go by the text, and never match a plain text.
    """
    assert Secret(CANARY) == Secret(CANARY)
    assert hash(Secret(CANARY)) == hash(Secret(CANARY))
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_an_empty_one_is_false():
    """
    So that a missing secret is noticed like a missing text.
    """
    assert not Secret("")
    assert Secret(CANARY)


@pytest.mark.parametrize("carry", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_it_is_not_serialised(carry):
    """
    A pickle would hold the text in clear.
    """
    with pytest.raises(TypeError, match="not pickled"):
        carry(Secret(CANARY))


def test_a_fingerprint_tells_secrets_apart():
    """
    Same for the same text, 16 hex digits, no part of the text.
    """
    first, second = Secret(CANARY).fingerprint(), Secret("other").fingerprint()

    assert first == Secret(CANARY).fingerprint() != second
    assert len(first) == 16
    assert int(first, 16) >= 0

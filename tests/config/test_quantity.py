from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from proxy.config.quantity import (
    GIB,
    KIB,
    MIB,
    count,
    duration,
    parse_size,
    setting,
    show_size,
    size,
)
from proxy.config.section import Section

QUANTITIES = {
    "size": size(1, 1024 * GIB),
    "size or off": size(KIB, MIB, off=True),
    "count": count(0, 10),
    "count or off": count(1, 10, off=True),
    "duration": duration(),
    "duration or off": duration(1.0, 60.0, off=True),
}
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


class Few(Section):
    """
    A group of settings with quantities.
    """

    body: Annotated[int, size(1, MIB, off=True)] = setting("off", "How large.")
    wait: Annotated[float, duration()] = setting("90s", "How long.")
    most: Annotated[int, count(1, 9)] = setting(5, "How many.")


@pytest.fixture(params=list(QUANTITIES))
def quantity(request):
    """
    One of each kind, with and without `off`.
    """
    return QUANTITIES[request.param]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1B", 1), ("240B", 240), ("8KiB", 8192), ("100MiB", 104857600), ("1GiB", 1073741824)],
)
def test_a_size_is_bytes(text, number):
    """
    A whole number with B, KiB, MiB or GiB, each 1024 times the one before, and back again.
    """
    assert parse_size(text) == number
    assert show_size(number) == text


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (8192, "has no unit"),
        (1.5, "has no unit"),
        ("8192", "has no unit"),
        ("8KB", "is no size"),
        ("8kB", "is no size"),
        ("8K", "is no size"),
        ("8 KiB", "is no size"),
        ("1.5MiB", "is no size"),
        ("-1B", "is no size"),
        ("٨B", "is no size"),
        (["8KiB"], "is no size"),
        (None, "is no size"),
    ],
)
def test_what_is_no_size_is_refused(value, what):
    """
    Units that mean 1000 to some and 1024 to others are not guessed at, nor is a missing one.
    """
    with pytest.raises(PydanticCustomError, match=what):
        parse_size(value)


@pytest.mark.parametrize("value", ["5", 1.0, "five", None, [1], ""])
def test_what_is_no_count_is_refused(value):
    """
    A count is a whole number without quotes.
    """
    with pytest.raises(PydanticCustomError, match=r"is text|is no whole number"):
        count(0, 10).read(value)


@pytest.mark.parametrize("name", [name for name in QUANTITIES if "off" in name])
def test_off_is_nothing_and_nothing_else_is_off(name):
    """
    `off` is 0 from there on; no number says the same, so that 0 is never off by mistake.
    """
    quantity = QUANTITIES[name]

    assert quantity.read("off") == 0
    assert quantity.write(0) == "off"
    for value in (0, "0B", "0s", "0h", False, "none", "Off", None):
        with pytest.raises(PydanticCustomError):
            quantity.read(value)


def test_what_cannot_be_off_says_so(quantity):
    """
    `off` is taken where it may stand; elsewhere the range is told.
    """
    if quantity.off:
        assert quantity.read("off") == 0
    else:
        with pytest.raises(PydanticCustomError, match="cannot be off") as caught:
            quantity.read("off")
        assert (caught.value.context or {})["instead"].startswith("write something from")


def test_the_ends_of_a_range_are_in_it(quantity):
    """
    Both may be written, and are written back as they were.
    """
    for end in (quantity.least, quantity.most):
        assert quantity.read(quantity.show(end)) == end


@given(anything)
def test_no_value_of_any_kind_breaks_a_quantity(value):
    """
    Whatever a file holds, it is refused, or is in range and stays the same when written and read.
    """
    for quantity in QUANTITIES.values():
        with suppress(PydanticCustomError):
            number = quantity.read(value)
            assert number == 0 or quantity.least <= number <= quantity.most
            assert quantity.read(quantity.write(number)) == number


def test_a_default_is_written_once():
    """
    As a file would write it; it is read like a file's, and told by description and schema.
    """
    few = Few()
    told = Few.model_json_schema()["properties"]

    assert (few.body, few.wait, few.most) == (0, 90.0, 5)
    assert few.model_dump(mode="json") == {"body": "off", "wait": "90s", "most": 5}
    assert {name: each["default"] for name, each in told.items()} == {
        "body": "off",
        "wait": "90s",
        "most": 5,
    }
    assert told["body"]["description"] == "How large. Default: off."
    assert told["body"]["anyOf"][1] == {"const": "off"}
    assert told["most"]["maximum"] == 9

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from proxy.observe.console import printable, wants_colour, wants_console


@pytest.fixture
def terminal():
    """
    A stream that is a terminal.
    """
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


def test_console_is_for_terminals(terminal):
    """
    A terminal gets lines for a person, everything else JSON.
    """
    with Path(os.devnull).open() as stream:
        assert not wants_console(stream)
    assert wants_console(terminal)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)],
    ids=["unset", "set", "empty"],
)
def test_colours_are_for_terminals_that_want_them(terminal, environ, wanted):
    """
    NO_COLOR, if it is not empty, keeps colours away, and so does anything but a terminal.
    """
    assert wants_colour(terminal, environ) is wanted
    with Path(os.devnull).open() as stream:
        assert not wants_colour(stream, environ)


def test_what_does_not_print_is_escaped():
    """
    Control characters of either set are shown, not sent; letters stay.
    """
    assert printable("\u00e9\x1b\x9b\u202e") == "\u00e9\\x1b\\x9b\\u202e"

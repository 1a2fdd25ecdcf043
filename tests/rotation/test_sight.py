"""
What is seen of files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.rotation.sight import GONE, Sight, present, state


@pytest.fixture
def file(tmp_path):
    """
    A file whose times lie long ago.
    """
    path = tmp_path / "token"
    path.write_text("one")
    os.utime(path, (1, 1))
    return path


def longer(path):
    """
    Write more into it, and set its time back.
    """
    path.write_text("three")
    os.utime(path, (1, 1))


def later(path):
    """
    Write as much into it as before.
    """
    path.write_text("two")


def another(path):
    """
    Rename a file of the same size and time over it.
    """
    beside = path.with_name("beside")
    beside.write_text("two")
    os.utime(beside, (1, 1))
    beside.replace(path)


@pytest.mark.parametrize("change", [longer, later, another, Path.unlink])
def test_a_change_shows(file, change):
    """
    By size, by time, by being another file, by being gone; a file left alone stays the same.
    """
    before = state([file])
    assert state([file]) == before

    change(file)

    assert state([file]) != before


def test_links_are_followed(tmp_path, file):
    """
    A link is what it leads to, by as many links as it takes.
    """
    (tmp_path / "near").symlink_to("far")
    (tmp_path / "far").symlink_to(file)

    assert state([tmp_path / "near"]) == state([file])


@pytest.mark.parametrize("name", ["absent", "token/below", "dangling"])
def test_a_file_that_is_not_there_is_gone(tmp_path, file, name):
    """
    Also one below what is no folder, and at the end of a link to nowhere.
    """
    (tmp_path / "dangling").symlink_to("nowhere")

    assert state([file, tmp_path / name])[1] == GONE


@pytest.mark.parametrize("name", ["loop", "nul\0", "long" * 100])
def test_what_cannot_be_looked_at_raises_nothing(tmp_path, file, name):
    """
    A link to itself, a name with a NUL, one that is too long: not present, and not gone.
    """
    (tmp_path / "loop").symlink_to("loop")

    seen = state([file, tmp_path / name])

    assert (present(seen), GONE in seen) == (False, False)
    assert present(seen[:1])


def test_the_first_sight_counts_as_read_if_the_files_are_there(file):
    """
    Later ones leave open what was read.
    """
    here, gone = state([file]), state([file.with_name("absent")])

    assert Sight().moved(here) == Sight(here, here)
    assert Sight().moved(gone) == Sight(gone, None)
    assert Sight(here, here).moved(gone) == Sight(gone, here)

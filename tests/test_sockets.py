"""
What the composition root does on its own: sockets in the file system.
"""

from __future__ import annotations

import errno
import socket

import pytest

from proxy.sockets import clear_socket, remove_socket


@pytest.fixture
def path(tmp_path):
    """
    Where a Unix socket is to be.
    """
    return tmp_path / "proxy.sock"


def bound(path) -> socket.socket:
    """
    Return a socket bound to *path*.
    """
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


def test_a_socket_somebody_listens_on_is_not_taken(path):
    """
    A second proxy on the same path is refused; the first keeps its callers.
    """
    with bound(path) as first:
        first.listen()
        with pytest.raises(OSError, match="somebody listens") as caught:
            clear_socket(path)

    assert caught.value.errno == errno.EADDRINUSE
    assert path.exists()


def test_a_socket_left_behind_is_removed(path):
    """
    After a kill the file is still there, and nobody answers.
    """
    bound(path).close()

    clear_socket(path)

    assert not path.exists()


def test_what_is_no_socket_stays(path):
    """
    A file of that name is somebody's; listening fails on it in words.
    """
    path.write_text("precious")

    clear_socket(path)

    assert path.read_text() == "precious"


def test_only_the_socket_that_was_bound_is_removed(path):
    """
    What another process has put in its place is not ours to delete.
    """
    bound(path).close()
    ours = path.stat().st_ino
    remove_socket(path, ours + 1)
    assert path.exists()

    remove_socket(path, ours)
    assert not path.exists()

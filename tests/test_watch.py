"""
When files count as changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from pathlib import Path

import pytest

from proxy.tasks import spawn
from proxy.watch import AGAIN, Watch

PATIENCE = 10.0


class Reader:
    """
    What is called on a change.

    Attributes:
        calls: How often it was.
        usable: What it says of what it read.
    """

    def __init__(self):
        self.calls = 0
        self.usable = True
        self.called = asyncio.Event()

    async def __call__(self):
        """
        Take the files over, or not.
        """
        self.calls += 1
        self.called.set()
        return self.usable


@pytest.fixture
def reader():
    """
    What is called on a change.
    """
    return Reader()


@pytest.fixture
def file(tmp_path):
    """
    A file to watch.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text("one")
    return path


@pytest.fixture
def watch(file, reader):
    """
    A watch over it that knows it as it is.
    """
    watch = Watch(lambda: [file], reader)
    watch.note()
    return watch


def put(path, text):
    """
    Put another file in its place, as editors do.
    """
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


async def test_what_does_not_change_is_not_read(watch, reader):
    """
    Looking costs nothing more than looking.
    """
    assert [await watch.look() for _ in range(3)] == [False] * 3
    assert reader.calls == 0


async def test_a_change_counts_once_it_rests(watch, reader, file):
    """
    It is read at the second look that sees the same, and once.
    """
    put(file, "two")
    assert await watch.look() is True
    assert reader.calls == 0

    assert await watch.look() is False
    assert await watch.look() is False
    assert reader.calls == 1


async def test_a_file_being_written_is_left_alone(watch, reader, file):
    """
    As long as each look sees another state, nothing is read.
    """
    for length in range(1, 5):
        file.write_text("x" * 100 * length)
        assert await watch.look() is True
    assert reader.calls == 0

    await watch.look()
    assert reader.calls == 1


async def test_a_link_that_is_turned_is_a_change(tmp_path, reader):
    """
    Kubernetes turns the link `..data` to another folder, and touches no file.
    """
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "proxy.yaml").write_text(version)
    data = tmp_path / "..data"
    data.symlink_to("v1")
    path = tmp_path / "proxy.yaml"
    path.symlink_to("..data/proxy.yaml")
    watch = Watch(lambda: [path], reader)
    watch.note()

    fresh = tmp_path / "..data_tmp"
    fresh.symlink_to("v2")
    fresh.replace(data)

    assert await watch.look() is True
    await watch.look()
    assert reader.calls == 1


async def test_a_file_that_vanishes_is_told_of_and_heeded_when_it_is_back(watch, reader, file):
    """
    Gone is a change like any other; so is being there again.
    """
    text = file.read_text()
    file.unlink()
    reader.usable = False
    await watch.look()
    await watch.look()
    assert reader.calls == 1

    reader.usable = True
    file.write_text(text)
    assert await watch.look() is True
    await watch.look()
    assert reader.calls == 2


async def test_what_could_not_be_used_is_tried_again(watch, reader, file):
    """
    What was missing may be another file: so it is read again now and then, until it can be used.
    """
    reader.usable = False
    put(file, "two")
    await watch.look()
    await watch.look()
    for _ in range(AGAIN - 1):
        await watch.look()
    assert reader.calls == 1

    reader.usable = True
    await watch.look()
    assert reader.calls == 2
    for _ in range(2 * AGAIN):
        await watch.look()
    assert reader.calls == 2


class Hanging(type(Path())):  # type: ignore[misc]
    """
    A file on a file system that does not answer until it is told to.
    """

    answers: threading.Event
    asked: list[str]

    def stat(self, **options):
        """
        Wait.
        """
        self.asked.append(threading.current_thread().name)
        self.answers.wait(PATIENCE)
        return super().stat(**options)


async def test_a_file_system_that_hangs_holds_one_thread(file, reader):
    """
    Looks go on without an answer and without further threads; once it answers again all is as before.
    """
    Hanging.answers, Hanging.asked = threading.Event(), []
    watch = Watch(lambda: [Hanging(file)], reader, interval=0.001)
    for _ in range(5):
        assert await watch.look() is False
    assert len(Hanging.asked) == 1
    assert threading.current_thread().name not in Hanging.asked

    Hanging.answers.set()
    async with asyncio.timeout(PATIENCE):
        while not reader.calls:
            await watch.look()
    assert reader.calls == 1


@contextlib.asynccontextmanager
async def watching(watch):
    """
    Let it watch.
    """
    task = spawn(set(), watch.watch(), name="watch")
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def seen(reader, file):
    """
    Change the file until that is noticed: nobody tells when listening has begun.
    """
    async with asyncio.timeout(PATIENCE):
        for turn in range(1000):
            put(file, f"change {turn}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.called.wait(), 0.2)
            if reader.called.is_set():
                return


async def test_folders_tell_at_once(file, reader):
    """
    With the extra `watch` nobody waits for the next look.
    """
    pytest.importorskip("watchfiles")
    watch = Watch(lambda: [file], reader, interval=600.0, settling=0.01)
    watch.note()
    async with watching(watch):
        await seen(reader, file)
    assert reader.calls


@pytest.mark.parametrize("why", ["missing", "folder"])
async def test_without_notices_looking_goes_on(file, reader, monkeypatch, why):
    """
    Where folders cannot be listened to, changes are seen all the same.
    """
    if why == "missing":
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    gone = file.parent / "gone" / "ca.pem"
    watch = Watch(lambda: [file, gone], reader, interval=0.01, settling=0.001)
    watch.note()
    async with watching(watch):
        put(file, "two")
        async with asyncio.timeout(PATIENCE):
            await reader.called.wait()
    assert reader.calls

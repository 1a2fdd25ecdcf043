"""
Work in a thread that may hang.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from functools import partial
from typing import Any

from proxy.rotation.survey import Survey


async def test_pieces_are_done_in_turn():
    """
    Each once, in order; None is nothing found; what was taken is not there again.
    """
    done = []

    def piece(number):
        done.append(number)
        return number if number % 2 else None

    survey = Survey([(str(number), partial(piece, number)) for number in range(6)])

    assert await survey.ended(30)
    assert (done, survey.steps, survey.at) == ([0, 1, 2, 3, 4, 5], 6, "5")
    assert survey.taken() == [1, 3, 5]
    assert survey.taken() == []


async def test_a_piece_that_hangs_holds_up_nobody_who_waits():
    """
    The wait ends, what was found so far can be had, and where it hangs can be seen.
    """
    hanging, go = threading.Event(), threading.Event()

    def hang():
        hanging.set()
        go.wait(30)
        return 2

    work = [("a", lambda: 1), ("b", hang), ("c", lambda: 3)]
    survey = Survey(work)
    assert await asyncio.to_thread(hanging.wait, 30)

    assert not await survey.ended(0.01)
    assert (survey.taken(), survey.at, survey.steps, survey.over) == ([1], "b", 1, False)
    survey.leave()
    go.set()
    assert await survey.ended(30)
    assert survey.taken() == [2]


async def test_the_loop_runs_on_meanwhile():
    """
    A piece that takes long does not stop other work on the loop.
    """
    go = threading.Event()
    survey = Survey([("a", lambda: go.wait(30))])
    asyncio.get_running_loop().call_soon(go.set)

    assert await survey.ended(30)
    assert survey.taken() == [True]


async def test_the_thread_does_not_keep_the_process():
    """
    It is a daemon: the end of the process does not wait for a file system that hangs.
    """
    survey = Survey([("a", lambda: threading.current_thread().daemon)])

    assert await survey.ended(30)
    assert survey.taken() == [True]


def test_a_loop_that_has_closed_is_not_told():
    """
    A thread that comes back after the end goes quietly.
    """
    go = threading.Event()
    threads: queue.Queue[threading.Thread] = queue.Queue()

    def hang():
        threads.put(threading.current_thread())
        go.wait(30)

    async def begin():
        Survey([("a", hang)])

    asyncio.run(begin())
    thread = threads.get(timeout=30)
    go.set()
    thread.join(30)
    assert not thread.is_alive()


async def test_a_piece_that_raises_ends_the_work(monkeypatch):
    """
    A bug in a piece is reported by the thread, and nobody waits for the rest.
    """
    reports: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", reports.put)
    survey = Survey([("a", lambda: 1), ("b", lambda: 1 / 0), ("c", lambda: 3)])

    assert await survey.ended(30)
    assert (survey.taken(), survey.steps) == ([1], 1)
    report = await asyncio.to_thread(reports.get, timeout=30)
    assert report.exc_type is ZeroDivisionError


async def test_without_a_thread_nothing_is_done(monkeypatch):
    """
    A system that gives no thread is no error: the work is over, and none of it done.
    """

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    survey = Survey([("a", lambda: 1)])

    assert await survey.ended(30)
    assert (survey.taken(), survey.steps) == ([], 0)

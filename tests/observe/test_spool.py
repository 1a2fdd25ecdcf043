"""
Spans on their way to a collector that is slow, or not there.
"""

from __future__ import annotations

import queue
import threading

import pytest

from proxy.observe.spool import BATCH, BOUND, QUIET, Spool
from proxy.observe.traces import Span, Spot

SPAN = Span("GET", "server", Spot(1, 2), 0.0, 1.0)


class HandExporter:
    """
    Sends when it is let.
    """

    def __init__(self):
        self.batches: queue.Queue[int] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        self.closed = threading.Event()

    def export(self, spans):
        """
        Wait for an answer, unless it was closed.
        """
        self.batches.put(len(spans))
        return self.answers.get(timeout=20)

    def hurry(self):
        """
        Let go of what waits.
        """
        self.closed.set()
        self.answers.put("hurried")

    def close(self):
        """
        Hold nothing.
        """


class Told:
    """
    Keeps what is told.
    """

    def __init__(self):
        self.losses: queue.Queue[tuple[int, str]] = queue.Queue()

    def __call__(self, lost, reason):
        """
        Keep a loss.
        """
        self.losses.put((lost, reason))

    def all(self):
        """
        Return what was told so far.
        """
        return list(self.losses.queue)


@pytest.fixture
def exporter():
    """
    An exporter that waits for the test.
    """
    return HandExporter()


@pytest.fixture
def told():
    """
    Nothing told so far.
    """
    return Told()


@pytest.fixture
def clock():
    """
    Seconds that a test moves.
    """
    return [0.0]


@pytest.fixture
def spool(exporter, told, clock):
    """
    A spool; in the end it must come to rest.
    """
    spool = Spool(exporter, told, lambda: clock[0])
    yield spool
    spool.close(20.0)
    assert not spool._thread.is_alive()


def test_what_waits_is_sent_in_the_end(spool, exporter, told):
    """
    Closing sends what has gathered, in one go, and nothing is lost.
    """
    exporter.answers.put("")
    spool.put((SPAN, SPAN))
    spool.close(20.0)

    assert list(exporter.batches.queue) == [2]
    assert told.all() == []


def test_a_full_batch_goes_at_once(spool, exporter):
    """
    And no batch is larger.
    """
    spool.put((SPAN,) * (BATCH + 1))
    assert exporter.batches.get(timeout=20) == BATCH
    exporter.answers.put("")
    exporter.answers.put("")


def test_beyond_the_bound_spans_are_dropped_without_waiting(spool, exporter, told):
    """
    While the collector hangs, handing over returns at once; the loss is told when it is closed.
    """
    spool.put((SPAN,) * BATCH)
    assert exporter.batches.get(timeout=20) == BATCH  # now it hangs
    spool.put((SPAN,) * BOUND)
    spool.put((SPAN,) * 7)
    spool.close(0.0)

    assert exporter.closed.is_set()
    assert told.all() == [(BATCH + BOUND + 7, "hurried")]


def test_a_failure_is_told_once_a_minute(spool, exporter, told, clock):
    """
    With how many spans were lost since; the words are the exporter's.
    """
    for answer in ("refused", "refused", "gone"):
        exporter.answers.put(answer)
    for _ in range(2):
        spool.put((SPAN,) * BATCH)
        exporter.batches.get(timeout=20)
    assert told.losses.get(timeout=20) == (BATCH, "refused")
    clock[0] += QUIET
    spool.put((SPAN,) * BATCH)
    exporter.batches.get(timeout=20)

    assert told.losses.get(timeout=20) == (2 * BATCH, "gone")


def test_what_comes_after_the_end_is_lost(spool, exporter, told):
    """
    Requests may outlast it; they do not fail for it.
    """
    spool.close(20.0)
    spool.put((SPAN,))

    assert exporter.batches.empty()
    assert told.all() == []

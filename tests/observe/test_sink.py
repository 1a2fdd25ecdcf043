from __future__ import annotations

import os
import threading

import pytest

from proxy.observe.sink import QUIET, UNREAD, Complaints, Sink

SAID = b"authproxy: log lines are being lost: "


def notice(lines: int) -> bytes:
    """
    Return the line that tells of lost ones.
    """
    return b"lost %d\n" % lines


@pytest.fixture
def pipes():
    """
    Make pipes that are closed in the end.
    """
    ends: list[int] = []

    def make() -> tuple[int, int]:
        pair = os.pipe()
        ends.extend(pair)
        return pair

    yield make
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read_until(descriptor: int, last: bytes) -> bytes:
    """
    Read until what came ends so.
    """
    text = b""
    while not text.endswith(last):
        text += os.read(descriptor, 65_536)
    return text


def test_sink_writes_all_in_order():
    """
    What was handed over before closing is written whole.
    """
    read, write = os.pipe()
    sink = Sink(write)
    for number in range(1000):
        sink.put(b"%d\n" % number)
    sink.close()
    os.close(write)
    with os.fdopen(read, "rb") as lines:
        assert [int(line) for line in lines] == list(range(1000))
    assert sink.dropped == 0


def test_sink_that_nobody_reads_drops_and_counts(pipes):
    """
    A pipe that stands still holds up nobody: beyond the bound, lines are dropped.
    """
    (read, write), (_, stderr) = pipes(), pipes()
    sink = Sink(write, bound=200_000, stderr=stderr)
    for _ in range(300):
        sink.put(b"x" * 1000)
    assert sink.dropped >= 34  # what the pipe itself took is beside the bound
    os.close(read)
    sink.close()
    os.close(write)
    sink.put(b"late")
    assert sink.dropped >= 35


def test_sink_survives_a_pipe_that_does_not_block():
    """
    A descriptor somebody made non-blocking is waited for, not given up.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    sink = Sink(write)
    sink.put(b"x" * 500_000)
    got = 0
    while got < 500_000:
        got += len(os.read(read, 65536))
    sink.close()
    os.close(read)
    os.close(write)
    assert sink.dropped == 0


def test_lost_lines_are_told_of_at_once_and_where_they_are_missing(pipes):
    """
    A full pipe: standard error hears of it once, the log says how many once somebody reads again.
    """
    (read, write), (heard, stderr) = pipes(), pipes()
    sink = Sink(write, bound=200_000, notice=notice, stderr=stderr)
    sink.put(b"x" * 199_990 + b"\n")
    begun = os.read(read, 1)  # from here on the writing stands in the full pipe
    for _ in range(5):
        sink.put(b"lost, too\nlost\n" * 10)
    assert sink.dropped == 100
    said = os.read(heard, 4096)

    text = read_until(read, b"lost 100\n")
    sink.put(b"again\n")
    sink.close()

    assert said == SAID + UNREAD.encode() + b"\n"
    assert begun + text == b"x" * 199_990 + b"\nlost 100\n"
    assert os.read(read, 4096) == b"again\n"


def test_a_closed_pipe_is_named_and_said_once(pipes):
    """
    What the system says of the failure is passed on; the losses after it are one gap.
    """
    (read, write), (heard, stderr) = pipes(), pipes()
    os.close(read)
    sink = Sink(write, notice=notice, stderr=stderr)
    sink.put(b"a\nb\n")
    said = os.read(heard, 4096)
    sink.put(b"c\n")
    sink.close()
    os.close(stderr)

    assert said == SAID + b"Broken pipe\n"
    assert os.read(heard, 4096) == b""
    assert sink.dropped == 3


def test_after_a_failure_lines_are_whole_again(pipes):
    """
    When a descriptor can be written again, the torn line ends first, and the count follows.
    """
    (read, write), (heard, stderr) = pipes(), pipes()
    sink = Sink(write, notice=notice, stderr=stderr)
    sink.put(b"x" * 1_000_000 + b"\n")  # more than the pipe takes: the writing stands in it
    os.read(read, 1)
    os.close(read)
    os.read(heard, 4096)
    read, other = os.pipe()
    os.dup2(other, write)
    os.close(other)
    sink.put(b"whole\n")
    sink.close()

    assert os.read(read, 4096) == b"\nwhole\nlost 1\n"
    os.close(read)


def test_standard_error_that_nobody_reads_holds_up_nobody(pipes):
    """
    Both pipes are full: putting returns all the same, and so does the complaint.
    """
    (_, write), (heard, stderr) = pipes(), pipes()
    os.set_blocking(stderr, False)
    filled = 0
    try:
        while True:
            filled += os.write(stderr, b"x" * 65_536)
    except BlockingIOError:
        os.set_blocking(stderr, True)
    sink = Sink(write, bound=100, notice=notice, stderr=stderr)
    for _ in range(10):
        sink.put(b"x" * 101 + b"\n")
    sink.close()
    assert sink.dropped == 10
    while filled:
        filled -= len(os.read(heard, min(filled, 65_536)))
    assert os.read(heard, 4096) == SAID + UNREAD.encode() + b"\n"


def test_complaints_come_at_most_once_a_minute(pipes):
    """
    Each gap is complained of once; one soon after another only when a minute has passed.
    """
    heard, stderr = pipes()
    times = {"now": 0.0}
    complaints = Complaints(stderr, lambda: times["now"])

    def tell(now: float) -> bytes:
        times["now"] = now
        complaints.tell(str(now))
        for thread in threading.enumerate():
            if thread.name == "log-loss":
                thread.join()
        os.set_blocking(heard, False)
        try:
            return os.read(heard, 4096)
        except BlockingIOError:
            return b""

    assert tell(0.0) == SAID + b"0.0\n"
    assert tell(QUIET + 1) == b""
    complaints.over()
    assert tell(QUIET + 2) == SAID + b"62.0\n"
    complaints.over()
    assert tell(QUIET + 3) == b""
    assert tell(QUIET * 2 + 2) == SAID + b"122.0\n"

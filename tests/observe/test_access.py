from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from proxy.core.secret import Secret
from proxy.observe.access import BATCH, AccessLog, ConsoleAccessLog, timestamp
from proxy.observe.log import make_logger, wants_console
from proxy.observe.sink import Sink

RECORD = {"request_id": "i", "method": "GET", "path": '/"\u00e9', "status": 200, "route": "api",
          "service_user": "u", "token": "cached", "caller": None, "error": None, "replayed": True,
          "duration_ms": 1.5}  # fmt: skip


class ListSink:
    """
    Keeps what it is handed.
    """

    def __init__(self):
        self.pieces: list[bytes] = []
        self.came = asyncio.Event()

    def put(self, piece):
        """
        Keep a piece.
        """
        self.pieces.append(piece)
        self.came.set()


async def test_line_is_json_with_stamp_level_and_event():
    """
    The contract's keys come first, then the record's in its order.
    """
    sink = ListSink()
    access = AccessLog(sink, lambda: 1_700_000_000.0625, asyncio.get_running_loop())
    access.write(RECORD)
    access.flush()
    line = json.loads(sink.pieces[0])

    assert list(line) == ["timestamp", "level", "event", *RECORD]
    assert line["timestamp"] == "2023-11-14T22:13:20.062Z" == timestamp(1_700_000_000.0625)
    assert line["event"] == "request.done"
    assert line["path"] == RECORD["path"]
    assert sink.pieces[0].endswith(b"}\n")


async def test_lines_go_out_in_batches():
    """
    A full batch goes at once, a small one when its time is up.
    """
    sink = ListSink()
    access = AccessLog(sink, lambda: 0.0, asyncio.get_running_loop())
    for _ in range(BATCH):
        access.write(RECORD)
    assert [piece.count(b"\n") for piece in sink.pieces] == [BATCH]
    sink.came.clear()
    access.write(RECORD)
    assert len(sink.pieces) == 1
    await asyncio.wait_for(sink.came.wait(), 5)
    assert len(sink.pieces) == 2
    access.flush()
    assert len(sink.pieces) == 2


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, 'GET /"\u00e9 \x1b[2m→ api as u token=cached replayed 1.5 ms'),
        ({"route": None, "status": 404}, "no route"),
        ({"method": None, "path": None, "duration_ms": None, "error": "bad_request: x"}, "400"),
    ],
)
async def test_console_line_is_for_a_person(change, shown):
    """
    One short line, also for what never became a request.
    """
    sink = ListSink()
    if "error" in change:
        change = {**change, "status": 400}
    console = ConsoleAccessLog(sink, lambda: 0.0, asyncio.get_running_loop())
    console.write({**RECORD, **change})
    line = sink.pieces[0].decode()

    assert shown in line
    assert "None" not in line


def test_events_are_redacted():
    """
    What bears a telling name, or travels as a secret, is not shown; a traceback is.
    """
    sink = ListSink()
    log = make_logger(sink, lambda: 0.0, console=False)
    error = ValueError("oops")
    log.error("internal.error", authorization="canary", value=Secret("canary"), exc_info=error)
    line = json.loads(sink.pieces[0])

    assert "canary" not in str(line)
    assert line["event"] == "internal.error"
    assert "oops" in str(line["exception"])
    assert line["timestamp"] == "1970-01-01T00:00:00.000Z"


def test_console_is_for_terminals():
    """
    A pipe gets JSON.
    """
    with Path(os.devnull).open() as stream:
        assert not wants_console(stream)


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


def test_sink_that_nobody_reads_drops_and_counts():
    """
    A pipe that stands still holds up nobody: beyond the bound, pieces are dropped.
    """
    read, write = os.pipe()
    sink = Sink(write, bound=200_000)
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

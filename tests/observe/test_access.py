from __future__ import annotations

import asyncio
import json

import pytest

from proxy.observe.access import BATCH, AccessLog, ConsoleAccessLog, timestamp

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
    loop = asyncio.get_running_loop()
    console = ConsoleAccessLog(sink, lambda: 0.0, loop, colour=True)
    console.write({**RECORD, **change})
    line = sink.pieces[0].decode()

    assert shown in line
    assert "None" not in line


async def test_console_line_without_colours_is_plain():
    """
    No escape sequence where colours are not welcome, not even one that a caller sends.
    """
    sink = ListSink()
    loop = asyncio.get_running_loop()
    console = ConsoleAccessLog(sink, lambda: 0.0, loop, colour=False)
    console.write({**RECORD, "path": "/\x1b[2J\x9b\n"})

    assert sink.pieces == [
        b"00:00:00 200 GET /\\x1b[2J\\x9b\\n \xe2\x86\x92 api as u token=cached replayed 1.5 ms\n"
    ]

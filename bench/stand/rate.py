"""
Requests made at a rate, whatever becomes of those before.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.stand.caller import request_head

if TYPE_CHECKING:
    from bench.peers import Peer

GIVEN_UP = 30.0
"""Seconds after which a request is given up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one request.

    Attributes:
        begin: When it was sent, in seconds of CLOCK_MONOTONIC.
        end: When its answer was whole, or it was given up.
        status: The answer's; 0 without one.
        come_back: Whether it has Retry-After.
    """

    begin: float
    end: float
    status: int
    come_back: bool = False


async def call_at_rate(
    peer: Peer, rate: float, outcomes: list[Outcome], stop: asyncio.Event
) -> None:
    """
    Ask so many times a second, however long answers take; each on a connection of its own while
    it waits.

    Args:
        peer: Whom.
        rate: Requests a second.
        outcomes: Where they are put, in the order of their ends.
        stop: Set to end it.
    """
    head = request_head(peer, "small")
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call() -> None:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(GIVEN_UP):
                streams = (
                    idle.pop() if idle else await asyncio.open_connection("127.0.0.1", peer.port)
                )
                streams[1].write(head)
                got = (await streams[0].readuntil(b"\r\n\r\n")).lower()
                length = got.partition(b"content-length:")[2].partition(b"\r\n")[0]
                await streams[0].readexactly(int(length))
        except (OSError, EOFError, ValueError):  # TimeoutError is an OSError
            outcomes.append(Outcome(begin, time.monotonic(), 0))
            return
        come_back = b"\r\nretry-after:" in got
        outcomes.append(Outcome(begin, time.monotonic(), int(got[9:12]), come_back))
        idle.append(streams)

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            await asyncio.sleep(began + number / rate - time.monotonic())
            if stop.is_set():
                break
            group.create_task(call())
    for _, writer in idle:
        writer.close()

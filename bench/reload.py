"""
What does a reload cost the requests beside it?

Theory of operation
-------------------
Callers ask at a steady pace while the configuration changes every half second: a route's timeout, so
that each change makes a new generation. The slowest request of each half second is set beside those
of a quiet time before. An answer that is not 200, or a connection that closes, fails the run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

from bench.stand.caller import Answer, call_steadily, no_collection
from bench.stand.ground import Entry
from bench.stand.question import Measure, Plan, Question, Sample
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers import Peer
    from bench.stand.ground import Ground

AT = Measure("slowest at a reload ms", 1, ratio=False, more=False)
WORST = Measure("worst of all ms", 1, ratio=False, more=False, worst=True)
QUIET = Measure("slowest without ms", 1, ratio=False, more=False)
GROWN = Measure("MiB grown", 1, ratio=False, more=False)

FEW, MANY = 10, 1000

RELOADS = 20
"""Changes of one run: file, SIGHUP, and half a second."""

EVERY = 0.5
CONNECTIONS = 8
THINK = 0.005


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure each size by itself.
    """
    entries = [
        Entry(kind, Scene(routes=count), f"{kind}, {count} routes")
        for count in (FEW, MANY)
        for kind in plan.kinds or QUESTION.kinds
    ]
    with ground.peers(entries) as peers, no_collection():
        for cycle in range(plan.cycles):
            for peer in peers:
                yield Sample(peer.name, cycle, asyncio.run(_visit(peer)))


async def _visit(peer: Peer) -> dict[str, float]:
    assert peer.process is not None
    seconds = RELOADS * EVERY
    rest = peer.process.resident()
    quiet = await call_steadily(peer, connections=CONNECTIONS, think=THINK, seconds=seconds / 4)
    answers, changed = await asyncio.gather(
        call_steadily(peer, connections=CONNECTIONS, think=THINK, seconds=seconds),
        _change(peer),
    )
    slowest = [_slowest(answers, begin) for begin in changed]
    return {
        AT.name: statistics.median(slowest),
        WORST.name: max(slowest),
        QUIET.name: statistics.median(
            _slowest(quiet, quiet[0].begin + at * EVERY) for at in range(RELOADS // 4)
        ),
        GROWN.name: peer.process.resident() - rest,
    }


async def _change(peer: Peer) -> list[float]:
    """
    Change the configuration again and again; return when.
    """
    assert peer.process is not None
    file = peer.work / "proxy.yaml"
    text = file.read_text()
    changed = []
    for count in range(RELOADS - 1):
        file.write_text(f"{text}limits: {{headers: {100 + count}}}\n")
        changed.append(time.monotonic())
        peer.process.hang_up()
        await asyncio.sleep(EVERY)
    return changed


def _slowest(answers: Sequence[Answer], begin: float) -> float:
    """
    Return the milliseconds of the slowest request that touches half a second.
    """
    return max(
        (
            answer.took * 1e3
            for answer in answers
            if answer.begin < begin + EVERY and answer.begin + answer.took > begin
        ),
        default=0.0,
    )


QUESTION = Question(
    "reload",
    "What does a reload cost the requests beside it?",
    (AT, WORST, QUIET, GROWN),
    ("authproxy",),
    run,
    pairs=((f"authproxy, {MANY} routes", f"authproxy, {FEW} routes"),),
    notes=f"{RELOADS - 1} reloads a cycle, each with a new generation; no request may fail.",
)

"""
How much memory does a caller hold that only keeps its connection?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.caller import idle_connections
from bench.stand.load import Load, run_wrk
from bench.stand.process import pause
from bench.stand.question import Measure, Plan, Question, Sample, Values, one_round
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from bench.stand.ground import Ground

EACH = Measure("KiB per idle caller", 1, more=False)
REST = Measure("MiB at rest", 1, more=False)
FULL = Measure("MiB with all", 1, more=False)

CALLERS = 1000
ROUNDS = 3
"""At most so many: every round starts its peers anew, for memory once taken is seldom given back."""


def visit(peer: Peer) -> Values:
    """
    Return resident memory before and with the callers.
    """
    assert peer.process is not None
    run_wrk(peer, Load(connections=8))
    pause(0.3)
    rest = peer.process.resident()
    with idle_connections(peer, CALLERS):
        pause(0.3)
        full = peer.process.resident()
    return {EACH.name: (full - rest) * 1024 / CALLERS, REST.name: rest, FULL.name: full}


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure.
    """
    for cycle in range(min(plan.cycles, ROUNDS)):
        with ground.peers(plan.entries(QUESTION.kinds, Scene())) as peers:
            yield from one_round(peers, cycle, visit)


QUESTION = Question(
    "idle",
    f"How much memory do {CALLERS} callers hold that only keep their connection?",
    (EACH, REST, FULL),
    ("authproxy", "envoy", "nginx", "aiohttp"),
    run,
)

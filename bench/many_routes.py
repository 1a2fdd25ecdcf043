"""
What do ten thousand routes cost, beside ten?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.ground import Entry
from bench.stand.load import Load, run_wrk
from bench.stand.question import Measure, Plan, Question, Sample, Values, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from bench.stand.ground import Ground

RATE = Measure("req per CPU s")
START = Measure("start s", 1, more=False)
REST = Measure("MiB", 0, more=False)

FEW, MANY = 10, 10_000


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure requests to the route in the middle of the list.
    """
    load = Load(seconds=plan.seconds)
    entries = [
        Entry(kind, Scene(routes=count), f"{kind}, {count}")
        for count in (FEW, MANY)
        for kind in QUESTION.kinds
    ]

    def visit(peer: Peer) -> Values:
        assert peer.process is not None
        found = {RATE.name: run_wrk(peer, load).per_cpu, START.name: peer.started_in}
        return {**found, REST.name: peer.process.resident()}

    with ground.peers(entries) as peers:
        yield from rounds(peers, plan.cycles, visit)


QUESTION = Question(
    "many_routes",
    f"What do {MANY:,} routes cost, beside {FEW}?",
    (RATE, START, REST),
    ("authproxy", "envoy"),
    run,
    pairs=(
        (f"authproxy, {MANY}", f"authproxy, {FEW}"),
        (f"envoy, {MANY}", f"envoy, {FEW}"),
        (f"authproxy, {MANY}", f"envoy, {MANY}"),
    ),
)

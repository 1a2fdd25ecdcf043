"""
How much latency does a proxy add to one caller that waits for each answer?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.load import Load, run_wrk
from bench.stand.question import Measure, Plan, Question, Sample, one_round
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from bench.stand.ground import Ground

ADDED = Measure("added p50 µs", more=False)
P50 = Measure("p50 µs", more=False)
P99 = Measure("p99 µs", more=False)


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure; what is added is the difference to `direct` in the same cycle.
    """
    load = Load(connections=1, seconds=plan.seconds)

    def visit(peer: Peer) -> dict[str, float]:
        seen = run_wrk(peer, load)
        return {P50.name: seen.p50 * 1e3, P99.name: seen.p99 * 1e3}

    with ground.peers(plan.entries(QUESTION.kinds, Scene())) as peers:
        for cycle in range(-1, plan.cycles):
            samples = list(one_round(peers, cycle, visit))
            if cycle < 0:
                continue  # the first round warms up
            least = min(sample.values[P50.name] for sample in samples)
            base = next((each.values[P50.name] for each in samples if each.peer == "direct"), least)
            for sample in samples:
                added = sample.values[P50.name] - base
                yield Sample(sample.peer, cycle, {ADDED.name: added, **sample.values})


QUESTION = Question(
    "latency",
    "How much latency does a proxy add to one caller that waits for each answer?",
    (ADDED, P50, P99),
    ("authproxy", "authproxy-null", "envoy", "nginx", "aiohttp", "direct"),
    run,
)

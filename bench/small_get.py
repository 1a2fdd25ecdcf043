"""
How much CPU time does a small GET cost at 64 connections?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.load import Load, run_wrk
from bench.stand.question import Measure, Plan, Question, Sample, Values, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from bench.stand.ground import Ground

MEASURES = (
    Measure("req per CPU s"),
    Measure("req/s"),
    Measure("p50 ms", 2, more=False),
    Measure("p99 ms", 2, more=False),
)


def values(peer: Peer, load: Load) -> Values:
    """
    Visit a peer with wrk and return the four measures.
    """
    seen = run_wrk(peer, load)
    found = (seen.per_cpu, seen.rate, seen.p50, seen.p99)
    return {measure.name: value for measure, value in zip(MEASURES, found, strict=True)}


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure.
    """
    with ground.peers(plan.entries(QUESTION.kinds, Scene())) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: values(peer, Load(seconds=plan.seconds)))


QUESTION = Question(
    "small_get",
    "How much CPU time does a small GET cost at 64 connections?",
    MEASURES,
    ("authproxy", "authproxy-null", "envoy", "nginx", "aiohttp"),
    run,
)

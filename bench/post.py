"""
How much CPU time does a POST of 4 KiB cost?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.small_get import MEASURES, values
from bench.stand.load import Load
from bench.stand.question import Plan, Question, Sample, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stand.ground import Ground


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure against an upstream that reads the body before it answers.
    """
    load = Load("sink", seconds=plan.seconds, body=4096)
    with ground.peers(plan.entries(QUESTION.kinds, Scene(upload=True))) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: values(peer, load))


QUESTION = Question(
    "post",
    "How much CPU time does a POST of 4 KiB cost at 64 connections?",
    MEASURES,
    ("authproxy", "authproxy-null", "envoy", "nginx", "aiohttp"),
    run,
)

"""
What does a small GET cost when no two requests are alike?
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
    Measure with a query, a request id and a trace that are new each time.
    """
    load = Load(seconds=plan.seconds, varied=True)
    with ground.peers(plan.entries(QUESTION.kinds, Scene())) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: values(peer, load))


QUESTION = Question(
    "varied",
    "What does a small GET cost when no two requests are alike?",
    MEASURES,
    ("authproxy", "envoy", "nginx", "aiohttp"),
    run,
    notes="Equal header sections are read once per connection; here there are none.",
)

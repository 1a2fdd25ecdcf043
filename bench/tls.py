"""
What does a small GET cost with TLS to the upstream, and with TLS from the caller?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.load import Load, run_wrk
from bench.stand.question import Measure, Plan, Question, Sample, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stand.ground import Ground

UPSTREAM = Measure("https upstream: req per CPU s")
LISTENER = Measure("https listener: req per CPU s")


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure each side alone; connections are kept, so handshakes do not count.
    """
    load = Load(seconds=plan.seconds)
    for measure, scene in (
        (UPSTREAM, Scene(upstream_tls=True)),
        (LISTENER, Scene(listener_tls=True)),
    ):
        with ground.peers(plan.entries(QUESTION.kinds, scene)) as peers:
            for sample in rounds(
                peers, plan.cycles, lambda peer: {"found": run_wrk(peer, load).per_cpu}
            ):
                yield Sample(sample.peer, sample.cycle, {measure.name: sample.values["found"]})


QUESTION = Question(
    "tls",
    "What does a small GET cost with TLS on one side, at 64 connections?",
    (UPSTREAM, LISTENER),
    ("authproxy", "envoy", "nginx", "aiohttp"),
    run,
)

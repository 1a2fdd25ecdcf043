"""
What is left of that with 200 routes, and callers that have to show a key?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.small_get import MEASURES, values
from bench.stand.ground import Entry
from bench.stand.load import Load
from bench.stand.question import Plan, Question, Sample, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stand.ground import Ground

ROUTES = 200


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure: ours with and without, Envoy with the routes alone.
    """
    entries = [
        Entry("authproxy", Scene(), "authproxy, 1 route"),
        Entry("authproxy", Scene(routes=ROUTES), f"authproxy, {ROUTES}"),
        Entry("authproxy", Scene(routes=ROUTES, caller_keys=True), f"authproxy, {ROUTES} + keys"),
        Entry("envoy", Scene(routes=ROUTES), f"envoy, {ROUTES}"),
    ]
    with ground.peers(entries) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: values(peer, Load(seconds=plan.seconds)))


QUESTION = Question(
    "routes_and_keys",
    f"What is left of that with {ROUTES} routes and callers that show a key?",
    MEASURES,
    ("authproxy", "envoy"),
    run,
    pairs=(
        (f"authproxy, {ROUTES} + keys", f"envoy, {ROUTES}"),
        (f"authproxy, {ROUTES}", f"envoy, {ROUTES}"),
        (f"authproxy, {ROUTES} + keys", "authproxy, 1 route"),
    ),
    notes="Envoy has the routes alone: it knows no caller keys. The route asked for is the middle one.",
)

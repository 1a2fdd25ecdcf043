"""
Is a request slower because the token is being renewed?
"""

from __future__ import annotations

import asyncio
import statistics
from typing import TYPE_CHECKING

from bench.stand.caller import Answer, call_steadily, no_collection
from bench.stand.question import Measure, Plan, Question, Sample
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers import Peer
    from bench.stand.ground import Ground

EXCESS = Measure("worst excess ms", 1, ratio=False, more=False, worst=True)
AT = Measure("slowest at a renewal ms", 1, ratio=False, more=False)
ELSEWHERE = Measure("slowest beside it ms", 1, ratio=False, more=False)
ALLOWED = 20.0
"""Milliseconds a renewal may cost the slowest request beside it."""

LIFE = 6
"""Seconds a token lives: each peer renews it a few times while we look."""

SECONDS = 15.0
MINT_TAKES = 200
"""Milliseconds the issuer thinks: whoever waits for a mint is seen."""

CONNECTIONS = 8
THINK = 0.005
MARGIN = 0.1
"""Seconds after a mint in which the new token begins to be used."""


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure all peers at the same time, so that a hiccup of the machine hits them alike.
    """
    scene = Scene(token_life=LIFE, mint_takes=MINT_TAKES)
    with ground.peers(plan.entries(QUESTION.kinds, scene)) as peers:
        with no_collection():
            seen = asyncio.run(_call_all(peers))
        for peer, answers in zip(peers, seen, strict=True):
            for cycle, mint in enumerate(ground.mints(peer.name)):
                values = around(mint, answers)
                if values:
                    yield Sample(peer.name, cycle, values)


async def _call_all(peers: Sequence[Peer]) -> list[list[Answer]]:
    return await asyncio.gather(
        *(
            call_steadily(peer, connections=CONNECTIONS, think=THINK, seconds=SECONDS)
            for peer in peers
        )
    )


def around(mint: tuple[float, float], answers: Sequence[Answer]) -> dict[str, float]:
    """
    Compare the slowest request at a mint with the slowest in equal times before and after it.

    Returns:
        The measures; empty if the mint or its neighbours lie outside of what was seen.
    """
    begin, end = mint[0], mint[1] + MARGIN
    length = end - begin
    slowest = [
        max(
            (answer.took for answer in answers if _touches(answer, start, start + length)),
            default=0,
        )
        for start in (begin + step * length for step in (0, -3, -2, -1, 1, 2, 3))
    ]
    if not all(slowest):
        return {}
    at, beside = slowest[0] * 1e3, statistics.median(slowest[1:]) * 1e3
    return {EXCESS.name: max(at - beside, 0.0), AT.name: at, ELSEWHERE.name: beside}


def _touches(answer: Answer, begin: float, end: float) -> bool:
    return answer.begin < end and answer.begin + answer.took > begin


QUESTION = Question(
    "renewal",
    "Is a request slower because the token is being renewed?",
    (EXCESS, AT, ELSEWHERE),
    ("authproxy", "envoy", "aiohttp"),
    run,
    notes=(
        f"The issuer takes {MINT_TAKES} ms for a mint. Held if the excess stays under {ALLOWED:.0f} ms; "
        "the aiohttp relay makes callers wait for its mint, and so shows what is looked for."
    ),
)

"""
How many bytes does a second of CPU time move, and does memory stay flat?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stand.caller import download, read_slowly, upload
from bench.stand.ground import SIZES
from bench.stand.load import Load, run_wrk
from bench.stand.question import Measure, Plan, Question, Sample, Values, rounds
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.peers import Peer
    from bench.stand.ground import Ground

DOWN_1 = Measure("1 MiB down: MB per CPU s")
UP_1 = Measure("1 MiB up")
DOWN_100 = Measure("100 MiB down")
UP_100 = Measure("100 MiB up")
GROWTH_DOWN = Measure("MiB grown: down", 1, ratio=False, more=False, worst=True)
GROWTH_UP = Measure("up", 1, ratio=False, more=False, worst=True)
GROWTH_SLOW = Measure("slow reader", 1, ratio=False, more=False, worst=True)

CONNECTIONS = 8
"""Callers at once for bodies of 1 MiB."""


def moved(peer: Peer, act: Callable[[], int]) -> float:
    """
    Return the MB per second of CPU time while *act* moves the bytes it returns.
    """
    before = peer.cpu()
    count = act()
    return count / 1e6 / max(peer.cpu() - before, 1e-4)


def grown(peer: Peer) -> float:
    """
    Return by how many MiB resident memory rose at most since the peer's first request.
    """
    assert peer.process is not None
    return max(peer.process.peak() - peer.rest, 0.0)


def _down(peer: Peer, seconds: int) -> Values:
    found: Values = {}
    load = Load("1m", connections=CONNECTIONS, seconds=seconds)
    found[DOWN_1.name] = run_wrk(peer, load).per_cpu * SIZES["1m"] / 1e6
    found[DOWN_100.name] = moved(peer, lambda: download(peer, "100m"))
    found[GROWTH_DOWN.name] = grown(peer)
    read_slowly(peer, "100m", 0.5)
    found[GROWTH_SLOW.name] = grown(peer)
    return found


def _up(peer: Peer, seconds: int) -> Values:
    found: Values = {}
    load = Load("sink", connections=CONNECTIONS, seconds=seconds, body=SIZES["1m"])
    found[UP_1.name] = run_wrk(peer, load).per_cpu * SIZES["1m"] / 1e6
    found[UP_100.name] = moved(peer, lambda: upload(peer, SIZES["100m"]))
    found[GROWTH_UP.name] = grown(peer)
    return found


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Measure down, then up.
    """
    with ground.peers(plan.entries(QUESTION.kinds, Scene())) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: _down(peer, plan.seconds))
    with ground.peers(plan.entries(QUESTION.kinds, Scene(upload=True))) as peers:
        yield from rounds(peers, plan.cycles, lambda peer: _up(peer, plan.seconds))


QUESTION = Question(
    "bodies",
    "How many bytes does a second of CPU time move, and does memory stay flat?",
    (DOWN_1, UP_1, DOWN_100, UP_100, GROWTH_DOWN, GROWTH_UP, GROWTH_SLOW),
    ("authproxy", "envoy", "nginx", "aiohttp"),
    run,
    notes="Growth is the largest rise of resident memory since the first request; slow reader: downloads, then one at 3 MiB/s.",
)

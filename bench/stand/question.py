"""
A question, what is measured for it, and the rounds that measure it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.peers import KINDS
from bench.stand.ground import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.peers import Peer
    from bench.stand.ground import Ground
    from bench.stand.scene import Scene

BASELINE = "envoy"
"""The peer others are compared with, where a question does not say otherwise."""

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """
    One thing that is measured.

    Attributes:
        name: Column head, with its unit.
        digits: Decimal places shown.
        ratio: Whether two peers' values are divided by each other.
        more: Whether more of it is better.
        worst: The table shows the largest value instead of the median.
    """

    name: str
    digits: int = 0
    ratio: bool = True
    more: bool = True
    worst: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What one visit to one peer gave.

    Attributes:
        peer: Its label.
        cycle: Number of the round, from 0; ratios are made within one.
        values: Measure's name → value.
    """

    peer: str
    cycle: int
    values: Values


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How long to measure, and whom.

    Attributes:
        cycles: Rounds.
        seconds: Length of one visit, at least 1.
        kinds: Names of the kinds of peers; empty for the question's own choice.
        outages: Kinds of outage (`issuer.OUTAGES`); empty for all of them.
    """

    cycles: int = 5
    seconds: int = 1
    kinds: tuple[str, ...] = ()
    outages: tuple[str, ...] = ()

    def entries(self, kinds: Sequence[str], scene: Scene) -> list[Entry]:
        """
        Return the kinds that are wanted and can play a scene.
        """
        wanted = self.kinds or kinds
        return [Entry(kind, scene) for kind in wanted if KINDS[kind].plays(scene)]


@dataclass(frozen=True, slots=True)
class Question:
    """
    What a script answers.

    Attributes:
        name: The script's name.
        asks: The question, as a sentence.
        measures: What is measured, the most important first.
        kinds: The kinds of peers that take part unless the command line says otherwise.
        run: Measures.
        pairs: Labels to divide by each other; empty for everyone by `BASELINE`.
        notes: What a reader of the table has to know.
        seconds: Length of one visit if it is asked alone and the command line does not say.
    """

    name: str
    asks: str
    measures: tuple[Measure, ...]
    kinds: tuple[str, ...]
    run: Callable[[Ground, Plan], Iterator[Sample]]
    pairs: tuple[tuple[str, str], ...] = field(default=())
    notes: str = ""
    seconds: int = 1


def one_round(
    peers: Sequence[Peer], cycle: int, visit: Callable[[Peer], Values]
) -> Iterator[Sample]:
    """
    Visit every peer once, in random order.
    """
    for peer in random.sample(peers, len(peers)):
        yield Sample(peer.name, cycle, visit(peer))


def rounds(peers: Sequence[Peer], cycles: int, visit: Callable[[Peer], Values]) -> Iterator[Sample]:
    """
    Visit every peer once to warm it up, then once in each cycle.
    """
    for peer in peers:
        visit(peer)
    for cycle in range(cycles):
        yield from one_round(peers, cycle, visit)

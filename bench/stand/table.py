"""
Samples → medians and ratios → a table for a terminal, or JSON.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bench.stand.question import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.stand.question import Measure, Question, Sample

NOTHING = "-"
"""What stands where nothing was measured."""

Quartiles = tuple[float, float, float]


def pairs_of(question: Question, samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """
    Return which peers are divided by which, as far as both are there.
    """
    seen = list(dict.fromkeys(sample.peer for sample in samples))
    pairs = question.pairs or tuple((peer, BASELINE) for peer in sorted(seen))
    return [
        (one, other)
        for one, other in pairs
        if one in seen and other in seen and one not in {other, "direct"}
    ]


def values_of(samples: Iterable[Sample], peer: str, measure: Measure) -> dict[int, float]:
    """
    Return a peer's values of one measure, by cycle.
    """
    return {
        sample.cycle: sample.values[measure.name]
        for sample in samples
        if sample.peer == peer and measure.name in sample.values
    }


def ratio(samples: Sequence[Sample], pair: tuple[str, str], measure: Measure) -> Quartiles | None:
    """
    Return lower quartile, median and upper quartile of the ratios within each cycle.
    """
    one, other = (values_of(samples, peer, measure) for peer in pair)
    divided = [one[cycle] / other[cycle] for cycle in one if other.get(cycle, 0) > 0]
    return quartiles(divided) if measure.ratio and divided else None


def quartiles(values: Sequence[float]) -> Quartiles:
    """
    Return lower quartile, median and upper quartile.
    """
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def as_text(question: Question, samples: Sequence[Sample]) -> str:
    """
    Return the table of one question.
    """
    heads = [measure.name for measure in question.measures]
    peers = sorted(
        {sample.peer for sample in samples}, key=lambda peer: _rank(question, samples, peer)
    )
    rows = [["", *heads]]
    rows += [[peer, *(_cell(samples, peer, each) for each in question.measures)] for peer in peers]
    divided = [["", *heads]]
    for pair in pairs_of(question, samples):
        cells = [_ratio_cell(ratio(samples, pair, each)) for each in question.measures]
        divided.append([" ÷ ".join(pair), *cells])
    text = [f"{question.name}: {question.asks}", *_aligned(rows)]
    if len(divided) > 1 and any(measure.ratio for measure in question.measures):
        text += ["  ratio within a cycle: median [quartiles]", *_aligned(divided)[1:]]
    if question.notes:
        text += [f"  {question.notes}"]
    return "\n".join(text)


def as_json(question: Question, samples: Sequence[Sample]) -> dict[str, Any]:
    """
    Return the same as values for JSON, with every sample.
    """
    medians: dict[str, dict[str, float]] = defaultdict(dict)
    for measure in question.measures:
        for peer in {sample.peer for sample in samples}:
            values = values_of(samples, peer, measure)
            if values:
                medians[peer][measure.name] = _summary(values.values(), measure)
    ratios = [
        {"of": one, "to": other, "measure": measure.name, "quartiles": found}
        for one, other in pairs_of(question, samples)
        for measure in question.measures
        if (found := ratio(samples, (one, other), measure)) is not None
    ]
    return {
        "question": question.name,
        "asks": question.asks,
        "values": medians,
        "ratios": ratios,
        "samples": [
            {"peer": each.peer, "cycle": each.cycle, "values": each.values} for each in samples
        ],
    }


def _summary(values: Iterable[float], measure: Measure) -> float:
    return max(values) if measure.worst else statistics.median(values)


def _rank(question: Question, samples: Sequence[Sample], peer: str) -> tuple[bool, float]:
    """
    Sort the best of the first measure to the top, and those without it to the end.
    """
    measure = question.measures[0]
    found = values_of(samples, peer, measure)
    if not found:
        return True, 0.0
    summary = _summary(found.values(), measure)
    return False, -summary if measure.more else summary


def _cell(samples: Sequence[Sample], peer: str, measure: Measure) -> str:
    found = values_of(samples, peer, measure)
    return f"{_summary(found.values(), measure):,.{measure.digits}f}" if found else NOTHING


def _ratio_cell(found: Quartiles | None) -> str:
    return f"{found[1]:.2f} [{found[0]:.2f} {found[2]:.2f}]" if found else NOTHING


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """
    Return lines with the first column flush left and the others flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]

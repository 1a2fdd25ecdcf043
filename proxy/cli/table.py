"""
Tables and small pictures for a terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL, EMPTY = "█", "░"
PLAIN_FULL, PLAIN_EMPTY = "#", "-"

LEAST = 10
"""Letters of a cell that are still worth showing."""


def rows(head: Sequence[str], body: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """
    Return a table with two blanks between columns.

    Args:
        head: The columns' titles.
        body: Its lines; cells may be styled.
        right: Columns whose cells end at the same place: numbers.
    """
    titled = [[cell and click.style(cell, dim=True) for cell in head], *body]
    widths = [
        max(len(click.unstyle(cell)) for cell in column) for column in zip(*titled, strict=True)
    ]
    lines = []
    for cells in titled:
        padded = []
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            blanks = " " * (width - len(click.unstyle(cell)))
            padded.append(blanks + cell if column in right else cell + blanks)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def narrowed(
    head: Sequence[str], body: Sequence[tuple[str, ...]], column: int, width: int
) -> list[tuple[str, ...]]:
    """
    Return a table's lines with the cells of one column cut, so that it is not wider than a terminal.

    Args:
        head: The columns' titles.
        body: Its lines; cells of the column are not styled.
        column: The column, which keeps LEAST letters at least.
        width: Of the terminal.
    """
    widths = [
        max(len(click.unstyle(cell)) for cell in cells) for cells in zip(head, *body, strict=True)
    ]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    most = max(widths[column] - excess, LEAST)
    made = []
    for cells in body:
        cell = cells[column]
        short = cell if len(cell) <= most else f"{cell[: most - 1]}…"
        made.append((*cells[:column], short, *cells[column + 1 :]))
    return made


def bar(share: float, width: int = 8) -> str:
    """
    Return how much is left as a bar; *share* from 0 to 1.
    """
    filled = min(max(round(share * width), 0), width)
    full, empty = (FULL, EMPTY) if drawable(FULL + EMPTY) else (PLAIN_FULL, PLAIN_EMPTY)
    return full * filled + empty * (width - filled)


def drawable(text: str) -> bool:
    """
    Return whether standard output can show *text*.
    """
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def span(seconds: float) -> str:
    """
    Return a length of time in its two largest units, such as `45s`, `5m 10s`, `11h 59m`, `3d 2h`.
    """
    left = round(max(seconds, 0.0))
    units = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    for place, (unit, size) in enumerate(units):
        if left >= size:
            text = f"{left // size}{unit}"
            smaller = units[place + 1 : place + 2]
            rest = left % size // smaller[0][1] if smaller else 0
            return f"{text} {rest}{smaller[0][0]}" if rest else text
    return "0s"

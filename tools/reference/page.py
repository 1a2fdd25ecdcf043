"""
Pieces of a Markdown page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by `make docs` from the program itself; change it there. -->"


def page(title: str, *parts: str) -> str:
    """
    Return a whole page; empty parts are left out.
    """
    return "\n\n".join((f"# {title}", NOTE, *(part.strip("\n") for part in parts if part))) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    Return a table; a bar within a cell is escaped.
    """
    lines = [_row(header), _row(["---"] * len(header))]
    lines.extend(_row([cell.replace("|", r"\|") for cell in row]) for row in rows)
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """
    Return *text* as code; nothing for nothing.
    """
    return f"`{text}`" if text else ""


def flat(text: str) -> str:
    """
    Return *text* on one line.
    """
    return " ".join(text.split())

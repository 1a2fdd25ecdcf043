"""
Write docs/reference anew: `python -m tools.reference`, which `make docs` runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.reference import commands, configuration, environment, errors, events, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"


def _configuration() -> str:
    return configuration.render((ROOT / "proxy.yaml").read_text("utf-8"))


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": _configuration,
    "errors.md": errors.render,
    "metrics.md": metrics.render,
    "events.md": events.render,
    "commands.md": commands.render,
    "environment.md": environment.render,
}
"""What makes each page, by its file's name."""


def write() -> None:
    """
    Write those pages that have changed, and name them.
    """
    FOLDER.mkdir(exist_ok=True)
    for name, render in PAGES.items():
        text = render()
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    write()

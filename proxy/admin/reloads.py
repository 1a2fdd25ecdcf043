"""
What the admin listener knows of reloading: the attempts so far, and how to ask for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Trigger: TypeAlias = Literal["start", "signal", "file", "request"]
Outcome: TypeAlias = Literal["started", "reloaded", "unchanged", "rejected"]


@dataclass(frozen=True, slots=True)
class Reload:
    """
    One attempt to read the configuration.

    Attributes:
        generation: The number of the generation that serves after it, from 1.
        at: When it ended, in seconds since the epoch.
        trigger: What asked for it.
        outcome: `started` with it · `reloaded`: it serves now · `unchanged`: it says what serves
            already · `rejected`: what served before goes on.
        changes: What it changed, a sentence each; names only, no values.
        problems: Why it was rejected, a line each.
        warnings: What is allowed but doubtful in what serves now, a line each.
    """

    generation: int
    at: float
    trigger: Trigger
    outcome: Outcome
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Reloads(Protocol):
    """
    Reloads the configuration.

    Attributes:
        last: The last attempt that was not `unchanged`.
        origin: What the configuration's source is called: the file, `stdin` or `environment`.
    """

    last: Reload
    origin: str

    async def reload(self, trigger: Trigger) -> Reload:
        """
        Read the configuration again, and serve by it if it can be used. Raises nothing.
        """
        ...

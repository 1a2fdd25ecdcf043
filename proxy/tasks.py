"""
The one place that starts a task nobody awaits at once.

The event loop keeps only weak references to tasks; `spawn` keeps a strong one in a set its owner
holds, starts the task in an empty context (a request's log fields must not leak into work that
outlives it), and hands an unexpected exception to the loop's handler instead of losing it.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def spawn(
    owner: set[asyncio.Task[Any]], work: Coroutine[Any, Any, T], *, name: str
) -> asyncio.Task[T]:
    """
    Start *work* as a task that *owner* keeps until it is done.

    Args:
        owner: The set that holds the task; cancel what is in it to stop.
        work: The coroutine.
        name: What the task is called in tracebacks and dumps.
    """
    task = asyncio.create_task(work, name=name, context=Context())  # noqa: TID251 - this is the place
    owner.add(task)
    task.add_done_callback(owner.discard)
    return task

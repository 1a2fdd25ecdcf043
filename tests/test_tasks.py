"""
Tasks nobody awaits at once.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from proxy.tasks import spawn

REQUEST: ContextVar[str] = ContextVar("request", default="none")


async def test_the_owner_keeps_the_task_until_it_is_done():
    """
    The loop alone would let it be collected in the middle of its work.
    """
    owner: set[asyncio.Task[Any]] = set()
    go = asyncio.Event()

    task = spawn(owner, go.wait(), name="work")
    assert owner == {task}
    go.set()

    assert await task is True
    await asyncio.sleep(0)  # the callback that lets go runs in the next turn of the loop
    assert owner == set()


async def test_a_task_starts_in_an_empty_context():
    """
    What a request bound to its log does not leak into work that outlives it.
    """

    async def see() -> str:
        return REQUEST.get()

    REQUEST.set("one")

    assert await spawn(set(), see(), name="see") == "none"

"""
What tests of the wire wait for, and what they count.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

PATIENCE = 5.0
"""Seconds after which what a test waits for does not come any more."""


async def until(condition):
    """
    Let the loop run until the condition holds.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a state of sockets, or of another task
            await asyncio.sleep(0)


async def soon(awaitable):
    """
    Await what must come soon.
    """
    async with asyncio.timeout(PATIENCE):
        return await awaitable


def descriptors():
    """
    Return how many files this process has open.
    """
    return len(list(Path("/dev/fd").iterdir()))

"""
The listeners' files are looked at now and then.
"""

from __future__ import annotations

import asyncio

from proxy.tasks import spawn
from proxy.tls.watch import look_forever


async def test_all_are_looked_at_again_and_again():
    """
    At once, then after each interval, by the clock that was given.
    """
    looks: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    moments = iter([1.0, 2.0, 3.0])

    class Listener:
        def __init__(self, name):
            self.name = name

        def look(self, now):
            looks.put_nowait((self.name, now))

    tasks: set[asyncio.Task[None]] = set()
    both = [Listener("a"), Listener("b")]
    task = spawn(tasks, look_forever(lambda: both, lambda: next(moments), 0.001), name="look")
    seen = [await looks.get() for _ in range(4)]
    task.cancel()

    assert seen == [("a", 1.0), ("b", 1.0), ("a", 2.0), ("b", 2.0)]

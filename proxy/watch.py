"""
Notices that the configuration's files have changed.

Theory of operation
-------------------
Files are looked at every two seconds, and at once when their folders say that something happened
there (with the extra `watch`). It is folders that are listened to, not files: editors, Kubernetes
and atomic writers put another file in the place of the old one. Notices of the file system do not
come over networks and not from behind links, so looking goes on either way.

A change counts once two looks in a row have seen the same: a file that is being written is not
read. If what was read cannot be used, it is tried again every ten seconds: what is missing may be
another file. What a look sees of a file is `rotation.sight`'s business; it may hang, hence the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from proxy.rotation.sight import State, state
from proxy.rotation.survey import Survey
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

INTERVAL = 2.0
"""Seconds between two looks."""

SETTLING = 0.25
"""Seconds after a look that saw a change, before the one that shall see the same."""

AGAIN = 5
"""Looks after which what could not be used is tried again."""


class Watch:
    """
    Watches some files.

    Args:
        paths: Returns the files; they may be others from one look to the next.
        on_change: Called once they have changed and are at rest; returns whether it could use them.
        interval: Seconds between two looks.
        settling: Seconds between the two looks that must see the same.
    """

    def __init__(
        self,
        paths: Callable[[], Iterable[Path]],
        on_change: Callable[[], Awaitable[bool]],
        *,
        interval: float = INTERVAL,
        settling: float = SETTLING,
    ) -> None:
        self._paths = paths
        self._on_change = on_change
        self._interval = interval
        self._settling = settling
        self._woken = asyncio.Event()
        self._taken: State | None = None  # as it was when it was last taken over
        self._seen: State | None = None  # as it was at the last look
        self._survey: Survey[State] | None = None  # one that has not come back
        self._patience = 0  # looks until what could not be used is tried again; 0 if it could

    def note(self) -> None:
        """
        Take the files as they are now for known. Blocks.
        """
        self._taken = self._seen = state(self._paths())

    async def look(self) -> bool:
        """
        Look once; call `on_change` if there is reason to. Return whether to look again soon.
        """
        paths = tuple(self._paths())
        survey = self._survey or Survey([("configuration", lambda: state(paths))])
        self._survey = None if await survey.ended(self._interval) else survey
        found = survey.taken()
        if not found:
            return False  # the file system does not answer: one thread that hangs is enough
        now, before = found[0], self._seen
        self._seen = now
        if now != before:
            return True
        if now == self._taken:
            if not self._patience:
                return False
            self._patience -= 1
            if self._patience:
                return False
        self._taken = now
        self._patience = 0 if await self._on_change() else AGAIN
        return False

    async def watch(self) -> None:
        """
        Look, until cancelled.
        """
        tasks: set[asyncio.Task[Any]] = set()
        listening = spawn(tasks, self._listen(), name="notices")
        try:
            while True:
                self._woken.clear()
                if await self.look():
                    await asyncio.sleep(self._settling)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._woken.wait()
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        """
        Look at once whenever a folder says that something happened in it.
        """
        folders = {path.parent for path in self._paths()}
        with contextlib.suppress(OSError, ImportError, RuntimeError):
            async for _ in _notices(folders):
                self._woken.set()


async def _notices(folders: Iterable[Path]) -> AsyncIterator[object]:
    from watchfiles import awatch

    async for notice in awatch(*folders, recursive=False, step=50):
        yield notice

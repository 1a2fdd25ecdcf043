"""
Looking at files from a thread that may hang.

Theory of operation
-------------------
A file system that does not answer (a network mount whose server is gone) stops whoever asks it,
for good. So all asking is done in a `Survey`: pieces of work, one after another, in a thread of
its own. Whoever waits for it waits for so long only and can see how far it got. Not
`asyncio.to_thread`: those few threads resolve host names too, and the end of the process waits for
them; a survey's thread is a daemon, which the end of the process does not wait for.

The thread hands over values only; the event loop's side takes them with `taken`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Survey(Generic[T]):
    """
    Work done piece by piece in a thread, begun at once.

    Args:
        pieces: What to do, each with the name it is done for; what a piece returns is kept unless
            it is None. They must not raise.

    Attributes:
        at: The name that is being worked for, or was last; empty without any pieces.
        steps: How many pieces are done.
    """

    def __init__(self, pieces: Sequence[tuple[str, Callable[[], T | None]]]) -> None:
        self.at = pieces[0][0] if pieces else ""
        self.steps = 0
        self._pieces = pieces
        self._found: deque[T] = deque()  # grows in the thread, shrinks in `taken`
        self._left = False
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        try:
            threading.Thread(target=self._run, name="survey", daemon=True).start()
        except RuntimeError:  # no thread is to be had: nothing is done this time
            self._land()

    @property
    def over(self) -> bool:
        """
        Whether all is done.
        """
        return self._end.done()

    async def ended(self, patience: float) -> bool:
        """
        Wait for *patience* seconds at most; return whether all is done.
        """
        await asyncio.wait((self._end,), timeout=patience)
        return self.over

    def taken(self) -> list[T]:
        """
        Return what was found since the last time.
        """
        return [self._found.popleft() for _ in range(len(self._found))]

    def leave(self) -> None:
        """
        Begin no further piece.
        """
        self._left = True

    def _run(self) -> None:
        try:
            for name, piece in self._pieces:
                if self._left:
                    break
                self.at = name
                if (found := piece()) is not None:
                    self._found.append(found)
                self.steps += 1
        finally:
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._land)

    def _land(self) -> None:
        self._end.set_result(None)

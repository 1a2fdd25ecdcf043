"""
The life of a serving process: what signals, a service manager and a successor have to do with it.

Theory of operation
-------------------
SIGTERM and SIGINT end it: what is in flight ends first, and a second one ends it at once. SIGHUP has
the configuration read again and files that are written to opened anew. SIGUSR2 has a new process
take its place (`supervision.handover`); while one is being started another SIGUSR2 changes nothing,
and SIGTERM calls it off. Once it has handed over, a first SIGTERM changes nothing either: a service
manager that stops the service sends it to both processes.

A signal that comes before there is a runtime waits for it, but for SIGUSR2: there is nothing yet to
hand over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from proxy.supervision.handover import HandOverFailed
from proxy.tasks import spawn

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from proxy.runtime import Runtime
    from proxy.supervision.inheritance import Inherited
    from proxy.supervision.notify import Notify

    Sockets: TypeAlias = Sequence[tuple[str, socket.socket]]
    Successor: TypeAlias = Callable[[Sockets, Sequence[str]], Awaitable[int]]

POLL = 0.05
"""Seconds between two looks at whether the tokens have come."""


class Life:
    """
    The life of a serving process.

    Args:
        notify: The service manager.
        inherited: What another process passed to this one.
        start_successor: Starts a process with these sockets, and these service users revoked;
            returns its id once it serves.
        end_now: Ends this process without waiting for anything.

    Attributes:
        over: Set once it is to end.
    """

    def __init__(
        self,
        notify: Notify,
        inherited: Inherited,
        start_successor: Successor,
        end_now: Callable[[], None],
    ) -> None:
        self.over = asyncio.Event()
        self._notify = notify
        self._inherited = inherited
        self._start_successor = start_successor
        self._end_now = end_now
        self._told = False
        self._reload_wanted = False
        self._runtime: Runtime | None = None
        self._handing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def listen(self) -> None:
        """
        Take signals from now on.
        """
        loop = asyncio.get_running_loop()
        for number, answer in self._answers().items():
            loop.add_signal_handler(number, answer)
        _ = spawn(self._tasks, self._notify.beat_forever(), name="watchdog")

    async def live(self, runtime: Runtime) -> None:
        """
        Serve until the end is wanted.
        """
        self._runtime = runtime
        for problem in (*self._inherited.problems, *self._unclaimed()):
            runtime.log.warning("socket.unused", reason=problem)
        self._inherited.close()
        announcing = spawn(self._tasks, self._announce(runtime), name="announce")
        if self._reload_wanted:
            self.reload()
        await self.over.wait()
        announcing.cancel()
        if self._handing is not None and not self._handing.done():
            self._handing.cancel()
        if self._told:
            self._notify.stopping("ending what is in flight")
        runtime.log.info("proxy.draining", reason="told" if self._told else "handed over")

    async def close(self) -> None:
        """
        Give no more signs of life, and take no more signals: what is left to do takes no time.
        """
        if self._handing is not None:
            await asyncio.gather(self._handing, return_exceptions=True)  # it ends what it started
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._notify.close()
        loop = asyncio.get_running_loop()
        for number in self._answers():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # by default it would end this with another code

    def _answers(self) -> dict[signal.Signals, Callable[[], None]]:
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self.reload,
            signal.SIGUSR2: self.hand_over,
        }

    # Signals

    def stop(self) -> None:
        """
        End; the second time at once.
        """
        if self._told:
            self._end_now()
        self._told = True
        self.over.set()

    def reload(self) -> None:
        """
        Read the configuration again, and open files anew.
        """
        self._reload_wanted = self._runtime is None
        if self._runtime is not None and not self.over.is_set():
            _ = spawn(self._tasks, self._reload(self._runtime), name="reload")

    def hand_over(self) -> None:
        """
        Have a new process take this one's place.
        """
        idle = self._handing is None or self._handing.done()
        if self._runtime is not None and idle and not self.over.is_set():
            work = self._hand_over(self._runtime)
            self._handing = spawn(self._tasks, work, name="hand over")

    # What becomes of them

    async def _announce(self, runtime: Runtime) -> None:
        """
        Tell whoever waits for it that this process serves and has its tokens.
        """
        while not runtime.ready():  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(POLL)
        if self._inherited.taking_over:
            self._notify.took_over(os.getpid(), _status(runtime))
            runtime.log.info("proxy.took_over")
        else:
            self._notify.ready(_status(runtime))
        self._inherited.serving()

    async def _reload(self, runtime: Runtime) -> None:
        self._notify.reloading()
        runtime.reopen_files()
        done = await runtime.reload("signal")
        refused = "; the last reload was rejected" if done.outcome == "rejected" else ""
        self._notify.ready(_status(runtime) + refused)

    async def _hand_over(self, runtime: Runtime) -> None:
        runtime.log.info("proxy.handing_over")
        try:
            with contextlib.ExitStack() as stack:
                sockets = runtime.sockets()
                for _, copy in sockets:
                    stack.callback(copy.close)
                revoked = runtime.succession.revoked()
                pid = await self._start_successor(sockets, revoked)
        except HandOverFailed as failed:
            self._failed(runtime, failed.reason)
            return
        except asyncio.CancelledError:
            self._failed(runtime, "this process was told to end")
            raise
        if runtime.succession.revoked() != revoked:
            os.kill(pid, signal.SIGTERM)  # it does not know of the change: it must not serve
            self._failed(runtime, "a service user was revoked or allowed meanwhile; ask again")
            return
        self._notify.successor(pid)
        runtime.hand_over()
        runtime.log.info("proxy.handed_over", pid=pid)
        self.over.set()

    def _failed(self, runtime: Runtime, reason: str) -> None:
        runtime.log.error("proxy.handover_failed", reason=reason)

    def _unclaimed(self) -> list[str]:
        return [f"no listener is at {each}" for each in self._inherited.unclaimed()]


def _status(runtime: Runtime) -> str:
    return f"serving on {', '.join(runtime.addresses)}"

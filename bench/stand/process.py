"""
One started program: where it runs, when it ends, what it used.

Theory of operation
-------------------
A program is started in a process group of its own, so that a peer with workers is measured and
ended as one. The kernel is asked to end it should we die first (PR_SET_PDEATHSIG, by setpriv).
CPU time is read per thread from /proc/PID/task/TID/schedstat: user and system time together in
nanoseconds, where /proc/PID/stat counts in steps of 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

PROC = Path("/proc")


class Failed(Exception):
    """
    A program ended, or did not listen, when it should; the text has its last words.
    """


class Process:
    """
    A program that runs until the block ends.

    Args:
        name: What to call it in messages.
        command: The program and its arguments.
        core: Number of the core it is bound to.
        work: Folder it runs in; its output goes to `{name}.out` there.
        output: Where standard output goes instead; None for that file.
        environ: Variables beside our own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        work: Path,
        output: Path | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self._words = work / f"{name}.out"
        bound = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command]
        with self._words.open("ab") as words, (output or self._words).open("ab") as out:
            self._child = subprocess.Popen(
                bound,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=words,
                start_new_session=True,
                env={**os.environ, **(environ or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def listening(self, port: int, *, within: float = 20.0) -> None:
        """
        Wait until something accepts connections on the loopback port.

        Args:
            port: The port.
            within: Seconds to wait.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            pause(0.05)
        raise Failed(f"{self.name} does not listen on port {port}:\n{self.last_words()}")

    def last_words(self) -> str:
        """
        Return the end of what it wrote to standard error.
        """
        return self._words.read_text(encoding="utf-8", errors="replace")[-2000:]

    def stop(self) -> None:
        """
        Ask it to end, and after three seconds make it.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(3)
                return

    def hang_up(self) -> None:
        """
        Tell it that its configuration may have changed.
        """
        os.kill(self._child.pid, signal.SIGHUP)

    def cpu(self) -> float:
        """
        Return the seconds of CPU time, user and system, its group has used so far.
        """
        spent = 0
        for member in self._members():
            for thread in (member / "task").iterdir():
                with contextlib.suppress(OSError):
                    spent += int((thread / "schedstat").read_text().split()[0])
        return spent / 1e9

    def resident(self) -> float:
        """
        Return the MiB of resident memory its group has now.
        """
        return self._status("VmRSS:")

    def peak(self) -> float:
        """
        Return the MiB of resident memory it had at most since `forget_peak`.
        """
        return self._status("VmHWM:")

    def forget_peak(self) -> None:
        """
        Start `peak` anew. Source: proc(5), /proc/PID/clear_refs, value 5.
        """
        for member in self._members():
            with contextlib.suppress(OSError):
                (member / "clear_refs").write_text("5")

    def descriptors(self) -> int:
        """
        Return how many file descriptors its group has open.
        """
        count = 0
        for member in self._members():
            with contextlib.suppress(OSError):
                count += len(list((member / "fd").iterdir()))
        return count

    def threads(self) -> int:
        """
        Return how many threads its group has.
        """
        count = 0
        for member in self._members():
            with contextlib.suppress(OSError):
                count += len(list((member / "task").iterdir()))
        return count

    def _status(self, key: str) -> float:
        kib = 0
        for member in self._members():
            with contextlib.suppress(OSError):
                for line in (member / "status").read_text().splitlines():
                    if line.startswith(key):
                        kib += int(line.split()[1])
        return kib / 1024

    def _members(self) -> Iterator[Path]:
        """
        Yield the /proc folder of each process in the group.
        """
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    # the name stands in brackets and may hold anything; the group is the third after it
                    after = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(after[2]) == self._child.pid:
                        yield entry


def pause(seconds: float) -> None:
    """
    Wait; there is no event loop here that could be blocked.
    """
    time.sleep(seconds)  # noqa: TID251 - see above


def free_port() -> int:
    """
    Return a loopback port nobody listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

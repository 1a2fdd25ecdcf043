"""
The real command as a process, with its lines to wait for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import proxy

PATIENCE = 20.0
"""Seconds after which something awaited here will not come any more."""

ROOT = str(Path(proxy.__file__).parent.parent)
OWN = ("-m", "proxy")


class Running:
    """
    A process whose standard output can be waited on.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, part: str) -> str:
        """
        Return the first line from here on that has this part.
        """
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self.process.stdout:
                if part in line.decode():
                    return line.decode()
        raise AssertionError(f"no line with {part!r}")

    async def stop(self) -> int:
        """
        Ask it to end, and return its exit code.
        """
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def running(
    *words: str,
    program: str = sys.executable,
    environ: dict[str, str] | None = None,
    cwd: str = "/",
) -> AsyncIterator[Running]:
    """
    Run a program until the block ends; it is killed if it does not heed SIGTERM.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        env=environ if environ is not None else {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT},
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        try:
            await Running(process).stop()
        except TimeoutError:
            process.kill()
            await process.communicate()

"""
The command line: a verb in this process where that is enough, else the real command.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import proxy
from proxy.cli.command import main
from proxy.sandbox.keys import SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox

ROOT = str(Path(proxy.__file__).parent.parent)

PATIENCE = 20.0
"""Seconds after which a command that has not ended is stuck."""


@dataclass(frozen=True)
class Ended:
    """
    A command that has ended.
    """

    code: int
    out: str
    err: str


class Command:
    """
    The real command as a process.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self, start: str) -> str:
        """
        Return the first line of standard output that starts so, once it comes; without the start.
        """
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self._process.stdout:
                if line.decode().strip().startswith(start):
                    return line.decode().strip().removeprefix(start).strip()
        raise AssertionError(f"no line {start!r}")

    async def end(self, number: signal.Signals | None = None) -> Ended:
        """
        Wait until it has ended, after a signal if one is given.
        """
        if number is not None:
            self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            out, err = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, out.decode(), err.decode())

    async def kill(self) -> None:
        """
        End it for good if a test left it running.
        """
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    An empty folder to run commands in.
    """
    made = tmp_path / "cwd"
    made.mkdir()
    return made


@pytest.fixture
def environ() -> dict[str, str]:
    """
    An environment with nothing in it for the proxy.
    """
    return {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT}


@pytest.fixture
async def start(
    folder: Path, environ: dict[str, str]
) -> AsyncIterator[Callable[..., Awaitable[Command]]]:
    """
    Start the real command.
    """
    commands: list[Command] = []

    async def run(*words: str, **more: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=environ | more,
        )
        commands.append(Command(process))
        return commands[-1]

    yield run
    for command in commands:
        await command.kill()


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """
    Run a verb in this process, in an empty folder and without our environment.
    """
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("AUTHPROXY_")]:
        monkeypatch.delenv(name)

    def run(*words: str, stdin: bytes | None = None, **environ: str) -> Result:
        return CliRunner().invoke(
            main, words, input=stdin, env=environ, prog_name="authproxy", catch_exceptions=False
        )

    return run


@pytest.fixture(scope="session")
def keys() -> SandboxKeys:
    """
    The key pairs of every sandbox here, made once.
    """
    return SandboxKeys.generate()


@pytest.fixture
async def sandbox(keys: SandboxKeys) -> AsyncIterator[Sandbox]:
    """
    A running sandbox.
    """
    async with Sandbox(SandboxOptions(keys=keys)) as sandbox:
        yield sandbox


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    """
    The sandbox's own proxy.yaml, on free ports.
    """
    return sandbox.write(tmp_path / "config", listen="127.0.0.1:0", admin="127.0.0.1:0")

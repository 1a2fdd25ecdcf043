"""
A page as a script: its commands are run in order in a folder of its own, as a reader would.

Theory of operation
-------------------
What a reader has and this machine has not is put in its place, in the text: the issuer at
acme.zitadel.cloud is the sandbox, upstreams at example.com are its backend, ports are free ones,
absolute paths of credentials lie below the folder. A whole proxy.yaml on the page is written to the
folder at its turn. Each block is one `sh -e`; variables and the current folder go on to the next.
Commands that serve (`authproxy run`) are started, and waited for until they do.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.docs.blocks import ROOT, Block
from tests.docs.supplies import Supplies, environ, replaced, supply, write

SERVES = re.compile(r"^authproxy (run|sandbox|demo)\b(?!.*(--once|--list-faults|--help))")
ADDRESS = re.compile(r"\b(127\.0\.0\.1|0\.0\.0\.0|localhost):([1-9][0-9]{3,4})\b")
PORT = re.compile(r"(--(?:backend-)?port )([1-9][0-9]{3,4})\b")
ISSUER = re.compile(r"https://acme\.zitadel\.cloud\b")
UPSTREAM = re.compile(r"https://(?:[a-z-]+\.)+example\.com\b")
PROJECT = re.compile(r"\b2457\d{14}\b")
PATIENCE = 40.0


def free_port() -> int:
    """
    Return a port nobody listens on.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Story:
    """
    One page's commands on their way.

    Attributes:
        folder: Where it happens.
        supplies: What credentials are made of.
        issuer: Where the sandbox is.
        backend: Where its backend is.
        project: The id of the backend's project.
        forker: The socket commands are run by.
    """

    folder: Path
    supplies: Supplies
    issuer: str
    backend: str
    project: str
    forker: Path
    ports: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    said: str = ""

    def __post_init__(self) -> None:
        self.cwd = self.folder / "work"
        self.variables = {
            "PATH": f"{self._commands()}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "DOCS_FORKER": str(self.forker),
            "DOCS_FOLDER": str(self.folder),
            "PYTHONPATH": str(ROOT),
        }
        self.places = {
            "AUTHPROXY_LISTEN": f"127.0.0.1:{self.port('8080')}",
            "AUTHPROXY_ADMIN": f"127.0.0.1:{self.port('9090')}",
        }
        self.cwd.mkdir()
        write(self.folder / "home" / ".curlrc", "fail-with-body\nsilent\nmax-time = 20\n")
        for name in ("key.json", "new-key.json", "provisioner.json"):
            write(self.cwd / name, self.supplies.key_json + "\n")
        write(self.cwd / "reporter.secret", self.supplies.secret)
        write(self.cwd / "dev.pat", self.supplies.token)

    def _commands(self) -> Path:
        folder = self.folder / "bin"
        folder.mkdir()
        client = Path(__file__).parent / "authproxy.py"
        for name in ("authproxy", "start"):
            path = folder / name
            path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {client} {name} "$@"\n')
            path.chmod(0o755)
        return folder

    def port(self, number: str) -> int:
        """
        Return the free port that stands for a documented one.
        """
        return self.ports.setdefault(number, free_port())

    def here(self, text: str) -> str:
        """
        Return *text* with what is elsewhere put in its place.
        """
        text = ADDRESS.sub(lambda found: f"{found[1]}:{self.port(found[2])}", text)
        text = PORT.sub(lambda found: f"{found[1]}{self.port(found[2])}", text)
        text = UPSTREAM.sub(self.backend, ISSUER.sub(self.issuer, text))
        text = PROJECT.sub(self.project, text)
        for path, instead in self.moved.items():
            text = text.replace(path, instead)
        return text

    def configure(self, block: Block, name: str = "proxy.yaml") -> None:
        """
        Write a documented proxy.yaml, with the files it names.
        """
        self.moved |= supply(block.data, self.cwd, self.supplies)
        self.variables |= environ(block.data, self.supplies, self.folder / "credentials")
        document = replaced(block.data, self.here)
        document.setdefault("listen", self.places["AUTHPROXY_LISTEN"])
        document.setdefault("admin", self.places["AUTHPROXY_ADMIN"])
        write(self.cwd / name, yaml.safe_dump(document, sort_keys=False))

    def write(self, block: Block) -> None:
        """
        Write a block that the reader writes to a file.
        """
        write(self.cwd / block.marks["file"], self.here(block.text) + "\n")

    def run(self, block: Block) -> None:
        """
        Run a block's commands.

        Raises:
            AssertionError: They ended with an error and should not have, or the other way round.
        """
        lines = [self._started(line) for line in self.here(block.text).splitlines()]
        state = self.folder / "state"
        text = "\n".join(
            ["set -eu", *lines, f"{{ export -p; pwd; }} > {shlex.quote(str(state))}", ""]
        )
        alone = self.places if not (self.cwd / "proxy.yaml").exists() else {}
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.cwd,
            env=self.variables | alone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        self.said = done.stdout
        assert (done.returncode == 0) is ("fails" not in block.marks), (
            f"{block}\n{text}\n{self.said}"
        )
        if done.returncode == 0:
            *exports, cwd = state.read_text().splitlines()
            self.cwd = Path(cwd)
            said = (shlex.split(line)[-1].partition("=") for line in exports)
            self.variables |= {
                name: value for name, _, value in said if name not in {"PWD", "OLDPWD", *alone}
            }

    def _started(self, line: str) -> str:
        if not SERVES.match(line):
            return line
        if line.startswith("authproxy sandbox"):
            listen, admin = self.places["AUTHPROXY_LISTEN"], self.places["AUTHPROXY_ADMIN"]
            line = line.replace("sandbox", f"sandbox --listen {listen} --admin {admin}", 1)
        return line.replace("authproxy", "start", 1)

    def printed(self, block: Block) -> None:
        """
        Compare what was printed last with what the page shows.
        """
        said = " ".join(self.said.split())
        pattern = ".*?".join(
            re.escape(" ".join(each.split())) for each in self.here(block.text).split("…")
        )
        assert re.search(pattern, said), f"{block}\n{self.said}"

    def end(self) -> None:
        """
        End what still serves.
        """
        for note in self.folder.glob("*.pid"):
            try:
                os.kill(int(note.read_text()), 15)
            except ProcessLookupError:
                continue

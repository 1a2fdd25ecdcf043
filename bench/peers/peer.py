"""
A kind of peer, and one that runs.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.stand.process import Failed, Process, pause

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.stand.scene import Origins, Scene


ADMIN = "admin.sock"
"""The socket in a peer's folder where it tells its metrics, if it does."""


@dataclass(frozen=True, slots=True)
class Setup:
    """
    What a peer is configured from.

    Attributes:
        name: The kind's name.
        scene: What it is to be.
        origins: What is behind it.
        port: Where it listens, on loopback.
        work: A folder of its own.
    """

    name: str
    scene: Scene
    origins: Origins
    port: int
    work: Path

    @property
    def upstream(self) -> str:
        """
        The upstream's URL; by name where its certificate is verified.
        """
        scheme, host = ("https", "localhost") if self.scene.upstream_tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.origins.upstream_port(self.scene)}"

    @property
    def token_url(self) -> str:
        """
        The token endpoint, which notes by whom it is asked.
        """
        scene = self.scene
        where = f"http://127.0.0.1:{self.origins.issuer}/token"
        return f"{where}/{self.name}/{scene.token_life}/{scene.mint_takes}"


@dataclass(frozen=True, slots=True)
class Command:
    """
    How a configured peer is started.

    Attributes:
        words: Program and arguments.
        output: Where its standard output goes; None for a file beside its configuration.
        environ: Variables beside our own.
    """

    words: list[str]
    output: Path | None = None
    environ: dict[str, str] = field(default_factory=dict)


def anything(_: Scene) -> bool:
    """
    Play in every scene.
    """
    return True


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A way to configure and start a proxy.

    Attributes:
        name: What it is called on the command line and in tables.
        configure: Writes its configuration and returns its command; None for no proxy at all.
        version: Says its version; raises `Missing` with what to install.
        plays: Whether it can be what a scene wants.
        patience: Seconds its start may take.
    """

    name: str
    configure: Callable[[Setup], Command] | None
    version: Callable[[], str]
    plays: Callable[[Scene], bool] = anything
    patience: float = 60.0


class Peer:
    """
    A peer that runs.

    Attributes:
        name: Its kind's name, or another one that tells two of a kind apart.
        port: Where it listens.
        scene: What it is.
        work: Its folder.
        started_in: Seconds from its start until it accepted connections.
        rest: MiB of resident memory after its first request.
    """

    def __init__(self, name: str, setup: Setup, process: Process | None) -> None:
        self.name = name
        self.port = setup.port
        self.scene = setup.scene
        self.work = setup.work
        self.process = process
        self.started_in = 0.0
        self.rest = 0.0
        self._authority = setup.origins.authority

    def url(self, name: str) -> str:
        """
        Return the URL of something the upstream serves, through this peer.
        """
        scheme, host = ("https", "localhost") if self.scene.listener_tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}{self.scene.path(name)}"

    def cpu(self) -> float:
        """
        Return the seconds of CPU time used so far; 0 for no proxy at all.
        """
        return 0.0 if self.process is None else self.process.cpu()

    def prove(self, headers: dict[str, str], *, within: float = 5.0) -> None:
        """
        Raise `Failed` unless an ordinary request arrives upstream with a Bearer token.

        Args:
            headers: What the caller sends beside the usual.
            within: Seconds in which failures are forgiven: some refuse until they have a token.
        """
        deadline = time.monotonic() + within
        while True:
            try:
                self._ask(headers)
            except OSError as error:  # urllib's are, too: refused, reset, a status that is no 2xx
                if time.monotonic() > deadline:
                    words = "" if self.process is None else self.process.last_words()
                    raise Failed(f"{self.name}: {error}\n{words}") from error
                pause(0.1)
            else:
                return

    def _ask(self, headers: dict[str, str]) -> None:
        request = urllib.request.Request(
            self.url("small"), headers=headers, data=b"x" if self.scene.upload else None
        )
        trust = ssl.create_default_context(cafile=str(self._authority))
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            body = json.load(answer)
            seen = answer.headers.get("X-Seen-Authorization", "")
        right = body.get("bytes") == 1 if self.scene.upload else seen.startswith("Bearer ")
        if self.process is not None and not right:
            raise Failed(f"{self.name}: the request did not arrive upstream as it should")

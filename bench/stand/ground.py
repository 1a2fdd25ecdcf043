"""
The ground a question stands on: the servers behind every peer, and the peers in front of them.

Everything listens on loopback, lives in one temporary folder, and is gone when the block ends.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from bench.peers import KINDS, Peer, nginx
from bench.peers.peer import Setup
from bench.stand.process import Process, free_port
from bench.stand.scene import CALLER_KEY, Origins, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ANSWER = json.dumps(
    {
        "id": 1234567,
        "name": "example",
        "status": "active",
        "tags": ["a", "b", "c"],
        "created": "2026-01-01T00:00:00Z",
        "description": "an ordinary small JSON answer of about two hundred bytes",
    }
)

SIZES = {"1m": 1 << 20, "100m": 100 << 20}
"""Name of a file the upstream serves → its size in bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A peer a question wants.

    Attributes:
        kind: Its kind's name.
        scene: What it is to be.
        label: What to call it; empty for the kind's name.
    """

    kind: str
    scene: Scene
    label: str = ""


class Ground:
    """
    Upstreams and token endpoint, up until the block ends; use `with open_ground(work, cores) as ground`.

    Attributes:
        origins: Where they are.
    """

    def __init__(self, work: Path, origins: Origins, core: int) -> None:
        self._work = work
        self._core = core
        self._count = 0
        self.origins = origins

    @contextlib.contextmanager
    def peers(self, entries: Iterable[Entry]) -> Iterator[list[Peer]]:
        """
        Start peers, see that each one forwards with a token, and end them with the block.
        """
        with contextlib.ExitStack() as stack:
            yield [self._start(entry, stack) for entry in entries]

    def mints(self, client: str) -> list[tuple[float, float]]:
        """
        Return begin and end of each mint a kind of peer asked for, in seconds of CLOCK_MONOTONIC.
        """
        listed = self._issuer("mints")
        return [(mint["begin"], mint["end"]) for mint in listed if mint["client"] == client]

    def arrivals(self, client: str) -> list[float]:
        """
        Return when each token request of a kind of peer came, answered or not.
        """
        return [each["at"] for each in self._issuer("arrivals") if each["client"] == client]

    def outage(self, kind: str, seconds: float) -> tuple[float, float]:
        """
        Have the issuer fail in a moment; return begin and end, in seconds of CLOCK_MONOTONIC.

        Args:
            kind: One of `issuer.OUTAGES`.
            seconds: For how long.
        """
        said = self._issuer(f"outages/{kind}/{seconds}", b"")
        return said["begin"], said["end"]

    def _issuer(self, path: str, body: bytes | None = None) -> Any:
        url = f"http://127.0.0.1:{self.origins.issuer}/{path}"
        with urllib.request.urlopen(url, data=body, timeout=10) as answer:
            return json.load(answer)

    def _start(self, entry: Entry, stack: contextlib.ExitStack) -> Peer:
        kind = KINDS[entry.kind]
        self._count += 1
        work = self._work / f"{self._count:03d}-{kind.name}"
        work.mkdir()
        if kind.configure is None:
            setup = Setup(kind.name, entry.scene, self.origins, self.origins.http, work)
            return Peer(kind.name, setup, None)
        setup = Setup(kind.name, entry.scene, self.origins, free_port(), work)
        command = kind.configure(setup)
        process = Process(
            kind.name,
            command.words,
            core=self._core,
            work=work,
            output=command.output,
            environ=command.environ,
        )
        began = time.monotonic()
        stack.enter_context(process).listening(setup.port, within=kind.patience)
        peer = Peer(entry.label or kind.name, setup, process)
        peer.started_in = time.monotonic() - began
        peer.prove({"X-Api-Key": CALLER_KEY} if entry.scene.caller_keys else {})
        process.forget_peak()  # what start-up took for a moment
        peer.rest = process.resident()
        return peer


@contextlib.contextmanager
def open_ground(work: Path, cores: tuple[int, int]) -> Iterator[Ground]:
    """
    Start upstreams and token endpoint in a folder.

    Args:
        work: The folder.
        cores: Number of the core for the peers, and of the one for all else.
    """
    origins = _certificates(work)
    here = Path(__file__).parent
    programs = {
        "upstream": (nginx.command(str(work)), origins.http),
        **{
            name: ([sys.executable, str(here / f"{name}.py"), str(port)], port)
            for name, port in (
                ("sink", origins.sink),
                ("checker", origins.checker),
                ("issuer", origins.issuer),
            )
        },
    }
    (work / "nginx.conf").write_text(_upstream(origins))
    (work / "files").mkdir()
    for name, size in SIZES.items():
        with (work / "files" / name).open("wb") as file:
            file.truncate(size)
    with contextlib.ExitStack() as stack:
        for name, (words, port) in programs.items():
            process = stack.enter_context(Process(name, words, core=cores[1], work=work))
            process.listening(port)
        yield Ground(work, origins, cores[0])


def _certificates(work: Path) -> Origins:
    """
    Write an authority, a certificate for `localhost` and its key, and choose ports.
    """
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    paths = [work / name for name in ("authority.pem", "certificate.pem", "key.pem")]
    authority.cert_pem.write_to_path(str(paths[0]))
    issued.cert_chain_pems[0].write_to_path(str(paths[1]))
    issued.private_key_pem.write_to_path(str(paths[2]))
    paths[2].chmod(0o600)
    http, https, sink, checker, issuer = (free_port() for _ in range(5))
    return Origins(http, https, sink, checker, issuer, *paths)


def _upstream(origins: Origins) -> str:
    return f"""{nginx.HEAD}
http {{
{nginx.FOLDERS}
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 300;
  keepalive_requests 100000000;
  default_type application/json;
  server {{
    listen 127.0.0.1:{origins.http} backlog=4096;
    listen 127.0.0.1:{origins.https} ssl backlog=4096;
    ssl_certificate {origins.certificate};
    ssl_certificate_key {origins.key};
    root files;
    location ~ /small$ {{
      add_header Cache-Control "no-store";
      add_header X-Request-Cost "3";
      # Its kind alone: an upstream that repeats the whole token has it looked at and blotted out
      set $seen "";
      if ($http_authorization ~ '^(Bearer [^ ])') {{ set $seen $1; }}
      add_header X-Seen-Authorization $seen;
      return 200 '{_ANSWER}';
    }}
    location ~ /(?<size>1m|100m)$ {{ try_files /$size =404; }}
  }}
}}
"""

"""
Requests made by wrk, which costs little CPU time of its own.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.stand.machine import which
from bench.stand.process import Failed
from bench.stand.scene import CALLER_KEY

if TYPE_CHECKING:
    from bench.peers import Peer

# What an HTTP client library sends beside Host: seven headers in all.
HEADERS = {
    "User-Agent": "bench/1.0",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "X-Request-Id": "7b2f0d4e-5f0b-4a53-9a0c-2d1f6b7a9e10",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Content-Type": "application/json",
}

_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True, slots=True)
class Load:
    """
    What wrk is to do.

    Attributes:
        name: The last part of the path.
        connections: Kept open, each with one request in flight.
        seconds: How long, at least 1.
        body: Bytes of request body to POST; 0 for GET.
        varied: No two requests are alike: each has its own query, request id and trace.
    """

    name: str = "small"
    connections: int = 64
    seconds: int = 1
    body: int = 0
    varied: bool = False


VARIED = """
local n = 0
request = function()
  n = n + 1
  wrk.headers["X-Request-Id"] = string.format("7b2f0d4e-5f0b-4a53-9a0c-%012x", n)
  wrk.headers["Traceparent"] = string.format("00-0af7651916cd43dd8448eb21%08x-b7ad6b7169203331-01", n)
  return wrk.format("GET", wrk.path .. "?page=" .. n)
end
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What wrk saw, and what it cost the peer.

    Attributes:
        requests: Answered, all with 2xx.
        rate: Requests per second.
        p50: Median latency in milliseconds.
        p99: 99th percentile of latency in milliseconds.
        cpu: Seconds of CPU time the peer used meanwhile.
    """

    requests: int
    rate: float
    p50: float
    p99: float
    cpu: float

    @property
    def per_cpu(self) -> float:
        """
        Requests per second of the peer's CPU time; 0 if it used none.
        """
        return self.requests / self.cpu if self.cpu else 0.0


def run_wrk(peer: Peer, load: Load) -> Seen:
    """
    Ask a peer and return what was seen.

    Raises:
        Failed: An answer was not 2xx, or a connection broke.
    """
    command = [which("wrk") or "wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s"]
    command += ["--latency", "--timeout", "5s"]
    headers = HEADERS | ({"X-Api-Key": CALLER_KEY} if peer.scene.caller_keys else {})
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if load.body:
        script = peer.work / f"post-{load.body}.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {load.body})\n')
        command += ["-s", str(script)]
    if load.varied:
        script = peer.work / "varied.lua"
        script.write_text(VARIED)
        command += ["-s", str(script)]
    before = peer.cpu()
    said = subprocess.run(
        [*command, peer.url(load.name)],
        capture_output=True,
        text=True,
        timeout=load.seconds + 30,
        check=True,
    ).stdout
    return _read(peer.name, said, peer.cpu() - before)


def _read(name: str, said: str, cpu: float) -> Seen:
    bad = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said)
    if bad:
        raise Failed(f"{name}: {bad[0]}")
    return Seen(
        requests=int(_find(r"(\d+) requests in", said)),
        rate=float(_find(r"Requests/sec:\s+([\d.]+)", said)),
        p50=_milliseconds(_find(r"\n\s+50%\s+(\S+)", said)),
        p99=_milliseconds(_find(r"\n\s+99%\s+(\S+)", said)),
        cpu=cpu,
    )


def _find(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise Failed(f"wrk said something unexpected:\n{said}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    assert found is not None
    return float(found[1]) * _MILLISECONDS[found[2]]

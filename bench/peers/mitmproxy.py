"""
mitmproxy in reverse mode: a tool for looking at traffic, sometimes pressed into this service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers import venv
from bench.peers.peer import Command, Kind, Setup
from bench.stand.machine import said_version

if TYPE_CHECKING:
    from bench.stand.scene import Scene

_ADDON = """\
def request(flow):
    flow.request.headers["Authorization"] = "Bearer a-fixed-token"
"""


def configure(setup: Setup) -> Command:
    """
    Write the addon and return the command.
    """
    addon = setup.work / "addon.py"
    addon.write_text(_ADDON)
    words = [venv.program("mitmdump"), "--quiet", "--mode", f"reverse:{setup.upstream}"]
    words += ["--listen-host", "127.0.0.1", "--listen-port", str(setup.port), "-s", str(addon)]
    words += ["--set", "flow_detail=0", "--set", "stream_large_bodies=64k"]
    return Command([*words, "--set", f"confdir={setup.work}"])


def plays(scene: Scene) -> bool:
    """
    Play where one route is enough, without caller keys and TLS.
    """
    plain = not scene.caller_keys and not scene.listener_tls and not scene.upstream_tls
    return scene.routes == 1 and plain


def version() -> str:
    """
    Return mitmproxy's version, installing it where it is missing.
    """
    return said_version(venv.program("mitmdump"), "--version")


KIND = Kind("mitmproxy", configure, version, plays)

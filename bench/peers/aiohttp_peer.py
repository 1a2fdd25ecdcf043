"""
The relay one would write by hand with aiohttp; the relay itself is `aiohttp_relay.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.peer import Command, Kind, Setup
from bench.stand.machine import need, package_version

if TYPE_CHECKING:
    from bench.stand.scene import Scene

RELAY = Path(__file__).with_name("aiohttp_relay.py")


def configure(setup: Setup) -> Command:
    """
    Return the command; there is no file to write.
    """
    words = [sys.executable, str(RELAY), "--port", str(setup.port), "--upstream", setup.upstream]
    words += ["--token-url", setup.token_url]
    if setup.scene.upstream_tls:
        words += ["--authority", str(setup.origins.authority)]
    return Command(words, output=setup.work / "access.log")


def plays(scene: Scene) -> bool:
    """
    Play where one route is enough and callers speak plain HTTP.
    """
    return scene.routes == 1 and not scene.caller_keys and not scene.listener_tls


def version() -> str:
    """
    Return aiohttp's version.
    """
    need()
    return package_version("aiohttp")


KIND = Kind("aiohttp", configure, version, plays)

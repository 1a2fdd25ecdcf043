"""
No proxy at all: the load goes to the upstream, which shows what the stand itself costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.peer import Kind

if TYPE_CHECKING:
    from bench.stand.scene import Scene


def plays(scene: Scene) -> bool:
    """
    Play where nothing of a proxy's own is asked for.
    """
    return not scene.listener_tls and not scene.upstream_tls and not scene.caller_keys


def version() -> str:
    """
    Return that there is none.
    """
    return "no proxy"


KIND = Kind("direct", None, version, plays)

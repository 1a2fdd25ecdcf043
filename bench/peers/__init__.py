"""
What is compared: each peer is a way to configure and start one proxy.

    authproxy       this project, as its users run it; a line of JSON per request into a file
    authproxy-null  the same with the log to /dev/null
    envoy           credential_injector with OAuth 2.0 client credentials; JSON access log
    nginx           a fixed Authorization header; JSON access log
    aiohttp         the relay one would write by hand; a line of JSON per request
    mitmproxy       reverse mode with an addon of three lines; no log
    direct          no proxy at all: what the rest of the stand costs
"""

from __future__ import annotations

from bench.peers import aiohttp_peer, authproxy, direct, envoy, mitmproxy, nginx
from bench.peers.peer import Kind, Peer

__all__ = ("KINDS", "Kind", "Peer")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        authproxy.LOGGING,
        authproxy.SILENT,
        envoy.KIND,
        nginx.KIND,
        aiohttp_peer.KIND,
        mitmproxy.KIND,
        direct.KIND,
    )
}
"""Every kind of peer, by name."""

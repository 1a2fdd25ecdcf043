"""
What a question asks its peers to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CALLER_KEY = "bench-caller-key-0123456789abcdef"
"""What a caller shows where a scene has caller keys."""


@dataclass(frozen=True, slots=True)
class Scene:
    """
    The shape of a peer's configuration.

    Attributes:
        routes: How many; with more than one, route i takes the prefix `/rNNNNN/`.
        caller_keys: Callers must show `CALLER_KEY`, where the peer knows such a thing.
        upload: The upstream is the one that reads bodies whole (`sink`).
        upstream_tls: The upstream speaks TLS and its certificate is verified.
        listener_tls: Callers speak TLS.
        token_life: Seconds a minted token lives.
        mint_takes: Milliseconds the issuer thinks before it answers.
        outages: The issuer is to fail: the peer finds it by discovery and tells its metrics where
            it knows such things, and the upstream refuses tokens that have ended (`checker`).
    """

    routes: int = 1
    caller_keys: bool = False
    upload: bool = False
    upstream_tls: bool = False
    listener_tls: bool = False
    token_life: int = 3600
    mint_takes: int = 0
    outages: bool = False

    @property
    def prefixes(self) -> list[str]:
        """
        The path prefix of each route, ending in a slash.
        """
        if self.routes == 1:
            return ["/api/"]
        return [f"/r{index:05d}/" for index in range(self.routes)]

    def path(self, name: str) -> str:
        """
        Return the path to ask for so that the route in the middle of the list takes it.
        """
        return f"{self.prefixes[self.routes // 2]}{name}"


@dataclass(frozen=True, slots=True)
class Origins:
    """
    Where the servers behind the peers are; all on loopback.

    Attributes:
        http: Port of the upstream that serves small answers and files.
        https: The same over TLS, for the name `localhost`.
        sink: Port of the upstream that reads bodies.
        checker: Port of the upstream that refuses tokens that have ended.
        issuer: Port of the token endpoint.
        authority: PEM file of the authority behind the certificate.
        certificate: PEM file of the certificate for `localhost`.
        key: PEM file of its private key.
    """

    http: int
    https: int
    sink: int
    checker: int
    issuer: int
    authority: Path
    certificate: Path
    key: Path

    def upstream_port(self, scene: Scene) -> int:
        """
        Return the port of the upstream a scene wants.
        """
        if scene.upload:
            return self.sink
        if scene.outages:
            return self.checker
        return self.https if scene.upstream_tls else self.http

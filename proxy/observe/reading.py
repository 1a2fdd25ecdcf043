"""
What the metrics tell of a moment without having counted it. `admin.reading` looks it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class UpstreamReading:
    """
    How the connections to one server address fare.

    Attributes:
        active: Connections with a request.
        idle: Connections without.
        connecting: Attempts on their way.
        waiting: Requests that wait for a connection.
        resting: Whether it is left alone for a while.
    """

    active: int = 0
    idle: int = 0
    connecting: int = 0
    waiting: int = 0
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What is true at the moment somebody asks.

    Attributes:
        connections: Callers' open connections.
        upstreams: Server address → how its connections fare.
        minting: The service users tokens are minted for.
        token_expiry: Service user → seconds since the epoch.
        token_stale: Service user → whether its token is used on because renewing it fails.
        revoked: Service user → whether an operator has revoked it.
        issuer_resting: Issuer → whether it is left alone for a while.
        credential_expiry: Service user → seconds since the epoch; of the credential in use.
        lines_dropped: Log lines lost so far.
        audit_dropped: Lines of the audit file lost so far.
    """

    connections: int = 0
    upstreams: Mapping[str, UpstreamReading] = field(default_factory=dict)
    minting: tuple[str, ...] = ()
    token_expiry: Mapping[str, float] = field(default_factory=dict)
    token_stale: Mapping[str, bool] = field(default_factory=dict)
    revoked: Mapping[str, bool] = field(default_factory=dict)
    issuer_resting: Mapping[str, bool] = field(default_factory=dict)
    credential_expiry: Mapping[str, float] = field(default_factory=dict)
    lines_dropped: int = 0
    audit_dropped: int = 0

"""
What can be chosen before a sandbox starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ssl

    from proxy.sandbox.keys import SandboxKeys

Era = Literal["400", "500"]

# Source: ZITADEL cmd/defaults.yaml, DefaultAccessTokenLifetime.
DEFAULT_TOKEN_LIFETIME = 43_200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """
    The sandbox's settings.

    Attributes:
        era: How a bad assertion is answered: `400` with `invalid_client` as ZITADEL does since
            about v4.14, `500` with `server_error` as about v2.43 to v4.13 did.
        token_lifetime: How long a minted token lives, in seconds. `expires_in` is one less, as
            ZITADEL floors what is left.
        host: Loopback address both servers bind to.
        port: Port of the issuer and its APIs; 0 picks a free one.
        backend_port: Port of the protected backend; 0 picks a free one.
        domains: Further host names the instance answers to, without port.
        trusted_domains: Host names accepted in `x-zitadel-public-host`, without port.
        external_secure: Call the issuer `https://…` although it is served in plain, as behind a
            TLS terminator. A TLS context implies it.
        hit_limit: How many requests each record keeps; the oldest go first.
        projection_lag: How long a new user, key or secret stays unknown while the fault
            `projection-lag` is on, in seconds.
        client_assertions: Whether a service user may prove who it is by a signed assertion in the
            grant client_credentials; ZITADEL refuses that.
        token_exchange: Whether applications may exchange tokens (RFC 8693).
        faults: Faults that are on from the start, each `NAME` or `NAME=VALUE`.
        keys: Key pairs made earlier; None makes new ones (about 0.1 s each).
        tls: TLS context of the issuer's server; None serves plain HTTP.
        backend_tls: TLS context of the backend's server; None serves plain HTTP.
    """

    era: Era = "400"
    token_lifetime: float = DEFAULT_TOKEN_LIFETIME
    host: str = "127.0.0.1"
    port: int = 0
    backend_port: int = 0
    domains: tuple[str, ...] = ()
    trusted_domains: tuple[str, ...] = ()
    external_secure: bool = False
    hit_limit: int = 10_000
    projection_lag: float = 2.0
    client_assertions: bool = False
    token_exchange: bool = True
    faults: tuple[str, ...] = ()
    keys: SandboxKeys | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    backend_tls: ssl.SSLContext | None = field(default=None, repr=False)

"""
The connections to one origin: taken last-in first-out, opened when none is idle.

A connection that rested longer than `IDLE` is closed rather than used: it should end on our side
before it does on the upstream's, so that no request meets a closing door (RFC 9112 §9.3.1).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.errors import Overloaded, UpstreamClosed, UpstreamConnect, UpstreamTimeout
from proxy.tasks import spawn
from proxy.wire.upstream import Upstream

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.message import Roles

IDLE = 30.0
"""Seconds a connection may rest. Below the common servers': Node 5 s apart, nginx 75 s, Go 90 s+."""

MOST = 1024
"""Connections to one origin at once."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a pool's connections go.

    Attributes:
        host: Name or address to dial.
        port: TCP port.
        tls: Context for https; None for http.
        server_name: The name the certificate must hold, also sent as SNI; empty for http.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Pool:
    """
    The pool of one origin.

    Args:
        origin: Where to.
        roles: Which response header plays which role.
    """

    def __init__(self, origin: Origin, roles: Roles) -> None:
        self.origin = origin
        self.roles = roles
        self.retired = False
        self._idle: list[Upstream] = []
        self._open: set[Upstream] = set()
        self._connecting: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        scheme = "https" if self.origin.tls else "http"
        return (
            f"<Pool {scheme}://{self.origin.host}:{self.origin.port} "
            f"{len(self._open)} open, {len(self._idle)} idle>"
        )

    def take(self) -> Upstream | None:
        """
        Return an idle connection, or None.
        """
        idle = self._idle
        while idle:
            upstream = idle.pop()
            transport = upstream.transport
            if transport is not None and not transport.is_closing():
                upstream.reused = True
                return upstream
        return None

    def connect(self, exchange: Exchange) -> None:
        """
        Open a connection for *exchange*; it is told how that went.
        """
        if len(self._open) + len(self._connecting) >= MOST:
            exchange.fail(Overloaded(f"{MOST} connections to the upstream are open", retry_after=1))
            return
        _ = spawn(self._connecting, self._connect(exchange), name=f"connect {self.origin.host}")

    async def _connect(self, exchange: Exchange) -> None:
        origin = self.origin
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(exchange.timeouts.connect):
                _, upstream = await loop.create_connection(
                    lambda: Upstream(self),
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=origin.server_name if origin.tls else None,
                )
        except TimeoutError:
            exchange.fail(UpstreamTimeout("no connection to the upstream within its time"))
        except ssl.SSLCertVerificationError as error:
            exchange.fail(
                UpstreamConnect(f"the upstream's certificate is refused: {error.verify_message}")
            )
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                exchange.fail(Overloaded("no file descriptor is left", retry_after=1))
                return
            exchange.fail(UpstreamConnect(f"no connection to the upstream: {_words(error)}"))
        else:
            if upstream.transport is None or upstream.transport.is_closing():
                exchange.fail(UpstreamClosed("the upstream closed the connection at once"))
            elif exchange.done:
                self.give(upstream)
            else:
                exchange.attach(upstream)

    def opened(self, upstream: Upstream) -> None:
        """
        A connection stands.
        """
        self._open.add(upstream)

    def give(self, upstream: Upstream) -> None:
        """
        Take back a connection that may serve again.
        """
        if self.retired:
            if upstream.transport is not None:
                upstream.transport.close()
        else:
            upstream.idle_since = 0.0  # the next sweep notes the time
            self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """
        A connection is gone.
        """
        self._open.discard(upstream)
        if upstream.exchange is None and upstream in self._idle:
            self._idle.remove(upstream)

    def sweep(self, now: float) -> None:
        """
        Close what rested too long.
        """
        for upstream in tuple(self._idle):
            if not upstream.idle_since:
                upstream.idle_since = now
            elif now - upstream.idle_since > IDLE and upstream.transport is not None:
                self._idle.remove(upstream)
                upstream.transport.close()

    def retire(self) -> None:
        """
        Close what is idle now, and the rest as it becomes idle.
        """
        self.retired = True
        for upstream in self._idle:
            if upstream.transport is not None:
                upstream.transport.close()
        self._idle.clear()

    def close(self) -> None:
        """
        Close everything.
        """
        self.retire()
        for task in tuple(self._connecting):
            task.cancel()
        for upstream in tuple(self._open):
            if upstream.transport is not None:
                upstream.transport.abort()


def _words(error: Exception) -> str:
    """
    Say what is wrong without the address, which asyncio writes into its errors.
    """
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__

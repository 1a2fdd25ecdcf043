"""
Where a pool's connections go, how one comes to stand, and what it means if none does.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import Internal, Overloaded, ProxyError, UpstreamConnect, UpstreamTimeout

if TYPE_CHECKING:
    from proxy.wire.dial import Dialler

GOODBYE = 2.0
"""Seconds for the upstream's `close_notify` once we have sent ours (RFC 8446 §6.1)."""


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

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


async def reach(
    origin: Origin, dialler: Dialler, protocol: asyncio.Protocol, patience: float
) -> None:
    """
    Connect *protocol* to the origin, TLS included, within *patience* seconds.

    Raises:
        TimeoutError: It took longer.
        OSError: It went wrong; see `explain`.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(patience):
        sock = await dialler.dial(origin.host, origin.port)
        try:
            if origin.tls is None:
                await loop.create_connection(lambda: protocol, sock=sock)
            else:
                await loop.create_connection(
                    lambda: protocol,
                    sock=sock,
                    ssl=origin.tls,
                    server_hostname=origin.server_name,
                    ssl_handshake_timeout=patience,
                    ssl_shutdown_timeout=GOODBYE,
                )
        except Exception:
            sock.close()  # not if cancelled: then a transport has it, and closes it
            raise
        finally:
            if not isinstance(loop, asyncio.BaseEventLoop):
                # uvloop: libuv has the descriptor and closes it. The socket object may not hear of
                # that, and would close the number once more when it may be somebody else's.
                sock.detach()


def explain(error: Exception) -> ProxyError:
    """
    Return what a failure of `reach` is to the caller; its reason names no address.
    """
    match error:
        case ProxyError():
            return error
        case TimeoutError():
            return UpstreamTimeout("no connection to the upstream within its time")
        case ssl.SSLCertVerificationError():
            why = error.verify_message.partition(",")[0]  # what follows may be the address
            return UpstreamConnect(f"the upstream's certificate is refused: {why}")
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return Overloaded("no file descriptor is left", retry_after=1)
        case OSError() | UnicodeError():
            return UpstreamConnect(f"no connection to the upstream: {_words(error)}")
        case _:
            return Internal("a bug while connecting; see internal.error")


def _words(error: OSError | UnicodeError) -> str:
    """
    Say what is wrong without the address, which asyncio writes into its errors.
    """
    if isinstance(error, socket.gaierror):
        again = error.errno == socket.EAI_AGAIN
        return "the name servers do not answer" if again else "the name does not resolve"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__

"""
How upstreams are met: verified always, resumed where they allow it.

Theory of operation
-------------------
Neither asyncio nor uvloop hands a session from one connection to the next, but both ask the
context for each connection's TLS object. The context therefore remembers, per server name, the
last session that may be resumed, and gives it to the next connection.

A session is taken only from a connection whose handshake has ended well: a resumed handshake shows
no certificate, so whoever could plant a session would never have to show one. TLS 1.3 tickets come
after the handshake, with the first bytes read; a session is therefore read as late as possible:
when the next connection begins, or when the connection's TLS object goes away.

The context keeps sessions strongly and connections weakly: OpenSSL's connection holds its context
in a way the collector cannot see, and the two would keep each other for ever.

An upstream that does not know the session any more makes a whole handshake; nobody notices.
"""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING
from weakref import ref

from proxy.tls.hardening import harden

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = ""
"""No passphrase: without this, OpenSSL asks the terminal for one."""


class UpstreamConnection(ssl.SSLObject):
    """
    One connection to an upstream, whose session may serve the next.

    Attributes:
        name: The name the upstream's certificate must hold.
        established: The handshake has ended well, the certificate's check with it.
    """

    name: str | bytes | None = None
    established = False

    def do_handshake(self) -> None:
        """
        Go on with the handshake; once it has ended well the session counts.
        """
        super().do_handshake()
        self.established = True
        context = self.context
        if isinstance(context, UpstreamContext):
            context.latest[self.name] = ref(self)

    def __del__(self) -> None:
        if self.established and isinstance(context := self.context, UpstreamContext):
            context.remember(self)


class UpstreamContext(ssl.SSLContext):
    """
    The TLS settings for one upstream, and its last session.

    Attributes:
        latest: The last connection established, by server name.
        sessions: The last session that may be resumed, by server name.
    """

    sslobject_class = UpstreamConnection
    latest: dict[str | bytes | None, ref[UpstreamConnection]]
    sessions: dict[str | bytes | None, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - ssl's own signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """
        Return a connection that offers to resume the last session with this server name.
        """
        latest = self.latest.get(server_hostname)
        connection = latest() if latest else None
        if connection is not None:
            self.remember(connection)
        offered = session or self.sessions.get(server_hostname)
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, offered)
        if isinstance(made, UpstreamConnection):
            made.name = server_hostname
        return made

    def remember(self, connection: UpstreamConnection) -> None:
        """
        Keep the session of *connection* if it may be resumed and is not older than the one kept.
        """
        session = connection.session
        if session is None or not (session.has_ticket or session.id):
            return
        known = self.sessions.get(connection.name)
        if known is None or session.time >= known.time:
            self.sessions[connection.name] = session


def upstream_tls(
    ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> UpstreamContext:
    """
    Return the TLS settings for an upstream: verified by its name, which cannot be switched off.

    Args:
        ca_file: The authorities trusted; None for the system's.
        cert_file: The client certificate to show, with its chain; None for none.
        key_file: Its private key.

    Raises:
        OSError: A file cannot be used (ssl.SSLError is one).
    """
    context = UpstreamContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.latest = {}
    context.sessions = {}
    harden(context)
    if sys.version_info >= (3, 13):  # as the library's own default context from there on
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(ca_file)
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file, PLAIN)
    return context

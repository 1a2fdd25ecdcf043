"""
What both ends have in common: a floor and one application protocol.
"""

from __future__ import annotations

import ssl


def harden(context: ssl.SSLContext) -> None:
    """
    Set what holds at both ends.

    TLS 1.2 is the oldest version left (RFC 8996). Compression leaks secrets by its length, and
    renegotiation changes who is at the other end of a connection in the middle of it.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

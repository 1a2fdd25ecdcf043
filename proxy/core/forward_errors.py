"""
What callers are told otherwise in forward mode, under the same codes.
"""

from __future__ import annotations

from proxy.errors import CallerUnauthenticated, MethodNotSupported, NoRoute


class ForwardUnauthenticated(CallerUnauthenticated):
    """
    The same of a request in forward mode, where clients look for it elsewhere (RFC 9110 §15.5.8).
    """

    status = 407
    detail = (
        "This proxy needs a caller credential: put the caller's key into the proxy's URL as the "
        "password, http://caller:KEY@proxy, or send it as Proxy-Authorization: Bearer."
    )


class NotForwarded(NoRoute):
    """
    No route is for the URL that was asked for in forward mode.
    """

    detail = (
        "No route is for this URL: the proxy forwards to the APIs it has routes for and is no proxy "
        "for anything else. Name other hosts in the application's NO_PROXY."
    )


class TunnelNotSupported(MethodNotSupported):
    """
    CONNECT, which clients send to a proxy for https:// URLs (RFC 9110 §9.3.6).
    """

    detail = (
        "CONNECT asks for a tunnel that is encrypted from end to end, so this proxy could attach no "
        "token in it. Write http:// instead of https:// in the URL (the proxy itself speaks TLS to "
        "the API), or use the proxy's own URL in the place of the API's."
    )
    hint = "write http:// instead of https:// in the URL, the proxy adds TLS"


class PlainTunnelNotSupported(TunnelNotSupported):
    """
    CONNECT to port 80, which some clients send for http:// URLs too.
    """

    detail = (
        "CONNECT asks for a tunnel, in which this proxy could attach no token, and this one is to "
        "port 80: turn off the client's tunnel for http:// URLs (in undici: proxyTunnel: false), "
        "or use the proxy's URL as the base URL."
    )
    hint = "turn off the client's tunnel for http:// URLs, or use the proxy's URL as the base URL"

"""
A WebSocket's tunnel: a connection that goes on both ways once an upgrade was accepted (RFC 6455).

Theory of operation
-------------------
An upgrade is a request like any other until its response is of status 101. Then `open_tunnel` makes
a tunnel of the exchange: from then on bytes go both ways as they come, until either end closes,
which ends the exchange. Where frames end is followed as they pass (`wire.frames`), for the one
thing a tunnel says itself: that it goes away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamProtocol
from proxy.wire.frames import GOING_AWAY, Border, close_frame
from proxy.wire.message import WEBSOCKET
from proxy.wire.response import Response

if TYPE_CHECKING:
    from proxy.wire.exchange import Exchange
    from proxy.wire.response import ResponseFields


class Tunnel:
    """
    What an exchange whose upgrade was accepted has become.
    """

    __slots__ = ("_down", "_exchange", "_up")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._down = Border()
        self._up = Border()

    def pass_up(self, data: bytes) -> None:
        """
        Pass the caller's bytes on to the upstream.
        """
        exchange = self._exchange
        if exchange.upstream is not None:
            exchange.bytes_in += len(data)
            self._up.follow(data)
            exchange.upstream.write(data)

    def pass_down(self, data: bytes) -> None:
        """
        Pass the upstream's bytes on to the caller.
        """
        exchange = self._exchange
        exchange.bytes_out += len(data)
        self._down.follow(data)
        exchange.caller.write(data)

    @property
    def between_frames(self) -> bool:
        """
        Whether a frame of ours may stand now, both ways.
        """
        return self._down.open and self._up.open

    def go_away(self) -> None:
        """
        Tell both ends that it is we who go, where a frame may stand now, and end the exchange.
        """
        exchange = self._exchange
        if self._down.open:
            exchange.caller.write(close_frame(GOING_AWAY, masked=False))
        if self._up.open and exchange.upstream is not None:
            exchange.upstream.write(close_frame(GOING_AWAY, masked=True))
        exchange.abandon()


def open_tunnel(exchange: Exchange, fields: ResponseFields) -> bytes:
    """
    Open the tunnel that was asked for (RFC 9110 §7.8, RFC 6455 §4.2.2).

    Args:
        exchange: Its upstream has answered with status 101.
        fields: That answer's header section.

    Returns:
        The head to send to the caller.

    Raises:
        UpstreamProtocol: Nobody asked for it, or it is no tunnel.
    """
    if not exchange.fields.upgrade or fields.upgrade != WEBSOCKET:
        raise UpstreamProtocol("the upstream switched protocols unasked")
    if fields.chunked or fields.length:
        raise UpstreamProtocol("the upstream switched protocols with a body")
    response = Response(101, b"Switching Protocols", fields)
    exchange.response = response
    exchange.upstream_status = exchange.status = 101
    extra = exchange.answered(response) or b""
    exchange.keep = False
    exchange.tunnel = tunnel = Tunnel(exchange)
    exchange.caller.open_tunnel(tunnel)
    return b"%b%bConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" % (response.start, extra)

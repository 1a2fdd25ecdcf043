"""
An upstream that answers 200 to a token that lives and 401 to one that has ended, or to none:
`python checker.py PORT`.

It believes what `stand.issuer` wrote into the token.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import httptools
import uvloop


class Checker(asyncio.Protocol):
    """
    One connection.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin.
        """
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derive from nothing
        self._parser = httptools.HttpRequestParser(self)
        self._shown = b""

    def data_received(self, data: bytes) -> None:
        """
        Read on.
        """
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """
        Forget the last request.
        """
        self._shown = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Note what is shown.
        """
        if name.lower() == b"authorization":
            self._shown = value

    def on_message_complete(self) -> None:
        """
        Answer.
        """
        good = time.monotonic() < ends(self._shown)
        body = b'{"good":%b}' % (b"true" if good else b"false")
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nX-Seen-Authorization: %b\r\n"
            b"Content-Length: %d\r\n\r\n%b"
            % (b"200 OK" if good else b"401 Unauthorized", self._shown[:16], len(body), body)
        )


def ends(shown: bytes) -> float:
    """
    Return when a token ends, in seconds of CLOCK_MONOTONIC; 0.0 if that is none of ours.
    """
    scheme, _, rest = shown.rpartition(b"-")
    return float(rest) if scheme.startswith(b"Bearer bench-token-") else 0.0


async def serve(port: int) -> None:
    """
    Serve until the process is ended.
    """
    server = await asyncio.get_running_loop().create_server(
        Checker, "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))

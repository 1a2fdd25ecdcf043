"""
An upstream that reads a whole request body before it answers with its length: `python sink.py PORT`.

nginx's `return` answers while the body is still on its way, which is no fair upload.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop


class Sink(asyncio.Protocol):
    """
    One connection.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin.
        """
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derive from nothing
        self._parser = httptools.HttpRequestParser(self)
        self._size = 0

    def data_received(self, data: bytes) -> None:
        """
        Read on.
        """
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """
        Count from nothing.
        """
        self._size = 0

    def on_body(self, piece: bytes) -> None:
        """
        Count.
        """
        self._size += len(piece)

    def on_message_complete(self) -> None:
        """
        Answer.
        """
        body = b'{"bytes":%d}' % self._size
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )


async def serve(port: int) -> None:
    """
    Serve until the process is ended.
    """
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))

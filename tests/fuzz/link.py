"""
An event loop and transports without sockets.

Theory of operation
-------------------
`MemoryLoop` is an event loop without a selector: time stands still, nothing is ready but what was
called soon, and what would connect a socket puts a `Link` in its place. A `Link` is the transport a
protocol of the wire holds; its other end is the test, which brings bytes in and takes bytes out.

A link behaves as asyncio's selector transports do: it brings nothing while paused, refuses to write
behind its own end, calls `connection_lost` later and never from within, and reports what a callback
raises to the loop. What the loop is told of is kept in `errors`; a test asks that there be nothing.
"""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from typing import Any

LOOPS = 10_000
"""Turns of the loop without a byte from outside, after which it is taken to run in circles."""


class MemoryLoop(BaseEventLoop):
    """
    An event loop that has nothing to wait for.

    Attributes:
        links: What was dialled, in order.
        errors: What a callback raised or somebody complained of.
        high: Bytes a link keeps before it asks for a pause; 0 to take all at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = self  # asked by the base class for events
        self.links: list[Link] = []
        self.errors: list[dict[str, Any]] = []
        self.high = 0
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def select(self, _timeout: float | None) -> list[Any]:
        """
        Nothing ever happens outside.
        """
        return []

    def _process_events(self, _events: list[Any]) -> None: ...

    def time(self) -> float:
        """
        Return the time, which stands still.
        """
        return 0.0

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """
        Say that the socket is connected.
        """

    async def create_connection(self, protocol_factory: Any, *_: Any, **options: Any) -> Any:
        """
        Put a link in the place of the socket.
        """
        options["sock"].close()
        link = Link(self, protocol_factory())
        self.links.append(link)
        link.open()
        return link, link.protocol

    @property
    def busy(self) -> bool:
        """
        Whether something is ready to run.
        """
        return bool(self._ready)  # type: ignore[attr-defined]

    def turn(self) -> None:
        """
        Run what is ready now.
        """
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """
        Run until nothing is ready.
        """
        for _ in range(LOOPS):
            if not self.busy:
                return
            self.turn()
        raise AssertionError("the loop runs in circles")


class Link(asyncio.Transport):
    """
    A transport whose other end is the test.

    Attributes:
        protocol: The wire's end.
        unsent: Written, and not yet taken.
        taken: All that was taken so far.
        reading: The protocol wants bytes.
        ended: The protocol has said that it writes no more.
        aborted: The protocol closed it with a reset.
        lost: The connection is no more.
    """

    def __init__(self, loop: MemoryLoop, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 9)})
        self.loop = loop
        self.protocol = protocol
        self.unsent = bytearray()
        self.taken = bytearray()
        self.reading = True
        self.ended = self.aborted = self.lost = False
        self._closing = self._full = False

    def open(self) -> None:
        """
        Tell the protocol.
        """
        self._call(self.protocol.connection_made, self)

    # What the test's end does

    def bring(self, data: bytes) -> None:
        """
        Deliver bytes; they go nowhere once the wire has closed.
        """
        if not self._closing:
            assert self.reading, "a paused transport brings nothing"
            self.loop.call_soon(self._call, self.protocol.data_received, data)
            self.loop.turn()

    def bring_end(self) -> None:
        """
        Deliver the end of the other end's bytes.
        """
        if not self._closing:
            self.loop.call_soon(self._end)
            self.loop.turn()

    def break_off(self) -> None:
        """
        Reset the connection.
        """
        self._lose(ConnectionResetError())

    def take(self, size: int) -> None:
        """
        Take what the protocol wrote, at most so many bytes.
        """
        self.loop.call_soon(self._take, size)
        self.loop.turn()

    def _take(self, size: int) -> None:
        self.taken += self.unsent[:size]
        del self.unsent[:size]
        if self._full and not self.unsent:
            self._full = False
            self._call(self.protocol.resume_writing)
        if self._closing and not self.unsent:
            self._lose(None)

    # What the protocol's end calls

    def write(self, data: Any) -> None:
        """
        Keep bytes for the test's end, or hand them over at once.
        """
        assert not self.ended, "written behind the end"
        if self._closing:
            return
        self.unsent += data
        if not self.loop.high:
            self._take(len(data))
        elif len(self.unsent) > self.loop.high and not self._full:
            self._full = True
            self._call(self.protocol.pause_writing)

    def get_write_buffer_size(self) -> int:
        """
        Return how many bytes were not taken yet.
        """
        return len(self.unsent)

    def can_write_eof(self) -> bool:
        """
        Say that a connection can be half closed.
        """
        return True

    def write_eof(self) -> None:
        """
        End what is written.
        """
        self.ended = True

    def is_closing(self) -> bool:
        """
        Return whether it is closed or about to be.
        """
        return self._closing

    def pause_reading(self) -> None:
        """
        Bring nothing for a while.
        """
        self.reading = False

    def resume_reading(self) -> None:
        """
        Bring bytes again.
        """
        self.reading = True

    def close(self) -> None:
        """
        Close once everything is taken.
        """
        self._closing = True
        if not self.unsent:
            self._lose(None)

    def abort(self) -> None:
        """
        Close now.
        """
        self.aborted = True
        self._lose(None)

    def _end(self) -> None:
        if not self._closing and not self._call(self.protocol.eof_received):
            self.close()

    def _lose(self, error: Exception | None) -> None:
        self._closing = True
        self.unsent.clear()
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self._call, self.protocol.connection_lost, error)

    def _call(self, callback: Any, *arguments: Any) -> Any:
        try:
            return callback(*arguments)
        except Exception as error:  # noqa: BLE001 - as the loop does
            self.loop.call_exception_handler({"message": "a callback raised", "exception": error})
            self._lose(error)
            return None

"""
Where the frames of a WebSocket begin and end (RFC 6455 §5.2), as they pass by.

Only their headers are looked at, and nothing is judged: a tunnel passes on what comes. It is for
the one thing a tunnel says itself, that it goes away, which may stand between two frames only.
"""

from __future__ import annotations

import secrets

CLOSE = 0x8
GOING_AWAY = 1001
"""RFC 6455 §7.4.1: an endpoint is going away, such as a server going down."""

FINAL = 0x80  # in a frame's first byte,
OPCODE = 0x0F
MASKED = 0x80  # and in its second
SIZES = {126: 2, 127: 8}
"""Bytes that hold the length where the second byte's seven bits do not."""

KEY = 4
"""Bytes of a mask."""


class Border:
    """
    Where the frames of one direction end.

    Attributes:
        closed: A close frame has passed; nothing may follow it (RFC 6455 §5.5.1).
    """

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self._left = 0  # bytes of a frame that are still to come
        self._head = b""  # the beginning of a header that is not complete
        self.closed = False

    @property
    def open(self) -> bool:
        """
        Whether another frame may be put in here.
        """
        return not (self._left or self._head or self.closed)

    def follow(self, data: bytes) -> None:
        """
        Follow the bytes that pass.
        """
        at = self._left
        if at >= len(data):
            self._left = at - len(data)
            return
        if self._head:
            data = self._head + data
        size = len(data)
        while at + 1 < size:
            length = data[at + 1]
            start = at + 2 + (KEY if length & MASKED else 0)
            length &= ~MASKED
            if length in SIZES:
                end = at + 2 + SIZES[length]
                if size < end:
                    break
                start += SIZES[length]
                length = int.from_bytes(data[at + 2 : end])
            if data[at] & OPCODE == CLOSE:
                self.closed = True
            at = start + length
        self._head = data[at:]
        self._left = max(at - size, 0)


def close_frame(code: int, *, masked: bool) -> bytes:
    """
    Return a close frame with this status code.

    Args:
        code: RFC 6455 §7.4.1.
        masked: As a client has to (RFC 6455 §5.3).
    """
    payload = code.to_bytes(2)
    if not masked:
        return bytes((FINAL | CLOSE, len(payload))) + payload
    key = secrets.token_bytes(KEY)
    hidden = bytes(byte ^ mask for byte, mask in zip(payload, key, strict=False))
    return bytes((FINAL | CLOSE, MASKED | len(payload))) + key + hidden

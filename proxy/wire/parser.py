"""
What reading by the parser takes on either side: its complaints, and what it is silent about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Callable


class Hollow:
    """
    Bytes read since a chunked body last grew.

    Chunk extensions and trailers are kept by the parser without a word until they end, however long
    they are: a body that does not grow while bytes are read is made of them.
    """

    __slots__ = ("_grown", "_size")

    def __init__(self) -> None:
        self._grown = 0
        self._size = 0

    def restart(self) -> None:
        """
        Another body begins.
        """
        self._grown = self._size = 0

    def count(self, grown: int, size: int) -> int:
        """
        Return how many bytes were read since the body last grew.

        Args:
            grown: Bytes the body has now.
            size: Bytes just read, behind the head.
        """
        if grown != self._grown:
            self._grown, self._size = grown, 0
        else:
            self._size += size
        return self._size


def complaint(
    error: httptools.HttpParserError, unreadable: Callable[[str], ProxyError]
) -> ProxyError:
    """
    Return what the parser, or a callback of ours, has against the bytes.

    Args:
        error: As the parser raised it.
        unreadable: Makes an error of what the parser itself says.
    """
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
        if isinstance(cause, ProxyError):
            return cause
        raise cause  # a bug of ours: the loop's handler logs it
    return unreadable(f"not HTTP/1.1: {error}")

"""
Which protocol request lines name.

The parser knows protocols beside HTTP and takes their requests for HTTP's, without saying so. So the
bytes it is fed are looked at as well: the first line of a head that begins a read, and, for heads that
begin somewhere within one (behind a chunked body, or another head), any line of that read.
"""

from __future__ import annotations

import re

# Protocols the parser takes for HTTP (RFC 7826 §20.2.1, and Icecast's own)
FOREIGN = re.compile(rb" (?:RTSP|ICE)/[0-9.]*\r?$", re.MULTILINE)

# The same as a whole line, where it is not known which lines are request lines
FOREIGN_LINE = re.compile(rb"^[^ :\r\n]+ [^ \r\n]+ (?:RTSP|ICE)/[0-9.]*\r?$", re.MULTILINE)

SEAM = 64
"""Bytes of an unfinished line that are kept: longer than what is looked for."""


class ProtocolWatch:
    """
    Looks at what one parser is fed.
    """

    __slots__ = ("_expected", "_found", "_fresh", "_hidden", "_lined", "_seam")

    def __init__(self) -> None:
        self._fresh = b""  # what is being fed
        self._found: bool | None = None  # whether a foreign line was found in it, once looked for
        self._expected = False  # the next head begins with it
        self._hidden = False  # the head now parsed began within a read
        self._lined = False  # its request line has ended
        self._seam = b""  # the last bytes of that line, if it has not

    def feed(self, data: bytes, *, begins: bool, within_body: bool) -> bool:
        """
        Take what is about to be fed; return whether its request line names another protocol.

        Args:
            data: The bytes.
            begins: A head begins with them.
            within_body: They begin within a body; a head behind it is looked at when it is complete.
        """
        self._fresh = data
        self._found = None
        self._expected = begins
        if begins:
            self._lined, self._seam = False, b""
        if self._lined or within_body:
            return False
        line, end, _ = (self._seam + data).lstrip(b"\r\n").partition(b"\n")
        self._lined, self._seam = bool(end), line[-SEAM:]
        return FOREIGN.search(line) is not None

    def head_begins(self) -> None:
        """
        The parser has met the first byte of a head.
        """
        self._hidden, self._expected = not self._expected, False

    def head_goes_on(self) -> None:
        """
        All was fed, and the head is not complete.
        """
        if self._hidden:
            self._lined, self._seam = False, self._fresh[-SEAM:].rpartition(b"\n")[2]

    def head_is_foreign(self) -> bool:
        """
        Return whether the head just completed may name another protocol.
        """
        if not self._hidden:
            return False  # its line was seen
        if self._found is None:
            self._found = FOREIGN_LINE.search(self._fresh) is not None
        return self._found

"""
Which header plays which role: the wire's own, those somebody wants to look at, and the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = 4096
"""How many spellings of header names one `Roles` remembers; callers choose the spelling."""

LONGEST_REMEMBERED = 64
"""Bytes of a header name worth remembering."""

LONGEST_LINE = 128
"""Bytes of a field line worth remembering."""

# RFC 9110 §5.6.2: token, of which methods and header names are made
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")

# What becomes of a header line. Plain numbers: an enum's cost ten times a comparison.
PASS = 0
ASIDE = 1  # somebody wants to look at it
DROP = 2  # never travels
CONNECTION = 3
LENGTH = 4
HOST = 5
CACHE = 6  # travels; says how a response may be cached
# from here on nothing is plain
CODING = 7
EXPECT = 8
UPGRADE = 9
MALFORMED = 10  # no header's name

# RFC 9110 §7.6.1 and its older relatives: about one connection, never passed on
HOP_BY_HOP = {
    b"connection": CONNECTION,
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,
    b"upgrade": UPGRADE,
    b"transfer-encoding": CODING,
    b"content-length": LENGTH,
}
REQUEST_ROLES = HOP_BY_HOP | {b"host": HOST, b"expect": EXPECT}
RESPONSE_ROLES = HOP_BY_HOP | {b"cache-control": CACHE, b"expires": CACHE}


class Roles(dict[bytes, int]):
    """
    Header name as spelt on the wire → role; each spelling is worked out once.

    Args:
        wire: The roles the wire itself gives, by lower-case name.
        aside: Says of a lower-case name whether its owner wants to look at it.
        drop: Says of a lower-case name whether it never travels.
        alias: Drop names in which `_` stands for `-` when the true name has a role: many servers
            fold the two, so `Transfer_Encoding` would be read where it must not be.

    Attributes:
        passing: Whole field lines found to travel; most come again and again.
    """

    def __init__(
        self,
        wire: dict[bytes, int],
        aside: Callable[[bytes], bool],
        *,
        drop: Callable[[bytes], bool] = lambda _: False,
        alias: bool = True,
    ) -> None:
        super().__init__()
        self._wire = wire
        self._aside = aside
        self._drop = drop
        self._alias = alias
        self.passing: set[bytes] = set()

    def remember(self, line: bytes) -> None:
        """
        Remember a line that travels.
        """
        if len(line) <= LONGEST_LINE:
            if len(self.passing) >= MEMORY:
                self.passing.clear()  # most lines come again at once
            self.passing.add(line)

    def __missing__(self, name: bytes) -> int:
        role = self._role(name.lower()) if TOKEN.match(name) else MALFORMED
        if role != MALFORMED and len(self) < MEMORY and len(name) <= LONGEST_REMEMBERED:
            self[name] = role  # what is no name may be anything: a key in the wrong place
        return role

    def _role(self, name: bytes) -> int:
        if (role := self._wire.get(name)) is not None:
            return role
        if self._aside(name):
            return ASIDE
        if self._drop(name):
            return DROP
        if self._alias and b"_" in name and self._role(name.replace(b"_", b"-").rstrip(b"-")):
            return DROP
        return PASS

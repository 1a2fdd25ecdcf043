"""
Addresses in an upstream's answers → the proxy's own: the way back of `decide.upstream_target`.

An upstream that redirects names itself, and a caller that follows would go there without a token.
`WayBack.rewritten` makes a path of the proxy of such an address, which the caller resolves against
whatever it called the proxy by; no address of the proxy has to be known, and whatever else stands
before it still fits.

Only an address that leads to exactly this upstream, and that this route would send there again, is
changed. Everything else passes as it came, byte for byte:

- another scheme, host or port, where no token of this proxy goes;
- a path outside of the route's part of the upstream, or one that may be taken for another once
  servers or browsers have normalised it (dot segments and the like);
- one that would be read as another host's address if it began with the path (`//`);
- one whose path here is, in any reading, a more specific route's, which may lead to another upstream
  as another service user;
- a reference that is relative to the request's own path, which holds on both sides.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.core.decide import STEM
from proxy.core.target import ORIGIN_FORM, Target, below, join, readings, stem
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCATIONS: Final = {b"location": b"Location", b"content-location": b"Content-Location"}
"""Header names, lower case, and how they are written (RFC 9110 §8.7, §10.2.2)."""

# RFC 3986 §4.2, §4.3: an absolute URI of the two schemes or a network-path reference; then path,
# and query with fragment
REFERENCE: Final = re.compile(
    rb"(?:(?i:(https?):)?//([^/?#@\\\s]+))?([^?#]*)([?#].*)?\Z", re.DOTALL
)
PORTS: Final = {b"http": b":80", b"https": b":443"}


@dataclass(frozen=True, slots=True)
class WayBack:
    """
    How a route's addresses at its upstream become the proxy's.

    Attributes:
        origin: The upstream's `scheme://host[:port]`, lower case, without the scheme's own port.
        base: The upstream URL's own path without final slash.
        rewrite: What replaces the matched prefix, without final slash; None if nothing does.
        prefix: The matched prefix without final slash.
        taken: What other routes take of it: their longer prefixes, with final slash.
    """

    origin: bytes
    base: bytes
    rewrite: bytes | None
    prefix: bytes
    taken: tuple[bytes, ...] = ()

    def rewritten(self, value: bytes) -> bytes:
        """
        Return the value of a Location or Content-Location as the caller is to get it.

        Args:
            value: As the upstream sent it; hostile.
        """
        found = REFERENCE.match(value)
        if found is None:
            return value
        scheme, authority, path, rest = found.groups(b"")
        if authority:
            if not self._is_upstream(scheme, authority):
                return value
            path = path or b"/"
        back = self._path(path)
        return value if back is None else back + rest

    def _is_upstream(self, scheme: bytes, authority: bytes) -> bool:
        own, _, place = self.origin.partition(b"://")
        scheme = scheme.lower() or own
        return scheme == own and authority.lower().removesuffix(PORTS[own]) == place

    def _path(self, path: bytes) -> bytes | None:
        """
        Return the proxy's path that leads to this one of the upstream; None if there is none.
        """
        part = stem(self.base, self.rewrite, self.prefix)
        if not below(path, part) or ORIGIN_FORM.match(path) is None:
            return None
        rest = path[len(part) :]
        back = self.prefix + rest or b"/"
        if back[1:2] in (b"/", b"\\"):
            return None  # RFC 3986 §4.2: another host's
        there = join(self.base, self.rewrite, self.prefix, Target(back, b"", b""))
        return back if there == path and _stays(rest) and self._is_own(back) else None

    def _is_own(self, back: bytes) -> bool:
        """
        Say whether no more specific route takes this path of the proxy in any of its readings.
        """
        if not self.taken:
            return True
        try:
            return not any(
                (reading + b"/").startswith(self.taken) for reading in (back, *readings(back))
            )
        except BadRequest:
            return False


def longer(prefix: bytes, prefixes: Sequence[bytes]) -> tuple[bytes, ...]:
    """
    Return which of all prefixes are longer than one of them and lie below it.

    What else routes ask for, such as a host, does not count: who follows an address may be anybody.

    Args:
        prefix: Without final slash.
        prefixes: All routes', with final slash, sorted, each once.
    """
    first = bisect_right(prefixes, prefix + b"/")
    last = bisect_left(prefixes, prefix + b"0", first)  # "0" comes right after "/"
    return tuple(prefixes[first:last])


def _stays(rest: bytes) -> bool:
    """
    Say whether what stands behind the route's part of a path stays behind it in all readings.
    """
    try:
        return all(below(reading, STEM) for reading in readings(STEM + rest))
    except BadRequest:
        return False

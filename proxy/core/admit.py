"""
Who is calling, and may they use this route?

A caller proves itself with a key it sends as `Proxy-Authorization: Bearer …` or `X-Api-Key`. Only
the key's SHA-256 is known here. Every known digest is compared, whatever matched before, so the
time taken says nothing about which keys exist.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from proxy.errors import CallerForbidden, CallerUnauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

ANONYMOUS = "anonymous"
"""What `callers` must say where anybody may call a listener that is not loopback."""

LONGEST_KEY = 4096
"""Bytes of a caller key worth hashing."""


@dataclass(frozen=True, slots=True)
class Callers:
    """
    The callers of a generation: SHA-256 digest of the key → name.
    """

    digests: Mapping[bytes, str] = field(default_factory=dict)

    def identify(self, key: bytes) -> str | None:
        """
        Return whose key this is; None if nobody's.
        """
        if not key or len(key) > LONGEST_KEY:
            return None
        digest = sha256(key).digest()
        found = None
        for known, name in self.digests.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def bearer(value: bytes) -> bytes:
    """
    Return the key of a `Bearer` credential (scheme in any case, RFC 9110 §11.1); empty if other.
    """
    scheme, _, key = value.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def admit(caller: str | None, *allowed: frozenset[str] | None) -> None:
    """
    Let the caller pass, or say why not.

    Args:
        caller: The identified caller; None for nobody.
        allowed: The `callers` of the listener and of the route; None where nothing is listed.

    Raises:
        CallerUnauthenticated: Somebody must be named, and nobody was.
        CallerForbidden: Somebody was, who is not on the list.
    """
    for names in allowed:
        if names is None or ANONYMOUS in names:
            continue
        if caller is None:
            raise CallerUnauthenticated("no known caller credential came with the request")
        if caller not in names:
            raise CallerForbidden(f"caller {caller} is not on the list")

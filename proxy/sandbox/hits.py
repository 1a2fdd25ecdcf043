"""
Requests as they were received, kept for whoever wants to look.

A hit is recorded when its head arrives and completed while its body is read, so a test can wait
for a request that is still under way. Credentials are masked in the header list; the Bearer itself
stays at hand as a `Secret`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from proxy.core.secret import Secret
from proxy.sandbox.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

Place = Literal["issuer", "api", "backend"]

MASKED = frozenset({"authorization", "proxy-authorization"})
MASK = "***"

# More of a body than this is hashed and counted but not kept, in bytes.
KEPT_BODY = 1 << 20


@dataclass(slots=True)
class Hit:
    """
    One request as it was received.

    Attributes:
        place: Which part of the sandbox received it.
        method: Request method.
        target: Path and query, byte for byte as sent (latin-1).
        headers: Name and value pairs in the order and spelling received (latin-1); the value of
            Authorization and Proxy-Authorization is masked but for its scheme.
        authorizations: The Authorization values unmasked, in order.
        user: Name of the service user whose live token it showed; None if it showed none.
        body_length: Bytes of body read so far.
        body_sha256: Hex digest of the whole body; empty until it is complete.
        complete: True once the whole body was read.
        status: The answer's status; 0 while there is none.
    """

    place: Place
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    authorizations: tuple[Secret, ...] = ()
    user: str | None = None
    body_length: int = 0
    body_sha256: str = ""
    complete: bool = False
    status: int = 0

    @property
    def path(self) -> str:
        """
        The target without its query.
        """
        return self.target.partition("?")[0]

    @property
    def bearer(self) -> Secret | None:
        """
        The token shown; None unless there is exactly one Bearer credential.
        """
        if len(self.authorizations) != 1:
            return None
        scheme, _, text = self.authorizations[0].reveal().partition(" ")
        return Secret(text) if scheme == "Bearer" and text else None

    def values(self, name: str) -> list[str]:
        """
        Return every value of a header, in order.
        """
        return [value for each, value in self.headers if each.lower() == name.lower()]


class HitLog:
    """
    The latest hits, oldest first. Read it like a sequence.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._hits: deque[Hit] = deque(maxlen=limit)
        self._arrivals = Arrivals()

    def arrive(self, place: Place, request: web.BaseRequest) -> Hit:
        """
        Record a request whose head has arrived.
        """
        raw = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        ]
        hit = Hit(
            place=place,
            method=request.method,
            target=request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1"),
            headers=tuple((name, _masked(name, value)) for name, value in raw),
            authorizations=tuple(
                Secret(value) for name, value in raw if name.lower() == "authorization"
            ),
        )
        self._hits.append(hit)
        self._arrivals.one_more()
        return hit

    @property
    def total(self) -> int:
        """
        How many have arrived since the start, kept or not.
        """
        return self._arrivals.total

    async def until(self, total: int) -> None:
        """
        Wait until *total* have arrived since the start.
        """
        await self._arrivals.until(total)

    def clear(self) -> None:
        """
        Forget the hits; the total counts on.
        """
        self._hits.clear()

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(tuple(self._hits))

    def __getitem__(self, index: int) -> Hit:
        return self._hits[index]


async def read_body(request: web.Request, hit: Hit, *, keep: int = KEPT_BODY) -> bytes:
    """
    Read a whole body, hashing as it comes.

    Args:
        request: The request.
        hit: Where length and digest are written.
        keep: How many bytes to return at most; the rest is counted and hashed.
    """
    digest = sha256()
    kept = bytearray()
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        hit.body_length += len(chunk)
        kept += chunk[: keep - len(kept)]
    hit.body_sha256 = digest.hexdigest()
    hit.complete = True
    return bytes(kept)


def _masked(name: str, value: str) -> str:
    if name.lower() not in MASKED:
        return value
    scheme, space, rest = value.partition(" ")
    return f"{scheme} {MASK}" if space and rest else MASK

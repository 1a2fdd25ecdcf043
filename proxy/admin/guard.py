"""
Who may ask the admin listener, and who may change something through it.

Reading is open to whoever reaches the listener, unless a key is set; but not to web pages through an
operator's browser, which sends `Origin`, or `Sec-Fetch-Site`, or, for a page whose name was rebound to
this machine, a Host that somebody owns in the public DNS (`core.door`). Changing is not open to other
machines without a key.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.core.door import unclaimable
from proxy.core.target import parse_host
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

OPEN = frozenset(("/livez", "/readyz"))
"""What orchestrators ask without a key."""

READING = frozenset(("GET", "HEAD"))

# Fetch Metadata §2.4: how pages other than our own ask
OWN = frozenset(("same-origin", "none"))

PAGE = "requests of web pages are refused\n"
NO_KEY = (
    "other machines can connect to this admin listener, so changes need a key: set admin_key_sha256 in"
    " proxy.yaml\n"
)
KEY = "send the admin key: Authorization: Bearer KEY\n"


@dataclass(frozen=True, slots=True)
class Guard:
    """
    What is asked of requests.

    Attributes:
        digests: SHA-256 of each key that is good; empty if none is needed.
        local: Only this machine can connect.
    """

    digests: tuple[bytes, ...] = ()
    local: bool = True

    def knows(self, request: web.Request) -> bool:
        """
        Say whether the request brings a key, or none is needed.
        """
        if not self.digests:
            return True
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        shown = sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        # Each is compared, so that the time taken tells nothing of which one it is
        good = [hmac.compare_digest(shown, digest) for digest in self.digests]
        return scheme.lower() == "bearer" and any(good)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """
        Let a request pass, or refuse it in words.
        """
        if request.path not in OPEN and not self.knows(request):
            return web.Response(status=401, text=KEY, headers={"WWW-Authenticate": "Bearer"})
        if request.path not in OPEN and self._from_a_page(request):
            return web.Response(status=403, text=PAGE)
        if request.method not in READING and not self.local and not self.digests:
            return web.Response(status=403, text=NO_KEY)
        return await handler(request)

    def _from_a_page(self, request: web.Request) -> bool:
        """
        Say whether a web page may have sent the request.
        """
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") not in OWN:
            return True
        if self.digests or not self.local:
            return False
        try:
            return not unclaimable(parse_host(request.headers.get("Host", "").encode()))
        except BadRequest:
            return True

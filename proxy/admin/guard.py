"""
Who may ask the admin listener, and who may change something through it.

Reading is open to whoever reaches the listener, unless a key is set; but not to web pages of others
through an operator's browser. Such a page sends `Origin`, or `Sec-Fetch-Site`, or, if its name was
rebound to this machine, a Host that somebody owns in the public DNS (`core.door`). The status page,
which is this listener's own, sends these headers too: they must say that it asks where it came from.
Changing is not open to other machines without a key.

A key is shown as `Authorization: Bearer KEY`, or as the password of HTTP Basic with any user name: a
browser asks a person for that, and keeps it for this origin alone. Browsers add it to whatever goes
there, so it proves nothing about the page that sends: the rules about pages hold with a key as well.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.core.door import unclaimable
from proxy.core.target import parse_host
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

OPEN: Final = frozenset(("/livez", "/readyz", "/startupz"))
"""What orchestrators ask without a key."""

READING: Final = frozenset(("GET", "HEAD"))

# Fetch Metadata §2.4: by a page of this origin; by a person, who types no POST
OWN_READS: Final = frozenset(("same-origin", "none"))
OWN_CHANGES: Final = frozenset(("same-origin",))

PAGE = "requests of web pages are refused\n"
NO_KEY = (
    "other machines can connect to this admin listener, so changes need a key: set admin_key_sha256 in"
    " proxy.yaml\n"
)
KEY = "send the admin key: Authorization: Bearer KEY\n"

# RFC 7235 §4.1: the ways to show a key
CHALLENGES: Final = ("Bearer", 'Basic realm="authproxy admin", charset="UTF-8"')


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

    @property
    def changes(self) -> bool:
        """
        Whether anything can be changed through the listener at all.
        """
        return self.local or bool(self.digests)

    def knows(self, request: web.Request) -> bool:
        """
        Say whether the request brings a key, or none is needed.
        """
        if not self.digests:
            return True
        key = _key(request.headers.get("Authorization", ""))
        shown = sha256(key).digest()
        # Each is compared, so that the time taken tells nothing of which one it is
        good = [hmac.compare_digest(shown, digest) for digest in self.digests]
        return key != b"" and any(good)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """
        Let a request pass, or refuse it in words.
        """
        if request.path not in OPEN and not self.knows(request):
            refused = web.Response(status=401, text=KEY)
            for challenge in CHALLENGES:
                refused.headers.add("WWW-Authenticate", challenge)
            return refused
        if request.path not in OPEN and self._from_a_page(request):
            return web.Response(status=403, text=PAGE)
        if request.method not in READING and not self.changes:
            return web.Response(status=403, text=NO_KEY)
        return await handler(request)

    def _from_a_page(self, request: web.Request) -> bool:
        """
        Say whether a web page may have sent the request that is not this listener's own.
        """
        hosts = request.headers.getall("Host", [])
        host = hosts[0] if len(hosts) == 1 else ""
        sites = request.headers.getall("Sec-Fetch-Site", [])
        own = OWN_READS if request.method in READING else OWN_CHANGES
        if not own.issuperset(sites):
            return True
        for origin in request.headers.getall("Origin", []):
            # Behind something that speaks TLS the page's origin is https
            secure = origin == f"https://{host}" and bool(sites)
            if not host or not (secure or origin == f"http://{host}"):
                return True
        if self.digests or not self.local:
            return False
        try:
            return not unclaimable(parse_host(host.encode("utf-8", "surrogateescape")))
        except BadRequest:
            return True


def _key(authorization: str) -> bytes:
    """
    Return the key that a header shows; empty if it shows none.
    """
    scheme, _, rest = authorization.partition(" ")
    shown = rest.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "bearer":
        return shown
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(shown, validate=True).partition(b":")[2]  # RFC 7617 §2
    except ValueError:
        return b""

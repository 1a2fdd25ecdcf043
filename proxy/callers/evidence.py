"""
What a request shows of who sent it.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from proxy.wire.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

UNUSABLE: Final = b""
"""The credential of a header that holds none that could be one: it is shown, and nobody's."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is known of the other end.

    Attributes:
        peer: Its address, user, group and certificate's names, as far as there are any.
        credential: The key or token the request shows, without a scheme; `UNUSABLE` if what it
            shows can be none; None if it shows nothing.
    """

    peer: Peer = field(default_factory=Peer)
    credential: bytes | None = field(default=None, repr=False)


def shown(field_of: Callable[[bytes], bytes | None], *, authorization: bool) -> bytes | None:
    """
    Return the credential that a header section shows.

    Args:
        field_of: Header look-up by lower-case name; several lines joined.
        authorization: `Authorization` is looked at too, after the proxy's own headers.
    """
    proxy, key = field_of(b"proxy-authorization"), field_of(b"x-api-key")
    own = field_of(b"authorization") if authorization else None
    for candidate in (_bearer(proxy) or _password(proxy), key, _bearer(own)):
        if candidate:
            return candidate
    return None if proxy is None and key is None and own is None else UNUSABLE


def _password(value: bytes | None) -> bytes:
    """
    Return the password behind `Basic`, which is how clients send what stands in a proxy's URL as
    `http://name:KEY@proxy`; empty if there is none. The name says nothing: a key names its caller.

    Source: RFC 7617 §2.
    """
    scheme, _, credential = (value or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(credential.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _bearer(value: bytes | None) -> bytes:
    """
    Return what stands behind `Bearer` (in any case, RFC 9110 §11.1); empty if it is another scheme.
    """
    scheme, _, credential = (value or b"").partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""

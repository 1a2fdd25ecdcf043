"""
Request-target bytes → `Target`, and joining it under an upstream without re-encoding a byte.

What is forwarded is what came, byte for byte. What is *matched* must mean the same to everybody on
the way, so a target is also read the way servers normalise it (percent-decoding, dot segments,
merged slashes, backslashes); the gateway refuses one whose readings fall into different routes.

The grammar stands in RFC 9112 §3.2 and RFC 3986 §3.3 to §3.5, with one liberty: RFC 3986 keeps a few
printable characters out of paths and queries that clients send all the same (`|`, `"`, `{`), and
those pass unchanged. Controls, spaces, non-ASCII bytes, fragments and broken percent escapes do
not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.errors import BadRequest

# RFC 9112 §3.2.1 origin-form = absolute-path [ "?" query ]
ORIGIN_FORM = re.compile(rb"/(?:[!\"$&-~]|%[0-9A-Fa-f]{2})*\Z")
# RFC 9112 §3.2.2 absolute-form, of the two schemes a gateway can be asked for
ABSOLUTE_FORM = re.compile(rb"(?i:(https?)://)([^/?#@\s]+)(|[/?].*)\Z", re.DOTALL)
# RFC 9110 §7.2: Host = uri-host [ ":" port ]; a name, an IPv4 address or an IP literal
HOST = re.compile(rb"([A-Za-z0-9_.~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?\Z")
# What a path must hold to have more than one reading
AMBIGUOUS = re.compile(rb"%|//|/\.|\\")
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# RFC 3986 §2.3
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Target(NamedTuple):
    """
    One request target.

    Attributes:
        path: The path as it came; starts with `/`.
        query: `?` and what follows as it came, or empty.
        host: The host that matching sees: lower case, no port, no final dot; empty if unknown.
    """

    path: bytes
    query: bytes
    host: bytes


def parse_host(value: bytes) -> bytes:
    """
    Return the host of a Host header or authority in lower case, without port and final dot.

    Raises:
        BadRequest: It is no `uri-host [":" port]` (userinfo, a path, spaces, nothing at all).
    """
    found = HOST.match(value)
    if found is None:
        raise BadRequest("Host is not a host name with an optional port")
    return found[1].lower().rstrip(b".")


def parse_target(raw: bytes, host_field: bytes) -> Target:
    """
    Read an origin-form or absolute-form target.

    Args:
        raw: The request target as it stood in the request line.
        host_field: The Host header's value; empty where HTTP/1.0 sent none. In absolute-form the
            target's own authority wins (RFC 9112 §3.2.2).

    Raises:
        BadRequest: Any other form, or bytes no target may hold.
    """
    host = parse_host(host_field) if host_field else b""
    if raw[:1] != b"/":
        absolute = ABSOLUTE_FORM.match(raw)
        if absolute is None:
            raise BadRequest("the request target is neither a path nor an absolute URL")
        host = parse_host(absolute[2])
        raw = absolute[3]
        if raw[:1] != b"/":
            raw = b"/" + raw
    if ORIGIN_FORM.match(raw) is None:
        raise BadRequest("the request target holds bytes that no URL may hold")
    path, mark, query = raw.partition(b"?")
    return Target(path, mark + query, host)


def readings(path: bytes) -> tuple[bytes, ...]:
    """
    Return the normalised forms of *path* that a server behind us might act on.

    Empty when the path has only one reading, which is the common case. Else two: unreserved
    characters decoded, and everything that could become a slash decoded too; both with slashes
    merged and dot segments removed (RFC 3986 §6.2.2).
    """
    if AMBIGUOUS.search(path) is None:
        return ()
    mild = ESCAPE.sub(_decode_unreserved, path)
    bold = path
    for _ in range(3):  # servers in a row may each decode once
        bold = ESCAPE.sub(_decode, bold)
    return _flatten(mild), _flatten(bold.replace(b"\\", b"/"))


def _decode_unreserved(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in UNRESERVED else found[0]


def _decode(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))


def _flatten(path: bytes) -> bytes:
    """
    Merge slashes and remove dot segments; a final slash stays (RFC 3986 §5.2.4).
    """
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        bare = segment.partition(b";")[0]  # `..;x` climbs on servers that strip path parameters
        if bare == b"..":
            del kept[-1:]
        elif segment and bare != b".":
            kept.append(segment)
    tail = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + tail


def join(base: bytes, rewrite: bytes | None, prefix: bytes, target: Target) -> bytes:
    """
    Return the target to send upstream: base path, rewritten prefix, the rest as it came.

    Args:
        base: The upstream URL's own path without final slash, usually empty.
        rewrite: What replaces the matched prefix, without final slash; None to leave the path.
        prefix: The matched prefix without final slash.
        target: The caller's target.
    """
    if rewrite is None:
        return base + target.path + target.query if base else target.path + target.query
    rest = target.path[len(prefix) :]
    path = base + rewrite + rest
    return (path if path[:1] == b"/" else b"/" + path) + target.query

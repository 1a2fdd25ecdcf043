"""
Request-target bytes → `Target`, and joining it under an upstream without re-encoding a byte.

What is forwarded is what came, byte for byte. What is *matched* must mean the same to everybody on
the way, so a target is also read in all ways servers normalise it; the gateway refuses one whose
readings fall into different routes, or out of the part of the upstream its route leads to.

The grammar stands in RFC 9112 §3.2 and RFC 3986 §3.3 to §3.5, with one liberty: RFC 3986 keeps a few
printable characters out of paths and queries that clients send all the same (`|`, `"`, `{`), and
those pass unchanged. Controls, spaces, non-ASCII bytes, fragments and broken percent escapes do
not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from proxy.errors import BadRequest

# RFC 9112 §3.2.1 origin-form = absolute-path [ "?" query ]
ORIGIN_FORM = re.compile(rb"/(?:[!\"$&-~]++|%[0-9A-Fa-f]{2})*+\Z")
QUERY_FORM = re.compile(rb"(?:[!\"$&-~]++|%[0-9A-Fa-f]{2})*+\Z")
# RFC 9112 §3.2.2 absolute-form, of the two schemes a gateway can be asked for
ABSOLUTE_FORM = re.compile(rb"(?i:(https?)://)([^/?#@\s]+)(|[/?].*)\Z", re.DOTALL)
# RFC 9110 §7.2: Host = uri-host [ ":" port ]; a name, an IPv4 address or an IP literal
HOST = re.compile(rb"([A-Za-z0-9_.~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?\Z")
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
SLASHES = re.compile(rb"//+")
PARAMETERS = re.compile(rb";[^/]*")
QUERY = re.compile(rb"[?#]")
# RFC 3986 §2.3: escape (lower case, without `%`) → the character it must be the same as
UNRESERVED = {
    b"%02x" % byte: bytes((byte,))
    for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
}

MOST_READINGS = 32
"""Other paths one path may be taken for; a handful is usual."""

MOST_READ = 32 * 1024
"""Bytes of all of them: working them out must stay cheap."""

PORTS = {b"http": 80, b"https": 443}
"""The port that a URL without one means, by its scheme (RFC 9110 §4.2.1, §4.2.2)."""

LARGEST_PORT = 65535

PATHLESS = len(b"//")
"""Slashes in an absolute-form target without a path."""

LONGEST_HOST = 255 + len(":65535")
"""Bytes of a Host: RFC 1035 §2.3.4's longest name, and a port."""

HOSTS = 512
"""How many Host values are remembered with what they mean; callers choose them."""


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


class Authority(NamedTuple):
    """
    Whom an absolute-form target asks for.

    Attributes:
        scheme: `http` or `https`, in lower case.
        host: As in `Target`.
        port: 1 to 65535; the scheme's own if none was written.
    """

    scheme: bytes
    host: bytes
    port: int


@lru_cache(maxsize=HOSTS)
def parse_host(value: bytes) -> bytes:
    """
    Return the host of a Host header or authority in lower case, without port and final dot.

    Raises:
        BadRequest: It is no `uri-host [":" port]` (userinfo, a path, spaces, nothing at all).
    """
    if len(value) > LONGEST_HOST:
        raise BadRequest("Host is longer than a host name can be")
    found = HOST.match(value)
    if found is None:
        raise BadRequest("Host is not a host name with an optional port")
    host = found[1].lower()
    if host[:1] == b"[":
        try:
            ip_address(host[1:-1].decode("ascii"))
        except ValueError:
            raise BadRequest("Host is an IP literal that is no address") from None
        if b":" not in host:
            raise BadRequest("Host is an IP literal without a colon")  # RFC 3986 §3.2.2
    return host.rstrip(b".")


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
        authority, raw = _split_absolute(raw)
        host = authority.host
        if raw[:1] != b"/":
            raw = b"/" + raw
    if ORIGIN_FORM.match(raw) is None:
        raise BadRequest("the request target holds bytes that no URL may hold")
    path, mark, query = raw.partition(b"?")
    return Target(path, mark + query, host)


def parse_authority(raw: bytes) -> Authority:
    """
    Return whom an absolute-form target asks for.

    Raises:
        BadRequest: It is no absolute-form, or its authority none of a host and a port.
    """
    return _split_absolute(raw)[0]


def _split_absolute(raw: bytes) -> tuple[Authority, bytes]:
    """
    Return authority, and path with query, of an absolute-form target.
    """
    found = ABSOLUTE_FORM.match(raw)
    if found is None:
        raise BadRequest("the request target is neither a path nor an absolute URL")
    scheme, host = found[1].lower(), parse_host(found[2])
    place = HOST.match(found[2])
    assert place is not None  # else it had no host
    port = int(place[2] or PORTS[scheme])
    if not 1 <= port <= LARGEST_PORT:
        raise BadRequest("the request target's port is none")
    return Authority(scheme, host, port), found[3]


def with_path(raw: bytes) -> bytes:
    """
    Return an absolute-form target that has a path if it has a query (RFC 3986 §6.2.3).
    """
    start, mark, query = raw.partition(b"?")
    return b"%b/?%b" % (start, query) if mark and start.count(b"/") == PATHLESS else raw


def shown_path(raw: bytes) -> str | None:
    """
    Return the path of a target that came to no route, for the log; None where it cannot be told
    from what may be a secret: userinfo, a fragment, bytes no URL may hold.
    """
    if (absolute := ABSOLUTE_FORM.match(raw)) is not None:
        raw = absolute[3] if absolute[3][:1] == b"/" else b"/" + absolute[3]
    path = raw.partition(b"?")[0]
    return path.decode("ascii") if ORIGIN_FORM.match(raw) else None


def check_query(query: bytes) -> None:
    """
    See that a query holds only what a target may hold.

    Raises:
        BadRequest: It does not.
    """
    if QUERY_FORM.match(query) is None:
        raise BadRequest("the query holds bytes that no URL may hold")


def readings(path: bytes) -> tuple[bytes, ...]:
    """
    Return every other path that servers behind us might take *path* for.

    Empty when there is none, which is the common case. Else what any row of servers makes of it,
    each free to decode percent escapes, turn backslashes, merge slashes, cut path parameters,
    remove dot segments (RFC 3986 §5.2.4) or split off a decoded `?`, in any order, any number of
    times.

    Raises:
        BadRequest: More than `MOST_READINGS`, or `MOST_READ` bytes; no honest path has as many.
    """
    plain = not (b"%" in path or b"//" in path or b"/." in path or b";" in path or b"\\" in path)
    if plain:
        return ()
    most = min(MOST_READINGS, MOST_READ // len(path))
    found = {path}
    unread = [path]
    while unread:
        reading = unread.pop()
        for step in STEPS:
            other = step(reading)
            if other not in found:
                if len(found) > most:
                    raise BadRequest("the path can be read in too many ways")
                found.add(other)
                unread.append(other)
    found.discard(path)
    return tuple(found)


def _decode_unreserved(path: bytes) -> bytes:
    if b"%" not in path:
        return path
    return ESCAPE.sub(lambda found: UNRESERVED.get(found[1].lower(), found[0]), path)


def _decode(path: bytes) -> bytes:
    if b"%" not in path:
        return path
    return ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), path)


def _turn_backslashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _merge_slashes(path: bytes) -> bytes:
    return SLASHES.sub(b"/", path) if b"//" in path else path


def _cut_parameters(path: bytes) -> bytes:
    return PARAMETERS.sub(b"", path) if b";" in path else path


def _split_query(path: bytes) -> bytes:
    return QUERY.split(path, 1)[0]


def _remove_dots(path: bytes) -> bytes:
    """
    Remove dot segments; empty segments count, a final slash stays.
    """
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


STEPS = (
    _decode_unreserved,
    _decode,
    _turn_backslashes,
    _merge_slashes,
    _cut_parameters,
    _split_query,
    _remove_dots,
)


def below(path: bytes, prefix: bytes) -> bool:
    """
    Return whether *path* lies at or below *prefix* (no final slash) on segment borders.
    """
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")


def stem(base: bytes, rewrite: bytes | None, prefix: bytes) -> bytes:
    """
    Return the part of the upstream that a route leads to: all that `join` makes lies there.
    """
    return base + (prefix if rewrite is None else rewrite)


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

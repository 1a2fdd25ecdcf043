"""
Head + route table → frozen `Decision`: where a request goes, as whom, and what it will look like.

The gateway, `explain` and whatever else must agree on an answer all ask here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypeVar

from proxy.core.forward_errors import PlainTunnelNotSupported, TunnelNotSupported
from proxy.core.headers import REQUEST_ID
from proxy.core.target import Target, below, join, parse_target, readings
from proxy.errors import BadRequest, MethodNotSupported, NoRoute

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.admit import Rule
    from proxy.core.location import WayBack
    from proxy.core.route import Fields, Route, Table

T = TypeVar("T")

Authorization = Literal["replace", "reject", "keep"]
Replay = Literal["auto", "always", "never"]
TokenEcho = Literal["redact", "block", "allow"]

# Nothing a token could be attached to (CONNECT), or that would echo one back (TRACE).
UNSUPPORTED = frozenset((b"CONNECT", b"TRACE"))

STEM = b"/="
"""Stands for the upstream's part of a path while it is seen whether the caller's climbs out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a route does with the requests it matches.

    Attributes:
        upstream: `scheme://host[:port]`, for logs and people.
        host_line: The `Host` header line the upstream gets.
        base: The upstream URL's own path without final slash.
        rewrite: What replaces the matched prefix, without final slash; None to leave the path.
        service_user: Whose token is attached.
        callers: Who may use the route; None if it lists nobody.
        authorization: What becomes of a caller's own Authorization header.
        replay: May a 401 be answered by one new token and one more try.
        own_api: The upstream is the issuer itself, where authorisation runs before any action.
        strip: Lower-case names of request headers that do not go up.
        set_lines: Header lines the route adds.
        token_echo: What becomes of a response that repeats the token it was asked for with.
        way_back: How addresses in responses become the proxy's own; None to leave them.
        server_timing: Responses say how long they took.
    """

    upstream: str
    host_line: bytes
    base: bytes = b""
    rewrite: bytes | None = None
    service_user: str = ""
    callers: Rule | None = None
    authorization: Authorization = "replace"
    replay: Replay = "auto"
    own_api: bool = False
    strip: frozenset[bytes] = frozenset()
    set_lines: bytes = b""
    token_echo: TokenEcho = "redact"
    way_back: WayBack | None = None
    server_timing: bool = False


class Decision(NamedTuple, Generic[T]):
    """
    Which route, and what was asked of it.
    """

    route: Route[T]
    target: Target


def decide(
    table: Table[T], method: bytes, raw_target: bytes, host_field: bytes, fields: Fields
) -> Decision[T]:
    """
    Find the route of a request.

    Args:
        table: All routes.
        method: As in the request line.
        raw_target: As in the request line.
        host_field: The Host header's value; empty if HTTP/1.0 sent none.
        fields: Header look-up by lower-case name.

    Raises:
        MethodNotSupported: CONNECT or TRACE.
        BadRequest: No URL, or one that servers on the way may read as another route's.
        NoRoute: Nothing matches.
    """
    check_method(method, raw_target)
    target = parse_target(raw_target, host_field)
    route = settled(lambda path: table.find(method, target.host, path, fields), target.path)
    if route is None:
        raise NoRoute("no route matches host, path, method and headers")
    return Decision(route, target)


def check_method(method: bytes, raw_target: bytes) -> None:
    """
    See that a token can be attached to a request of this method.

    Args:
        method: As in the request line.
        raw_target: As in the request line; of CONNECT `host:port`.

    Raises:
        MethodNotSupported: CONNECT or TRACE.
    """
    if method == b"CONNECT":
        plain = raw_target.endswith(b":80")
        error = PlainTunnelNotSupported if plain else TunnelNotSupported
        raise error("CONNECT is not served: nothing can be attached within a tunnel")
    if method in UNSUPPORTED:
        raise MethodNotSupported(f"{method.decode()} is not served")


def settled(find: Callable[[bytes], Route[T] | None], path: bytes) -> Route[T] | None:
    """
    Return the route that a path falls into, in all its readings.

    Args:
        find: Returns the route of one of them.
        path: As it came.

    Raises:
        BadRequest: Some server may take the path for another route's.
    """
    route = find(path)
    for reading in readings(path):
        if find(reading) is not route:
            raise BadRequest("the path reads as another route's once it is normalised")
    return route


def upstream_target(plan: Plan, prefix: bytes, target: Target) -> bytes:
    """
    Return the request target to send upstream.
    """
    if plan.rewrite is None and not plan.base:
        return target.path + target.query if target.query else target.path
    return join(plan.base, plan.rewrite, prefix, target)


def confine(plan: Plan, prefix: bytes, target: Target) -> None:
    """
    See that the upstream's target stays in the part of the upstream its route leads to.

    Without a base path and a rewritten prefix it does: all readings fall into the same route.

    Raises:
        BadRequest: On some server it would not.
    """
    if plan.rewrite is None and not plan.base:
        return
    rest = target.path if plan.rewrite is None else target.path[len(prefix) :]
    for reading in readings(STEM + rest):
        if not below(reading, STEM):
            raise BadRequest("the path climbs out of its route's part of the upstream")


class Section(Protocol):
    """
    A caller's header section, as far as it matters here (see `wire.request.RequestFields`).
    """

    lines: list[bytes]
    aside: list[tuple[bytes, bytes, int]]
    chunked: bool
    upgrade: bytes


def travelling(
    plan: Plan, fields: Section, *, keep_id: bool, also: frozenset[bytes] = frozenset()
) -> bytes:
    """
    Return the caller's field lines that go up, each with its CRLF: what is stripped is stripped
    first, what is added is added afterwards.

    Args:
        plan: What the route does.
        fields: The caller's header section.
        keep_id: The caller's own X-Request-Id stands.
        also: Lower-case names of headers that are stripped besides the plan's.
    """
    kept = fields.lines
    out = [
        index
        for name, _, index in fields.aside
        if (not keep_id if name == REQUEST_ID else name in plan.strip or name in also)
    ]
    if out:
        kept = list(kept)
        for index in out:
            kept[index] = b""
    joined = b"\r\n".join(kept) if b"" not in kept else b"\r\n".join(filter(None, kept))
    return joined + b"\r\n" if joined else b""


def last_lines(fields: Section, via: bytes) -> bytes:
    """
    Return what the upstream's head ends with: `Via`, framing, an upgrade, the empty line.

    Args:
        fields: The caller's header section.
        via: The Via line to add.
    """
    framing = b"Transfer-Encoding: chunked\r\n" if fields.chunked else b""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if fields.upgrade else b""
    return b"%b%b%b\r\n" % (via, framing, upgrade)


def host_lines(plan: Plan) -> bytes:
    """
    Return what stands behind the target in the upstream's head: the version, and `Host`.
    """
    return b" HTTP/1.1\r\n%b" % plan.host_line


def id_line(request_id: str) -> bytes:
    """
    Return the line that names the request.
    """
    return b"X-Request-Id: %b\r\n" % request_id.encode()

from __future__ import annotations

import pytest

from proxy.core.decide import (
    Plan,
    confine,
    decide,
    host_lines,
    id_line,
    last_lines,
    travelling,
    upstream_target,
)
from proxy.core.forward_errors import PlainTunnelNotSupported, TunnelNotSupported
from proxy.core.route import Match, Route, Table
from proxy.core.target import Target
from proxy.errors import BadRequest, MethodNotSupported, NoRoute
from proxy.wire.request import RequestFields

NONE = dict[bytes, bytes]().get
PLAN = Plan(upstream="http://u", host_line=b"Host: u\r\n", strip=frozenset((b"authorization",)))
TABLE = Table([Route("a", Match(path=b"/a"), "a"), Route("b", Match(path=b"/b"), "b")])


def test_decision_names_route_and_target():
    """
    What was asked stays as it came.
    """
    decision = decide(TABLE, b"GET", b"/a/x%20y?z", b"H", NONE)

    assert decision.route.name == "a"
    assert decision.target == Target(b"/a/x%20y", b"?z", b"h")


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        (b"CONNECT", b"a:1", MethodNotSupported),
        (b"TRACE", b"/a", MethodNotSupported),
        (b"GET", b"/c", NoRoute),
        (b"GET", b"/a/../b", BadRequest),
        (b"GET", b"/a/../c", BadRequest),
        (b"GET", b"/c/../a", BadRequest),
        (b"GET", b"/a#", BadRequest),
    ],
)
def test_no_decision(method, target, error):
    """
    Each way of not deciding has its error.
    """
    with pytest.raises(error):
        decide(TABLE, method, target, b"h", NONE)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (b"a:80", PlainTunnelNotSupported),
        (b"a:443", TunnelNotSupported),
        (b"a:8080", TunnelNotSupported),
    ],
)
def test_what_to_do_about_a_tunnel_depends_on_what_the_client_had_written(target, error):
    """
    To port 80 it was http:// already.
    """
    with pytest.raises(TunnelNotSupported) as caught:
        decide(TABLE, b"CONNECT", target, b"h", NONE)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "path", [b"/a/..", b"/a/%2e%2e/x", b"/a/x/..%2f..%2f..", b"/a/..;/", b"/a\\..\\..\\x"]
)
def test_rewritten_path_stays_in_its_part(path):
    """
    The rest behind a rewritten prefix does not climb above it on any server.
    """
    plan = Plan(upstream="u", host_line=b"", base=b"/b;c", rewrite=b"/v2")
    with pytest.raises(BadRequest):
        confine(plan, b"/a", Target(path, b"", b""))
    confine(plan, b"/a", Target(b"/a/x/../y;z//%2f%41", b"", b""))
    confine(PLAN, b"/a", Target(path, b"", b""))


def section(*lines: tuple[bytes, bytes], chunked: bool = False) -> RequestFields:
    """
    Return a header section whose lines are all set aside.
    """
    one = RequestFields()
    one.chunked = chunked
    for name, value in lines:
        one.aside.append((name.lower(), value, len(one.lines)))
        one.lines.append(b"%b: %b" % (name, value))
    return one


@pytest.mark.parametrize(
    ("lines", "keep_id", "expected"),
    [
        ((), False, b""),
        (((b"Authorization", b"C"),), False, b""),
        (((b"x-request-id", b"i"),), True, b"x-request-id: i\r\n"),
        (((b"X-Request-Id", b"j"),), False, b""),
        (((b"X-Beta", b"1"),), False, b"X-Beta: 1\r\n"),
        (((b"X-Beta", b"1"), (b"Authorization", b"C"), (b"A", b"2")), False, b"X-Beta: 1\r\nA: 2\r\n"),
    ],
)  # fmt: skip
def test_travelling(lines, keep_id, expected):
    """
    What the route strips stays here, the rest travels in order; asking once more gives the same.
    """
    one = section(*lines)
    for _ in range(2):
        assert travelling(PLAN, one, keep_id=keep_id) == expected


def test_line_taken_away_by_connection_does_not_travel():
    """
    A blank line leaves no trace.
    """
    one = section((b"A", b"1"), (b"B", b"2"))
    one.lines[0] = b""

    assert travelling(PLAN, one, keep_id=False) == b"B: 2\r\n"


@pytest.mark.parametrize(
    ("chunked", "upgrade", "expected"),
    [
        (False, b"", b"Via: v\r\n\r\n"),
        (True, b"", b"Via: v\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (False, b"websocket", b"Via: v\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ],
)
def test_last_lines(chunked, upgrade, expected):
    """
    Framing and an upgrade are ours to say.
    """
    one = section(chunked=chunked)
    one.upgrade = upgrade

    assert last_lines(one, b"Via: v\r\n") == expected


def test_host_lines():
    """
    Version and Host are the upstream's.
    """
    assert host_lines(PLAN) == b" HTTP/1.1\r\n" + PLAN.host_line
    assert id_line("x") == b"X-Request-Id: x\r\n"


def test_plain_target_is_the_callers():
    """
    Without base and rewrite nothing is joined.
    """
    assert upstream_target(PLAN, b"/a", Target(b"/a/%41", b"?", b"")) == b"/a/%41?"

from __future__ import annotations

import pytest

from proxy.core.decide import Plan, confine, decide, upstream_head, upstream_target
from proxy.core.route import Match, Route, Table
from proxy.core.target import Target
from proxy.errors import BadRequest, MethodNotSupported, NoRoute
from proxy.wire.message import RequestHead

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


def head(*lines: tuple[bytes, bytes], chunked: bool = False) -> RequestHead:
    """
    Return a head whose lines are all set aside.
    """
    one = RequestHead(b"GET", b"/a", http10=False)
    one.chunked = chunked
    for name, value in lines:
        one.aside.append((name.lower(), value, len(one.lines)))
        one.lines.append(b"%b: %b\r\n" % (name, value))
    return one


DECISION = decide(TABLE, b"GET", b"/a?q", b"h", NONE)


@pytest.mark.parametrize(
    ("lines", "authorization", "expected"),
    [
        ((), "replace", b"Authorization: T\r\nX-Request-Id: i\r\nVia: v\r\n"),
        (((b"Authorization", b"C"),), "replace", b"Authorization: T\r\nX-Request-Id: i\r\nVia: v\r\n"),
        (((b"Authorization", b"C"),), "keep", b"Authorization: C\r\nX-Request-Id: i\r\nVia: v\r\n"),
        (((b"x-request-id", b"i"),), "replace", b"x-request-id: i\r\nAuthorization: T\r\nVia: v\r\n"),
        (((b"X-Request-Id", b"j"),), "replace", b"Authorization: T\r\nX-Request-Id: i\r\nVia: v\r\n"),
        (((b"Forwarded", b"x"),), "replace", b"Authorization: T\r\nX-Request-Id: i\r\nVia: v\r\n"),
        (((b"X-Beta", b"1"),), "replace", b"X-Beta: 1\r\nAuthorization: T\r\nX-Request-Id: i\r\nVia: v\r\n"),
    ],
)  # fmt: skip
def test_upstream_head(lines, authorization, expected):
    """
    Strip first, inject afterwards; composing it once more gives the same.
    """
    plan = Plan("http://u", b"Host: u\r\n", authorization=authorization, strip=PLAN.strip)
    one = head(*lines)
    for _ in range(2):
        sent = upstream_head(
            DECISION, plan, one, b"Authorization: T\r\n", request_id="i", via=b"Via: v\r\n"
        )
        assert sent == b"GET /a?q HTTP/1.1\r\nHost: u\r\n" + expected + b"\r\n"


def test_chunked_head_says_so():
    """
    The framing line is ours.
    """
    sent = upstream_head(DECISION, PLAN, head(chunked=True), b"", request_id="i", via=b"")

    assert sent.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_plain_target_is_the_callers():
    """
    Without base and rewrite nothing is joined.
    """
    assert upstream_target(PLAN, b"/a", Target(b"/a/%41", b"?", b"")) == b"/a/%41?"

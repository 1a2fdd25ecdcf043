"""
Addresses in an upstream's answers, and what they are to a caller of the proxy.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.decide import Plan, upstream_target
from proxy.core.location import WayBack, longer
from proxy.core.target import Target, below, parse_target

UP = b"https://api.example"
ALL = WayBack(UP, b"", None, b"")
ORDERS = WayBack(UP, b"", None, b"/orders")
BASED = WayBack(UP, b"/base", None, b"/orders")
REWRITTEN = WayBack(UP, b"", b"/api/v2", b"/orders")
BOTH = WayBack(UP, b"/base", b"/api/v2", b"/orders")
CUT = WayBack(UP, b"", b"", b"/orders")
SHARED = WayBack(UP, b"", b"", b"/api", (b"/api/v2/", b"/api/x/y/"))
PORT = WayBack(b"http://127.0.0.1:8080", b"", None, b"")

CHANGED = [
    (ALL, b"https://api.example/a", b"/a"),
    (ALL, b"https://api.example", b"/"),
    (ALL, b"https://api.example?a=b", b"/?a=b"),
    (ALL, b"https://api.example#a", b"/#a"),
    (ALL, b"HTTPS://API.Example:443/A", b"/A"),
    (ALL, b"//api.example/a", b"/a"),
    (ALL, b"//api.example:443/a", b"/a"),
    (
        ALL,
        b"https://api.example/a+b|?e=%zz&f=https://x//y#g?h#i",
        b"/a+b|?e=%zz&f=https://x//y#g?h#i",
    ),
    (ALL, b"https://api.example/a?\xe9 |\\#%", b"/a?\xe9 |\\#%"),
    (ORDERS, b"https://api.example/orders", b"/orders"),
    (ORDERS, b"https://api.example/orders/1", b"/orders/1"),
    (BASED, b"https://api.example/base/orders/1", b"/orders/1"),
    (BASED, b"/base/orders/1?a#b", b"/orders/1?a#b"),
    (REWRITTEN, b"https://api.example/api/v2/1", b"/orders/1"),
    (REWRITTEN, b"/api/v2", b"/orders"),
    (REWRITTEN, b"/api/v2/", b"/orders/"),
    (REWRITTEN, b"/api/v2?a", b"/orders?a"),
    (BOTH, b"/base/api/v2/1", b"/orders/1"),
    (CUT, b"https://api.example/1", b"/orders/1"),
    (CUT, b"/", b"/orders/"),
    (PORT, b"http://127.0.0.1:8080/a", b"/a"),
    (SHARED, b"https://api.example/v1/x?/v2/", b"/api/v1/x?/v2/"),
    (SHARED, b"https://api.example/v22", b"/api/v22"),
    (SHARED, b"https://api.example/x", b"/api/x"),
    (SHARED, b"https://api.example/a/v2/%41", b"/api/a/v2/%41"),
]

UNCHANGED = [
    (ALL, b"http://api.example/a", "another scheme"),
    (ALL, b"https://api.example:8443/a", "another port"),
    (ALL, b"https://api.example:80/a", "another scheme's port"),
    (ALL, b"https://api.example./a", "a host with a final dot"),
    (ALL, b"https://api.example.evil.example/a", "another host"),
    (ALL, b"https://evil.example/https://api.example/a", "another host, ours in its path"),
    (ALL, b"https://api.example@evil.example/a", "our host as userinfo"),
    (ALL, b"https://user@api.example/a", "userinfo"),
    (ALL, b"https://api.example\\@evil.example/a", "a backslash in the authority"),
    (ALL, b"https:\\\\api.example/a", "backslashes for slashes"),
    (ALL, b"https:/api.example/a", "one slash"),
    (ALL, b"https:api.example/a", "no slash"),
    (ALL, b"//evil.example/a", "another host, without a scheme"),
    (ALL, b"ftp://api.example/a", "a scheme that is no route's"),
    (ALL, b"myapp://api.example/a", "an application's own scheme"),
    (ALL, b"mailto:a@api.example", "no hierarchy"),
    (PORT, b"http://127.0.0.1/a", "no port"),
    (ALL, b"https://api.example//evil.example/a", "a path that would name another host"),
    (ALL, b"https://api.example/\\evil.example/a", "the same with a backslash"),
    (CUT, b"https://api.example/a b", "a space in the path"),
    (ALL, b"https://api.example/\t/evil.example", "a tab in the path"),
    (ALL, b"https://api.example/caf\xe9", "a path that no target may be"),
    (ORDERS, b"https://api.example/login", "outside of the route"),
    (ORDERS, b"https://api.example/orders-archive", "beside the route"),
    (ORDERS, b"/login", "outside of the route, relative"),
    (BASED, b"https://api.example/orders/1", "outside of the base"),
    (REWRITTEN, b"https://api.example/orders/1", "outside of the rewritten part"),
    (REWRITTEN, b"/api/v2/../../admin", "out of the route by dots"),
    (REWRITTEN, b"https://api.example/api/v2/%2e%2e/admin", "out by encoded dots"),
    (ORDERS, b"https://api.example/orders/..%2fadmin", "out by an encoded slash"),
    (ORDERS, b"https://api.example/orders/%" + b"25" * 40 + b"41", "too many readings"),
    (WayBack(UP, b"/base", None, b""), b"/base", "what the proxy cannot ask for"),
    (SHARED, b"https://api.example/v2/x?y#z", "a more specific route's"),
    (SHARED, b"https://api.example/v2", "the same without a slash"),
    (SHARED, b"https://api.example/v2?y", "the same with a query"),
    (SHARED, b"/v2/x", "the same without a host"),
    (SHARED, b"https://api.example/x/y/z", "another more specific route's"),
    (SHARED, b"https://api.example/%762/x", "a more specific route's, encoded"),
    (SHARED, b"https://api.example/%25762/x", "the same twice"),
    (SHARED, b"https://api.example/v2%2fx", "the same with an encoded slash"),
    (SHARED, b"https://api.example/v2;a/x", "the same with parameters"),
    (SHARED, b"https://api.example/v1/../v2/x", "the same by dots"),
    (SHARED, b"https://api.example/x//y", "the same with slashes merged"),
    (SHARED, b"https://api.example/x\\y", "the same with a turned backslash"),
    (SHARED, b"https://api.example/v2%3f", "the same with an encoded question mark"),
    (REWRITTEN, b"next", "a relative path"),
    (REWRITTEN, b"../next", "a relative path upwards"),
    (REWRITTEN, b"?page=2", "a query alone"),
    (REWRITTEN, b"#top", "a fragment alone"),
    (REWRITTEN, b"", "nothing"),
]


@pytest.mark.parametrize(("way", "value", "expected"), CHANGED, ids=[str(c[1]) for c in CHANGED])
def test_what_leads_to_the_upstream_leads_to_the_proxy(way, value, expected):
    """
    An address at this upstream, in this route's part of it, becomes the proxy's path; query and
    fragment stay byte for byte.
    """
    assert way.rewritten(value) == expected


@pytest.mark.parametrize(
    ("way", "value"), [case[:2] for case in UNCHANGED], ids=[case[2] for case in UNCHANGED]
)
def test_all_else_stays(way, value):
    """
    What leads elsewhere, or cannot be asked of the proxy, passes byte for byte.
    """
    assert way.rewritten(value) == value


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"", [b"/a!/", b"/a/", b"/a/b/", b"/a/b/c/", b"/a0/", b"/ab/"]),
        (b"/a", [b"/a/b/", b"/a/b/c/"]),
        (b"/a/b", [b"/a/b/c/"]),
        (b"/a/b/c", []),
        (b"/a!", []),
    ],
)
def test_what_others_take_lies_below(prefix, expected):
    """
    Prefixes count that are longer on segment borders; a route's own, shorter ones and neighbours
    do not.
    """
    prefixes = sorted([b"/", b"/a/", b"/a!/", b"/a0/", b"/ab/", b"/a/b/", b"/a/b/c/"])

    assert list(longer(prefix, prefixes)) == expected


PARTS = st.sampled_from((b"", b"/a", b"/b/c", b"/orders", b"/%41", b"//", b"/..", b"/.", b"/\\x"))
PATHS = st.lists(PARTS, max_size=5).map(b"".join)
WAYS = st.builds(
    WayBack,
    st.just(UP),
    st.sampled_from((b"", b"/a", b"/a/b")),
    st.sampled_from((None, b"", b"/b", b"/a/b")),
    st.sampled_from((b"", b"/orders", b"/a/b")),
)


@given(WAYS, PATHS, st.sampled_from((b"", b"?x=1", b"?")))
def test_the_way_back_is_the_way_there(way, path, query):
    """
    What was changed is a path below the route's prefix, no other host's, and asked of the proxy it
    is sent to where the upstream said.
    """
    value = UP + path + query
    back = way.rewritten(value)
    if back == value:
        return
    target = parse_target(back, b"")

    assert below(target.path, way.prefix)
    assert target.path[1:2] not in (b"/", b"\\")
    plan = Plan("", b"", way.base, way.rewrite)
    assert upstream_target(plan, way.prefix, target) == (path or b"/") + query


@given(WAYS, st.sampled_from((b"", b"/a", b"/a/b", b"/orders/1", b"/")))
def test_every_plain_address_comes_back(way, rest):
    """
    Where the proxy sends a plain path, an address there becomes that path again.
    """
    path = way.prefix + rest or b"/"
    there = upstream_target(
        Plan("", b"", way.base, way.rewrite), way.prefix, Target(path, b"", b"")
    )
    expected = way.rewritten(UP + there)

    again = upstream_target(
        Plan("", b"", way.base, way.rewrite), way.prefix, Target(expected, b"", b"")
    )
    assert expected[:1] == b"/"
    assert again == there

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.route import Match, Route, Table

NONE = dict[bytes, bytes]().get


def table(**matches: Match) -> Table[str]:
    """
    Return a table of routes whose action is their name.
    """
    return Table([Route(name, match, name) for name, match in matches.items()])


ROUTES = table(
    any=Match(),
    api=Match(path=b"/api"),
    deep=Match(path=b"/api/v2"),
    post=Match(path=b"/api", methods=frozenset((b"POST",))),
    beta=Match(path=b"/api", headers=((b"x-beta", b"1"),)),
    host=Match(host=b"a.example"),
    wild=Match(host=b"*.example"),
    wilder=Match(host=b"*.b.example", path=b"/only"),
)


@pytest.mark.parametrize(
    ("method", "host", "path", "fields", "expected"),
    [
        (b"GET", b"x", b"/", {}, "any"),
        (b"GET", b"x", b"/api", {}, "api"),
        (b"GET", b"x", b"/api/", {}, "api"),
        (b"GET", b"x", b"/apis", {}, "any"),
        (b"GET", b"x", b"/api/v2/x", {}, "deep"),
        (b"GET", b"x", b"/api/v20", {}, "api"),
        (b"POST", b"x", b"/api/x", {}, "post"),
        (b"POST", b"x", b"/api/x", {b"x-beta": b"1"}, "beta"),
        (b"GET", b"x", b"/api/x", {b"x-beta": b"2"}, "api"),
        (b"GET", b"a.example", b"/api", {}, "host"),
        (b"GET", b"b.example", b"/api", {}, "wild"),
        (b"GET", b"example", b"/api", {}, "api"),
        (b"GET", b"c.b.example", b"/only/x", {}, "wilder"),
        (b"GET", b"c.b.example", b"/other", {}, "wild"),
        (b"GET", b"", b"/x", {}, "any"),
    ],
)
def test_most_specific_route_wins(method, host, path, fields, expected):
    """
    Host first, then the longest prefix, then header conditions, then methods.
    """
    found = ROUTES.find(method, host, path, fields.get)

    assert found is not None
    assert found.name == expected


def test_nothing_matches():
    """
    Without a catch-all there may be no route.
    """
    assert table(api=Match(path=b"/api")).find(b"GET", b"", b"/x", NONE) is None


def test_the_others_say_why_they_lost():
    """
    Each route that was not chosen has its reason.
    """
    lost = {one.route: one.why for one in ROUTES.explain(b"GET", b"x", b"/api/x", NONE)}

    assert lost == {
        "any": "less specific",
        "deep": "path differs",
        "post": "method not listed",
        "beta": "header x-beta differs",
        "host": "host differs",
        "wild": "host differs",
        "wilder": "host differs",
    }


@given(st.permutations(list(ROUTES.routes)), st.sampled_from([b"/", b"/api", b"/api/v2/z", b"/z"]))
def test_order_in_the_file_does_not_matter(routes, path):
    """
    Any order of the same routes gives the same answer.
    """
    for host in (b"x", b"a.example", b"q.b.example"):
        assert Table(routes).find(b"POST", host, path, NONE) == ROUTES.find(
            b"POST", host, path, NONE
        )


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Match(), Match(), True),
        (Match(path=b"/a"), Match(path=b"/b"), False),
        (Match(methods=frozenset((b"GET",))), Match(methods=frozenset((b"GET", b"PUT"))), True),
        (Match(methods=frozenset((b"GET",))), Match(methods=frozenset((b"PUT",))), False),
        (Match(methods=frozenset((b"GET",))), Match(), False),
        (Match(headers=((b"a", b"1"),)), Match(headers=((b"a", b"2"),)), False),
        (Match(headers=((b"a", b"1"),)), Match(headers=((b"b", b"2"),)), True),
    ],
)
def test_overlap_is_symmetric(one, other, overlap):
    """
    Two routes tie if some request could match both with equal rank.
    """
    assert one.overlaps(other) is overlap
    assert other.overlaps(one) is overlap

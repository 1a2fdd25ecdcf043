"""
The failures of late.
"""

from __future__ import annotations

import pytest

from proxy.observe.access import no_request
from proxy.observe.recent import EXAMPLES, KINDS, LONGEST, Recent


def line(number, error, *, status=502, route="orders", path="/orders/1", upstream_status=None):
    """
    Return the access line of a request that failed.
    """
    return {
        "request_id": f"id-{number}",
        "method": "GET",
        "path": path,
        "route": route,
        "service_user": "reporter" if route else None,
        "status": status,
        "upstream_status": upstream_status,
        "error": error,
    }


def test_failures_of_a_kind_are_one_with_the_last_of_them():
    """
    How often, since when, and the request ids of the last few, the newest first.
    """
    recent = Recent()
    for number in range(8):
        recent.note(
            line(number, "upstream_connect: refused", path=f"/orders/{number}"), 100.0 + number
        )

    (failure,) = recent.failures()

    assert (failure.times, failure.first, failure.last) == (8, 100.0, 107.0)
    assert (failure.route, failure.service_user, failure.path) == (
        "orders",
        "reporter",
        "/orders/7",
    )
    assert (failure.code, failure.reason) == ("upstream_connect", "refused")
    assert list(failure.request_ids) == [f"id-{number}" for number in range(7, 7 - EXAMPLES, -1)]


def test_a_flood_of_one_kind_pushes_nothing_out():
    """
    Whoever asks for ten thousand paths that nobody serves hides no other failure.
    """
    recent = Recent()
    recent.note(line(0, "mint_rejected: no"), 1.0)
    for number in range(10_000):
        flood = line(number, "no_route: none", status=404, route=None, path=f"/{number}")
        recent.note(flood, 2.0)

    assert [failure.code for failure in recent.failures()] == ["no_route", "mint_rejected"]


def test_the_kind_that_has_been_quiet_the_longest_is_forgotten():
    """
    There are only so many; one that happens again counts as new.
    """
    recent = Recent()
    for number in range(KINDS):
        recent.note(line(number, "upstream_closed: x", route=f"r{number}"), float(number))
    recent.note(line(0, "upstream_closed: x", route="r0"), 100.0)
    recent.note(line(0, "upstream_closed: x", route="new"), 101.0)

    routes = [failure.route for failure in recent.failures()]

    assert len(routes) == KINDS
    assert routes[:2] == ["new", "r0"]
    assert "r1" not in routes


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (line(1, None, status=503, upstream_status=503), "the upstream answered 503"),
        (line(1, "caller_left", status=499), "the caller left before the response had ended"),
        (line(1, "bad_request: a: b"), "a: b"),
        (no_request("id-1", client="a", status=400, error="bad_request: no HTTP"), "no HTTP"),
    ],
    ids=["upstream", "caller left", "colon", "no request"],
)
def test_each_failure_says_why(failed, words):
    """
    In words, whoever failed.
    """
    recent = Recent()
    recent.note(failed, 1.0)

    assert recent.failures()[0].reason == words


def test_what_callers_choose_is_cut():
    """
    A path of any length is kept by its start alone.
    """
    recent = Recent()
    recent.note(line(1, "no_route: none", path="/" + "x" * 9000), 1.0)

    assert recent.failures()[0].path == "/" + "x" * (LONGEST - 1)

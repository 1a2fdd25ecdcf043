from __future__ import annotations

import pytest

from proxy.core.admit import Rule, admit, rule
from proxy.errors import CallerForbidden, CallerUnauthenticated

CI, BOTH, ANYONE = (
    Rule(frozenset(("ci",))),
    Rule(frozenset(("ci", "billing"))),
    rule(["anonymous"], "enforce"),
)
REPORTED = rule(["ci"], "report")


@pytest.mark.parametrize(
    ("caller", "listener", "route", "error"),
    [
        (None, None, None, None),
        (None, CI, None, CallerUnauthenticated),
        (None, None, CI, CallerUnauthenticated),
        (None, ANYONE, None, None),
        (None, ANYONE, CI, CallerUnauthenticated),
        ("ci", CI, CI, None),
        ("ci", BOTH, None, None),
        ("billing", BOTH, CI, CallerForbidden),
        ("billing", CI, BOTH, CallerForbidden),
        ("billing", ANYONE, None, None),
        (None, REPORTED, None, None),
        ("billing", REPORTED, REPORTED, None),
        ("billing", REPORTED, CI, CallerForbidden),
        ("billing", CI, REPORTED, CallerForbidden),
    ],
)
def test_listener_and_route_both_decide(caller, listener, route, error):
    """
    Whoever is on every list that is enforced passes.
    """
    if error is None:
        admit(caller, listener, route)
    else:
        with pytest.raises(error):
            admit(caller, listener, route)


def test_a_rule_in_report_mode_says_what_it_would_deny():
    """
    Report mode denies nobody, and still knows whom it would.
    """
    assert REPORTED is not None
    assert isinstance(REPORTED.denial(None), CallerUnauthenticated)
    assert isinstance(REPORTED.denial("billing"), CallerForbidden)
    assert REPORTED.denial("ci") is None


def test_without_callers_there_is_no_rule():
    """
    A listener or route that lists nobody has none, whatever its mode.
    """
    assert rule(None, "report") is rule(None, "enforce") is None

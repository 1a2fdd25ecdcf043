from __future__ import annotations

from hashlib import sha256

import pytest

from proxy.core.admit import LONGEST_KEY, Callers, admit, bearer
from proxy.errors import CallerForbidden, CallerUnauthenticated

CALLERS = Callers({sha256(b"k1").digest(): "ci", sha256(b"k2").digest(): "billing"})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"k1", "ci"),
        (b"k2", "billing"),
        (b"k3", None),
        (b"", None),
        (b"k" * (LONGEST_KEY + 1), None),
    ],
)
def test_key_says_who_calls(key, name):
    """
    A known key has a name, any other nobody's.
    """
    assert CALLERS.identify(key) == name


@pytest.mark.parametrize(
    ("value", "key"),
    [(b"Bearer k", b"k"), (b"bEARER  k ", b"k"), (b"Basic k", b""), (b"Bearer", b""), (b"", b"")],
)
def test_bearer_is_read_in_any_case(value, key):
    """
    The scheme's case does not matter; other schemes bring nothing.
    """
    assert bearer(value) == key


CI, BOTH, ANYONE = frozenset(("ci",)), frozenset(("ci", "billing")), frozenset(("anonymous",))


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
    ],
)
def test_listener_and_route_both_decide(caller, listener, route, error):
    """
    Whoever is on every list that stands passes.
    """
    if error is None:
        admit(caller, listener, route)
    else:
        with pytest.raises(error):
            admit(caller, listener, route)

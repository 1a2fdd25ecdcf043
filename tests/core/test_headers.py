from __future__ import annotations

import pytest

from proxy.core.headers import is_forwarding, looked_at, valid_request_id


@pytest.mark.parametrize(
    ("name", "tells"),
    [
        (b"forwarded", True), (b"x-forwarded-for", True), (b"x-forwarded-", True), (b"x-real-ip", True),
        (b"x-original-url", True), (b"x-zitadel-forwarded", True), (b"x-zitadel-forward-x", True),
        (b"x-zitadel-instance-host", True), (b"x-zitadel-orgid", False), (b"x-forwarded", False), (b"via", False),
    ],
)  # fmt: skip
def test_forwarding_headers_are_known(name, tells):
    """
    What tells where a request came from is recognised by name or family.
    """
    assert is_forwarding(name) is tells


@pytest.mark.parametrize(
    ("value", "valid"),
    [(b"a", True), (b"A-z.0_9", True), (b"a" * 128, True), (b"a" * 129, False), (b"", False), (b"a b", False),
     (b"a,b", False), (b"\xff", False)],
)  # fmt: skip
def test_request_id_worth_keeping(value, valid):
    """
    1 to 128 of `[A-Za-z0-9._-]`.
    """
    assert valid_request_id(value) is valid


def test_routes_say_what_else_is_looked_at():
    """
    The gateway's own names, the forwarding families and what routes ask for; nothing else.
    """
    wants = looked_at(frozenset((b"x-beta",)))

    assert all(
        map(wants, (b"x-beta", b"authorization", b"x-api-key", b"x-request-id", b"forwarded"))
    )
    assert not wants(b"accept")

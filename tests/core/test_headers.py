from __future__ import annotations

import pytest

from proxy.core.headers import is_forwarding, looked_at, names_hop, valid_request_id


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
    The gateway's own names and what routes ask for; nothing else. Forwarding never travels.
    """
    wants = looked_at(frozenset((b"x-beta",)))

    assert all(map(wants, (b"x-beta", b"authorization", b"x-api-key", b"x-request-id", b"via")))
    assert not wants(b"accept")
    assert not wants(b"forwarded")
    assert is_forwarding(b"forwarded")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"1.1 me", True),
        (b"1.0 x,1.1  ME (a comment)", True),
        (b"HTTP/1.1 me", True),
        (b"1.1 other, 1.1 me", True),
        (b"1.1 menot", False),
        (b"me", False),
        (b"", False),
    ],
)
def test_own_hop_is_found_however_it_is_written(value, found):
    """
    A Via list is split as a list, and its pseudonym compared without regard to case.
    """
    assert names_hop(value, b"Via: 1.1 me\r\n") is found

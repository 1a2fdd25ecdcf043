from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from proxy.callers.connection import Connections, Owner, usable
from proxy.wire.peer import Peer

CONNECTIONS = Connections(
    names={"a.example": "dns", "m@a.example": "mail", "spiffe://c/ns/one": "one", "urn:x": "urn"},
    below=(("spiffe://c/ns/", "space"), ("spiffe://c/", "cluster")),
    owners=(
        Owner("root", frozenset((0,))),
        Owner("both", frozenset((7,)), frozenset((8,))),
        Owner("staff", gids=frozenset((50,))),
    ),
    networks=(
        (ip_network("10.1.0.0/16"), "branch"),
        (ip_network("10.0.0.0/8"), "office"),
        (ip_network("fd00::/8"), "six"),
    ),
)


def first(peer):
    """
    Return the likeliest caller.
    """
    return next(CONNECTIONS.owners_of(peer), None)


def cert(*names):
    """
    Return a peer with a certificate.
    """
    return Peer(names=names)


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        (Peer(), None),
        (cert(("DNS", "a.example")), "dns"),
        (cert(("DNS", "A.Example")), "dns"),
        (cert(("DNS", "b.a.example")), None),
        (cert(("email", "m@a.example")), "mail"),
        (cert(("email", "M@a.example")), None),
        (cert(("IP Address", "a.example")), None),
        (cert(("URI", "spiffe://c/ns/one")), "one"),
        (cert(("URI", "spiffe://c/ns/two")), "space"),
        (cert(("URI", "spiffe://c/ns/two/three")), "space"),
        (cert(("URI", "spiffe://c/other")), "cluster"),
        (cert(("URI", "spiffe://c/ns/")), None),
        (cert(("URI", "spiffe://c/ns/../x")), None),
        (cert(("URI", "spiffe://c/ns//x")), None),
        (cert(("URI", "spiffe://c/ns/x?y")), None),
        (cert(("URI", "spiffe://c/ns/x\n")), None),
        (cert(("URI", "spiffe://cc/ns/one")), None),
        (cert(("URI", "spiffe://c")), None),
        (cert(("URI", "spiffe://c/ns/one"), ("URI", "urn:y")), None),
        (cert(("URI", "spiffe://c/ns/one"), ("URI", "urn:x")), "urn"),
        (Peer(uid=0, gid=0), "root"),
        (Peer(uid=0, gid=50), "root"),
        (Peer(uid=7, gid=8), "both"),
        (Peer(uid=7, gid=9), None),
        (Peer(uid=9, gid=50), "staff"),
        (Peer(uid=None, gid=None), None),
        (Peer(ip_address("10.1.2.3")), "branch"),
        (Peer(ip_address("10.2.2.3")), "office"),
        (Peer(ip_address("11.2.2.3")), None),
        (Peer(ip_address("fd00::1")), "six"),
        (Peer(ip_address("10.1.2.3"), names=(("DNS", "a.example"),)), "dns"),
    ],
    ids=str,
)  # fmt: skip
def test_a_connection_says_who_calls(peer, caller):
    """
    By its certificate, its user or its network, the nearest first; in doubt by nothing.
    """
    assert first(peer) == caller


def test_names_of_other_kinds_are_left_out():
    """
    A certificate's directory names and addresses are nobody's.
    """
    assert list(usable((("DirName", "x"), ("IP Address", "10.0.0.1"), ("DNS", "A")))) == ["a"]


@pytest.mark.parametrize(
    "names",
    [
        (("email", "spiffe://a/ns/x/sa/1"),),
        (("DNS", "spiffe://a/ns/x/sa/1"),),
        (("URI", "spiffe://a/ns/other"), ("email", "spiffe://a/ns/x/sa/1")),
        (("URI", "billing.internal"),),
        (("email", "billing.internal"),),
        (("DNS", "ops@example.com"),),
    ],
    ids=str,
)
def test_a_name_of_one_kind_does_not_pass_for_another(names):
    """
    An authority may check URIs and let e-mail addresses through as they come.
    """
    known = {"spiffe://a/ns/x/sa/1", "billing.internal", "ops@example.com"}

    assert known.isdisjoint(usable(names))

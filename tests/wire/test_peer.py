from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.wire.peer import Peer, peer_of


def transport(**facts) -> Any:
    """
    Return a transport that knows these things.
    """
    return SimpleNamespace(get_extra_info=facts.get)


def tls(shown):
    """
    Return a TLS object whose peer has shown this.
    """
    return SimpleNamespace(getpeercert=lambda: shown)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::1%eth0"),
    ],
    ids=str,
)
def test_the_address_is_the_sockets(name, address):
    """
    An IPv4 address that a socket for both families shows is an IPv4 address.
    """
    assert peer_of(transport(peername=name)) == Peer(ip_address(address))


@pytest.mark.parametrize("name", [None, "", b"", ("no address", 1)], ids=str)
def test_whoever_has_no_address_is_from_nowhere(name):
    """
    What cannot be read is in no network.
    """
    assert peer_of(transport(peername=name)).address is None


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_the_owner_is_told_by_the_kernel():
    """
    User and main group of whoever connected, on a Unix socket alone.
    """
    here, there = socket.socketpair()
    with here, there:
        assert peer_of(transport(peername="", socket=here)) == Peer(
            uid=os.geteuid(), gid=os.getegid()
        )
    with socket.socket() as plain:
        assert peer_of(transport(socket=plain)) == Peer()


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_a_socket_that_is_closed_tells_nothing():
    """
    An error is nobody, and no exception.
    """
    here, there = socket.socketpair()
    here.close()
    there.close()

    assert peer_of(transport(peername="", socket=here)) == Peer()


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        (None, ()),
        ({}, ()),
        ({"subject": ((("commonName", "a"),),)}, ()),
        ({"subjectAltName": (("DNS", "a"), ("URI", "b:c"))}, (("DNS", "a"), ("URI", "b:c"))),
        (
            {"subjectAltName": (("DirName", ((("commonName", "a"),),)), ("DNS", "a"))},
            (("DNS", "a"),),
        ),
    ],
    ids=str,
)
def test_names_are_those_of_a_verified_certificate(shown, names):
    """
    The alternative names, and never the common name.
    """
    met = peer_of(transport(peername=("192.0.2.1", 5), ssl_object=tls(shown)))

    assert met.names == names

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from proxy.core.address import IP
from proxy.core.destination import Destination, listening, says_loopback

REFUSED = [
    ("a.example", "169.254.169.254", "the name leads to a cloud's metadata service"),
    ("a.example", "fd00:ec2::254", "the name leads to a cloud's metadata service"),
    ("a.example", "64:ff9b::a9fe:a9fe", "the name leads to a cloud's metadata service"),
    ("a.example", "169.254.1.1", "the name leads to a link-local address"),
    ("a.example", "fe80::1%lo", "the name leads to a link-local address"),
    ("a.example", "224.0.0.1", "the name leads to a multicast address"),
    ("a.example", "0.0.0.0", "the name leads to an unspecified address"),
    ("a.example", "::", "the name leads to an unspecified address"),
    ("a.example", "127.0.0.1", "the name leads to loopback although it is not localhost"),
    ("a.example", "::ffff:127.0.0.1", "the name leads to loopback although it is not localhost"),
    ("localhost.example", "127.0.0.1", "the name leads to loopback although it is not localhost"),
    ("localhost", "169.254.169.254", "the name leads to a cloud's metadata service"),
    ("localhost", "0.0.0.0", "the name leads to an unspecified address"),
    ("169.254.169.254", "169.254.169.254", "it is a cloud's metadata service"),
    ("0.0.0.0", "0.0.0.0", "it is an unspecified address"),
    ("::ffff:169.254.1.1", "::ffff:169.254.1.1", "it is a link-local address"),
]

PERMITTED = [
    ("a.example", "8.8.8.8"), ("a.example", "2606:4700::1111"), ("a.example", "10.0.0.1"),
    ("a.example", "192.168.1.1"), ("a.example", "fd00::1"), ("a.example", "100.64.0.1"),
    ("a.example", "198.18.0.1"), ("a.example", "64:ff9b::808:808"), ("10.0.0.1", "10.0.0.1"),
    ("127.0.0.1", "127.0.0.1"), ("127.1.2.3", "127.1.2.3"), ("::1", "::1"),
    ("::ffff:127.0.0.1", "::ffff:127.0.0.1"), ("localhost", "127.0.0.1"), ("localhost", "::1"),
    ("LocalHost.", "127.0.0.1"), ("api.localhost", "::1"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "ip", "why"), REFUSED)
def test_what_is_not_dialled(host, ip, why):
    """
    The reason says what kind of address it is and which setting permits it, never the address.
    """
    said = Destination(host).refusal(ip_address(ip), 443)

    assert said == f"{why}; allow_addresses on the route permits it"


@pytest.mark.parametrize(("host", "ip"), PERMITTED)
def test_what_is_dialled(host, ip):
    """
    The internet, private networks, and loopback for who says loopback.
    """
    assert Destination(host).refusal(ip_address(ip), 443) == ""


@pytest.mark.parametrize(
    ("allowed", "ip", "dialled"),
    [
        ("169.254.10.0/24", "169.254.10.9", True),
        ("169.254.10.0/24", "169.254.11.9", False),
        ("169.254.10.0/24", "::ffff:169.254.10.9", True),
        ("169.254.10.0/24", "64:ff9b::169.254.10.9", True),
        ("10.0.0.0/8 127.0.0.0/8", "127.0.0.1", True),
        ("0.0.0.0/0", "169.254.169.254", True),
        ("0.0.0.0/0", "fe80::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00:ec2::23/128", "fd00:ec2::254", False),
        # both the server and the client of a Teredo address must be meant
        ("127.0.0.0/8", "2001:0:a9fe:a9fe:0:0:80ff:fffe", False),
    ],
)
def test_a_route_may_permit_more(allowed, ip, dialled):
    """
    Networks written on the route are dialled whatever kind they are, in every form of theirs.
    """
    networks = tuple(map(ip_network, allowed.split()))

    said = Destination("a.example", networks).refusal(ip_address(ip), 443)

    assert (said == "") is dialled


OWN = [
    ("127.0.0.1", "127.0.0.1", True), ("127.0.0.1", "::ffff:127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False), ("127.0.0.1", "::1", False), ("127.0.0.1", "0.0.0.0", True),
    ("::1", "::1", True), ("::1", "127.0.0.1", False), ("::1", "::", True),
    ("10.0.0.5", "10.0.0.5", True), ("10.0.0.5", "10.0.0.6", False), ("10.0.0.5", "127.0.0.1", False),
    ("0.0.0.0", "127.0.0.1", True), ("0.0.0.0", "127.9.9.9", True), ("0.0.0.0", "10.0.0.5", True),
    ("0.0.0.0", "10.0.0.6", False), ("0.0.0.0", "::1", False), ("0.0.0.0", "::ffff:10.0.0.5", True),
    ("::", "::1", True), ("::", "fd00::5", True), ("::", "10.0.0.5", False),
    ("localhost", "127.0.0.1", True), ("localhost", "::1", True), ("localhost", "10.0.0.5", False),
    ("proxy.internal", "10.0.0.5", True), ("proxy.internal", "fd00::5", True),
    ("proxy.internal", "127.0.0.1", True), ("proxy.internal", "10.0.0.6", False),
]  # fmt: skip


@pytest.mark.parametrize(("listener", "ip", "own"), OWN)
def test_the_own_listeners_are_never_dialled(listener, ip, own):
    """
    By none of the addresses they answer at, whatever the route permits; on other ports anything is.
    """
    mine = {ip_address("10.0.0.5"), ip_address("fd00::5")}
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    destination = Destination("localhost", everything, listening(listener, 8080), mine.__contains__)

    said = destination.refusal(ip_address(ip), 8080)

    assert said == ("it is this proxy's own listener" if own else "")
    assert destination.refusal(ip_address(ip), 8081) == ""


def test_the_machine_is_only_asked_where_it_matters():
    """
    Only an address with the port of a listener at every address is looked up among our own.
    """
    asked: list[IP] = []

    def is_local(ip: IP) -> bool:
        asked.append(ip)
        return False

    own = (*listening("0.0.0.0", 8080), *listening("127.0.0.1", 9090))
    destination = Destination("a.example", (), own, is_local)
    for port in (443, 9090, 8080):
        assert destination.refusal(ip_address("8.8.8.8"), port) == ""

    assert asked == [ip_address("8.8.8.8")]


@pytest.mark.parametrize(
    ("host", "says"),
    [("localhost", True), ("a.b.localhost", True), ("LOCALHOST.", True), ("127.0.0.1", True),
     ("::1", True), ("xlocalhost", False), ("localhost.x", False), ("10.0.0.1", False),
     ("0.0.0.0", False), ("127.1", False)],
)  # fmt: skip
def test_who_says_loopback(host, says):
    """
    The names that always mean this machine, and its addresses as they are properly written.
    """
    assert says_loopback(host) is says

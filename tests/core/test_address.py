from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.core.address import RANK, embedded, kind, plain

TABLE = {
    "metadata": """169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16
        192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd00:ec2:0::254 fd20:ce::254 fd00:c1::a9fe:a9fe
        fd00:100::100:200 fd00:42::42""",
    "link_local": "169.254.0.0 169.254.0.23 169.254.169.253 169.254.255.255 fe80:: fe80::1 febf::1",
    "unspecified": "0.0.0.0 0.0.0.1 0.255.255.255 ::",
    "multicast": "224.0.0.0 224.0.0.1 239.255.255.255 255.255.255.255 ff00:: ff02::1 ffff::1",
    "loopback": "127.0.0.0 127.0.0.1 127.255.255.255 ::1",
    "shared": "100.64.0.0 100.100.100.199 100.127.255.255",
    "private": """10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
        fc00:: fd00:: fd00:ec1:ffff::1 fdff::1 fec0::1 feff::1""",
    "reserved": """192.0.0.1 192.0.0.191 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1
        203.0.113.1 240.0.0.0 255.255.255.254 100::1 2001:1::1 2001:20::1 2001:db8::1 3fff::1
        4000::1 1::1 fe00::1 fbff::1 ::1:0:0:0""",
    "global": """1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255
        128.0.0.0 168.63.129.15 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
        192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
        2001:200::1 2001:4860:4860::8888 2606:4700::1111 3ffe::1""",
}

# Each line: what the address stands for, and the address
WRAPPED = """
169.254.169.254   ::ffff:169.254.169.254
169.254.169.254   ::ffff:a9fe:a9fe
127.0.0.1         ::ffff:127.0.0.1
0.0.0.0           ::ffff:0.0.0.0
8.8.8.8           ::ffff:8.8.8.8
169.254.169.254   ::ffff:0:169.254.169.254
127.0.0.1         ::127.0.0.1
169.254.169.254   ::a9fe:a9fe
0.0.0.2           ::2
169.254.169.254   64:ff9b::a9fe:a9fe
127.0.0.1         64:ff9b::127.0.0.1
10.0.0.1          64:ff9b::a00:1
8.8.8.8           64:ff9b::808:808
169.254.169.254   64:ff9b:1::a9fe:a9fe
169.254.169.254   64:ff9b:1:a9fe:a9:fe00::
169.254.169.254   64:ff9b:1:a9fe:a9:fe00:808:808
169.254.169.254   64:ff9b:1:a9:fe:a9fe::
169.254.169.254   64:ff9b:1:0:a9:fea9:fe00:0
8.8.8.8           64:ff9b:1::808:808
0.0.0.0           64:ff9b:1::
169.254.169.254   2002:a9fe:a9fe::1
127.0.0.1         2002:7f00:1::
192.168.0.1       2002:c0a8:1:ffff::1
8.8.8.8           2002:808:808::
169.254.169.254   2001:0:808:808:0:0:5601:5601
169.254.169.254   2001:0:a9fe:a9fe:0:0:f7f7:f7f7
8.8.8.8           2001:0:808:808:0:0:f7f7:f7f7
"""

CASES = [(address, word) for word, text in TABLE.items() for address in text.split()]
PAIRS = [line.split() for line in WRAPPED.strip().splitlines()]


@pytest.mark.parametrize(("address", "word"), CASES, ids=str)
def test_an_address_has_a_kind(address, word):
    """
    Each range, its borders, and its neighbours.
    """
    assert kind(ip_address(address)) == word


@pytest.mark.parametrize(("inner", "address"), PAIRS, ids=str)
def test_an_address_in_disguise_has_the_kind_of_what_it_stands_for(inner, address):
    """
    Mapped, translated, compatible, NAT64 of both prefixes, 6to4, Teredo's server and client.
    """
    assert ip_address(inner) in embedded(ip_address(address))
    assert kind(ip_address(address)) == kind(ip_address(inner))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "::", "::1", "fe80::1", "2606:4700::1111", "::1%lo"]
)
def test_most_addresses_stand_for_themselves(address):
    """
    The loopback and unspecified addresses too, although they look like compatible ones.
    """
    assert embedded(ip_address(address)) == ()


@pytest.mark.parametrize(
    ("address", "word"),
    [("fe80::1%eth0", "link_local"), ("::1%1", "loopback"), ("fd00:ec2::254%2", "metadata"),
     ("::ffff:127.0.0.1%lo", "loopback"), ("::%0", "unspecified")],
)  # fmt: skip
def test_a_scope_makes_no_difference(address, word):
    """
    An interface's name behind the address changes nothing about its kind.
    """
    assert kind(ip_address(address)) == word


@pytest.mark.parametrize(
    ("address", "dialled"),
    [("127.0.0.1", "127.0.0.1"), ("::ffff:127.0.0.1", "127.0.0.1"), ("fe80::1%eth0", "fe80::1"),
     ("2002:7f00:1::", "2002:7f00:1::")],
)  # fmt: skip
def test_the_kernel_dials_the_plain_form(address, dialled):
    """
    A mapped address is an IPv4 connection; a translated one goes to the translator.
    """
    assert plain(ip_address(address)) == ip_address(dialled)


@given(some.ip_addresses())
def test_every_address_has_exactly_one_kind(ip):
    """
    Nothing falls through, and no disguise makes an address less dangerous.
    """
    word = kind(ip)

    assert word in RANK
    assert all(RANK.index(word) <= RANK.index(kind(inner)) for inner in embedded(ip))


@given(some.ip_addresses(v=4))
def test_no_disguise_hides_an_address(ip):
    """
    However it is wrapped, what is dangerous stays at least as dangerous.
    """
    packed = IPv4Address(ip).packed.hex()
    high, low = packed[:4], packed[4:]
    for form in (f"::ffff:{high}:{low}", f"64:ff9b::{high}:{low}", f"2002:{high}:{low}::1"):
        assert kind(ip_address(form)) == kind(ip)
    assert RANK.index(kind(ip_address(f"64:ff9b:1::{high}:{low}"))) <= RANK.index(kind(ip))

from __future__ import annotations

import pytest

from proxy.core.door import HOSTS, Door, unclaimable
from proxy.core.target import parse_authority

LISTED = Door(names=frozenset((b"localhost", b"[::1]")), suffixes=(b".acme.com",))
GUARDED = Door(names=frozenset((b"api.acme.com",)), suffixes=(b".corp.acme.com",), unclaimable=True)
MARKED = Door(required=(b"x-mine", b"yes"))


@pytest.mark.parametrize(
    ("host", "taken"),
    [(b"localhost", True), (b"LocalHost:8080", True), (b"localhost.", True), (b"[::1]:80", True),
     (b"a.acme.com", True), (b"a.b.acme.com:1", True), (b"acme.com", False), (b"xacme.com", False),
     (b"acme.com.evil.com", False), (b"127.0.0.1", False), (b"a", False), (b"", False)],
)  # fmt: skip
def test_a_list_of_hosts_is_kept_to(host, taken):
    """
    Exact names and ends of names, whatever the port and case; nothing else, and not none.
    """
    assert (LISTED.refusal(host, []) == "") is taken


@pytest.mark.parametrize(
    ("host", "taken"),
    [(b"localhost:8080", True), (b"127.0.0.1:8080", True), (b"[::1]:8080", True), (b"10.1.2.3", True),
     (b"a", True), (b"orders", True), (b"orders.internal", True), (b"x.localhost", True),
     (b"x.local", True), (b"x.svc.cluster.local:80", True), (b"x.test", True), (b"", True),
     (b"x.example", True), (b"nas.home.arpa", True), (b"api.acme.com", True),
     (b"x.corp.acme.com", True), (b"evil.com", False), (b"evil.com.:8080", False),
     (b"localhost.evil.com", False), (b"127.0.0.1.evil.com", False), (b"api.acme.com.evil.com", False),
     (b"evilinternal.com", False), (b"evil.example.com", False), (b"0.0.0.0:8080", False),
     (b"[::]:8080", False), (b"[::ffff:0:0]", False)],
)  # fmt: skip
def test_names_of_the_public_dns_are_kept_out(host, taken):
    """
    What a page's owner can have made to lead here is refused, but for the names routes speak of.
    """
    assert (GUARDED.refusal(host, []) == "") is taken


def test_a_host_that_is_none_is_left_to_who_reads_the_target():
    """
    It is a bad request, not a forbidden one.
    """
    assert GUARDED.refusal(b"user@evil.com", []) == ""


def test_the_reason_names_the_host_and_the_setting():
    """
    Whoever reads the log knows what to write; an endless name is cut.
    """
    said = GUARDED.refusal(b"evil.com:8080", [])

    assert said == "the listener does not answer to the host evil.com:8080; add it to hosts"
    assert len(GUARDED.refusal(b"x.com" * 5000, [])) < 200
    assert "(none)" in LISTED.refusal(b"", [])


def test_what_callers_choose_is_not_remembered_without_end():
    """
    Neither many hosts nor long ones fill the memory.
    """
    door = Door(names=frozenset())
    for number in range(3 * HOSTS):
        door.refusal(b"h%d.com" % number, [])
    door.refusal(b"x" * 5000, [])

    assert 0 < len(door._judged) <= HOSTS
    assert max(map(len, door._judged)) < 300


@pytest.mark.parametrize(
    ("aside", "taken"),
    [
        ([], True),
        ([(b"origin", b"https://evil.com")], False),
        ([(b"origin", b"null")], False),
        ([(b"origin", b"")], False),
        ([(b"origin", b"http://localhost:8080")], False),
        ([(b"sec-fetch-site", b"cross-site")], False),
        ([(b"sec-fetch-site", b"same-site")], False),
        ([(b"sec-fetch-site", b"Cross-Site")], False),
        ([(b"sec-fetch-site", b"of-a-later-day")], False),
        ([(b"sec-fetch-site", b"")], False),
        ([(b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"cross-site")], False),
        ([(b"sec-fetch-site", b"same-origin")], True),
        ([(b"sec-fetch-site", b"none")], True),
        ([(b"x-request-id", b"1"), (b"origin", b"a")], False),
    ],
    ids=str,
)
def test_what_a_page_sends_is_told_by_its_headers(aside, taken):
    """
    An Origin, or a site other than its own; a person's own visit is none of that.
    """
    aside = [(*pair, 0) for pair in aside]

    assert (Door().refusal(b"a", aside) == "") is taken
    assert Door(browsers=True).refusal(b"a", aside) == ""


@pytest.mark.parametrize(
    ("values", "taken"),
    [([b"yes"], True), ([], False), ([b""], False), ([b"Yes"], False), ([b"yes", b"yes"], False),
     ([b"no", b"yes"], False)],
    ids=str,
)  # fmt: skip
def test_a_required_header_must_be_there_exactly(values, taken):
    """
    Once, with its value; the reason names it, and no value.
    """
    said = MARKED.refusal(b"a", [(b"x-mine", value, 0) for value in values])

    assert (said == "") is taken
    assert taken or said == "it does not bring the x-mine that the listener requires"


@pytest.mark.parametrize("host", [b"a" * 300, b"", b"1", b"0x7f000001", b"[1::2]", b"fe80::1"])
def test_what_nobody_can_have_in_the_public_dns(host):
    """
    A name needs a dot to be had there.
    """
    assert unclaimable(host)


@pytest.mark.parametrize(
    "host", [b"0.0.0.0", b"[::]", b"[::ffff:127.0.0.1]", b"[::ffff:7f00:1]", b"[64:ff9b::7f00:1]"]
)
def test_addresses_that_reach_loopback_unseen_are_kept_out(host):
    """
    To these browsers send no `Sec-Fetch-Site`, and yet they may lead here.
    """
    assert not unclaimable(host)


OWN = Door(own=frozenset((b"proxy.acme.com", b"localhost", b"api.acme.com")))
HERE = (b"127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("url", "local", "own"),
    [
        (b"http://127.0.0.1:8080", HERE, True),
        (b"https://127.0.0.1:8080", HERE, True),
        (b"http://[::ffff:127.0.0.1]:8080", HERE, True),
        (b"http://localhost:8080", HERE, True),
        (b"http://localhost:8080", (b"::1", 8080), True),
        (b"http://localhost:8080", (b"10.0.0.1", 8080), True),  # under hosts
        (b"http://10.0.0.1:8080", (b"10.0.0.1", 8080), True),
        (b"http://[2001:db8:0::1]:80", (b"2001:db8::1", 80), True),
        (b"http://127.0.0.1:8081", HERE, False),
        (b"http://127.0.0.1", HERE, False),
        (b"http://127.0.0.2:8080", HERE, False),
        (b"http://localhost", HERE, False),
        (b"http://localhost:81", HERE, False),
        (b"http://evil.com:8080", HERE, False),
        (b"http://proxy.acme.com:8080", HERE, True),
        (b"http://proxy.acme.com", HERE, True),
        (b"https://proxy.acme.com", HERE, True),
        (b"http://proxy.acme.com:443", HERE, False),
        (b"http://proxy.acme.com:8081", HERE, False),
        (b"http://api.acme.com", HERE, False),  # a route is for it
        (b"http://proxy.acme.com", None, True),
        (b"http://localhost", None, False),
        (b"http://127.0.0.1", None, False),
        (b"http://.", HERE, False),
    ],
)
def test_what_asks_for_the_proxy_itself(url, local, own):
    """
    Its address on this connection, or a name of the listener that no route is for; never another
    port of this machine.
    """
    asked = parse_authority(url)

    assert OWN.is_own(asked, local, lambda asked: asked.host == b"api.acme.com") is own


def test_in_forward_mode_the_host_is_not_the_doors_to_judge():
    """
    The rest is.
    """
    assert LISTED.unmannerly([]) == ""
    assert LISTED.unmannerly([(b"origin", b"a", 0)])
    assert MARKED.unmannerly([])
    assert MARKED.unmannerly([(b"x-mine", b"yes", 0)]) == ""

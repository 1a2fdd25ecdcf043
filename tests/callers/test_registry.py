from __future__ import annotations

import math
from hashlib import sha256
from ipaddress import ip_address, ip_network

import pytest

from proxy.callers.connection import Connections, Owner
from proxy.callers.credential import Keys, Likeness, Vouched
from proxy.callers.evidence import UNUSABLE, Evidence
from proxy.callers.registry import LOOK_AGAIN, Identity, Registry
from proxy.callers.verifier import PENDING
from proxy.core.clock import Clock
from proxy.errors import CallerCheckUnavailable
from proxy.wire.peer import Peer

WALL, BOOT = 1_700_000_000.0, 1000.0
CLOCK = Clock(lambda: WALL, lambda: BOOT)
OFFICE = ip_address("10.0.0.1")


class Script:
    """
    A verifier that says what it is told, and notes what it was asked.
    """

    def __init__(self, known=None, answers=None):
        self.known = known or {}
        self.answers = answers or {}
        self.asked: list[bytes] = []
        self.looked: list[bytes] = []

    def look(self, credential):
        """
        Return what is known.
        """
        self.looked.append(credential)
        return self.known.get(credential, PENDING)

    async def ask(self, credential):
        """
        Return or raise what the test says.
        """
        self.asked.append(credential)
        answer = self.answers.get(credential)
        if isinstance(answer, Exception):
            raise answer
        return answer


def registry(*vouched, **further):
    """
    Return a registry with a key, a certificate, a user, two networks, and what vouches.
    """
    return Registry(
        CLOCK,
        Keys({sha256(b"key").digest(): "ci", sha256(b"far").digest(): "far"}),
        vouched,
        Connections(
            {"a.example": "cert"},
            (),
            (Owner("local", frozenset((5,))),),
            ((ip_network("10.0.0.0/8"), "office"),),
        ),
        {
            "office": (ip_network("10.0.0.0/8"),),
            "far": (ip_network("192.0.2.0/24"), ip_network("198.51.100.0/24")),
        }
        | further,
    )


CERT = Peer(names=(("DNS", "a.example"),))


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (Evidence(), None),
        (Evidence(credential=b"key"), "ci"),
        (Evidence(credential=b"wrong"), None),
        (Evidence(credential=UNUSABLE), None),
        (Evidence(CERT), "cert"),
        (Evidence(CERT, b"key"), "ci"),
        (Evidence(CERT, b"wrong"), None),
        (Evidence(CERT, UNUSABLE), None),
        (Evidence(Peer(uid=5, gid=1)), "local"),
        (Evidence(Peer(uid=5, gid=1), b"wrong"), None),
        (Evidence(Peer(OFFICE)), "office"),
        (Evidence(Peer(OFFICE), b"wrong"), None),
        (Evidence(Peer(OFFICE), b"far"), None),
        (Evidence(Peer(ip_address("192.0.2.7")), b"far"), "far"),
        (Evidence(Peer(ip_address("198.51.100.7")), b"far"), "far"),
        (Evidence(Peer(uid=5, gid=1), b"far"), None),
    ],
    ids=repr,
)
def test_what_is_shown_counts_before_where_it_comes_from(evidence, name):
    """
    A credential that is nobody's makes nobody of anybody; networks must hold beside a key.
    """
    assert registry().identify(evidence) == Identity(name, math.inf)


JWT = (Likeness("admin", "aud", (("role", "admin"),)), Likeness("laptop", "aud"))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"aud": "aud", "role": "admin"}, "admin"),
        ({"aud": "aud", "role": "user"}, "laptop"),
        ({"aud": "other", "role": "admin"}, None),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_a_token_is_of_the_caller_that_asks_the_most_of_it(claims, name):
    """
    Of the callers whose claims it has; if there is none, nobody is known, and only for now.
    """
    found = registry(Vouched(Script({b"t": claims}), JWT)).identify(Evidence(credential=b"t"))

    assert isinstance(found, Identity)
    assert found.name == name
    assert found.until == (BOOT + LOOK_AGAIN if name else -math.inf)


@pytest.mark.parametrize(
    ("exp", "until"),
    [
        (WALL + 3600, BOOT + LOOK_AGAIN),
        (WALL + 2, BOOT + 2),
        (WALL, None),
        (WALL - 1, None),
        ("soon", BOOT + LOOK_AGAIN),
    ],
)
def test_an_identity_ends_with_its_token(exp, until):
    """
    It is believed until the token's end and for a few seconds at most, and not at all afterwards.
    """
    claims = {"aud": "aud", "exp": exp}
    found = registry(Vouched(Script({b"t": claims}), JWT)).identify(Evidence(credential=b"t"))

    assert found == (Identity("laptop", until) if until else Identity(None, -math.inf))


def test_a_key_of_ours_is_shown_to_no_issuer():
    """
    Keys are looked for first; only what is none of them may be an issuer's business.
    """
    script = Script()
    watched = registry(Vouched(script, JWT))

    assert watched.identify(Evidence(credential=b"key")) == Identity("ci")
    assert watched.identify(Evidence(credential=b"no token")) == Identity(None, -math.inf)
    assert script.looked == []


async def test_what_is_not_known_at_once_is_asked_for():
    """
    PENDING says so; finding out asks each that does not know, until one knows the token.
    """
    first, second = Script(answers={b"t": None}), Script(answers={b"t": {"aud": "aud"}})
    third = Script()
    asking = registry(*(Vouched(each, JWT) for each in (first, second, third)))

    assert asking.identify(Evidence(credential=b"t")) is PENDING
    found = await asking.find_out(Evidence(credential=b"t"))

    assert found.name == "laptop"
    assert (first.asked, second.asked, third.asked) == ([b"t"], [b"t"], [])


async def test_what_is_known_at_once_is_not_asked_for():
    """
    One that knows the token settles it, although another would have to be asked.
    """
    silent = Script()
    both = registry(Vouched(silent, JWT), Vouched(Script({b"t": {"aud": "aud"}}), JWT))

    found = both.identify(Evidence(credential=b"t"))

    assert isinstance(found, Identity)
    assert found.name == "laptop"
    assert (await both.find_out(Evidence(credential=b"t"))).name == "laptop"
    assert silent.asked == []


@pytest.mark.parametrize(
    ("answer", "name"),
    [({"aud": "aud"}, "laptop"), (None, CallerCheckUnavailable)],
    ids=["known to another", "known to nobody"],
)
async def test_who_cannot_be_asked_decides_only_if_nobody_else_knows(answer, name):
    """
    Trouble with one issuer is no trouble for another's tokens, and no "no" to anybody's.
    """
    down = Script(answers={b"t": CallerCheckUnavailable("down", retry_after=3)})
    asking = registry(Vouched(down, JWT), Vouched(Script(answers={b"t": answer}), JWT))

    if name is CallerCheckUnavailable:
        with pytest.raises(CallerCheckUnavailable, match="down"):
            await asking.find_out(Evidence(credential=b"t"))
    else:
        assert (await asking.find_out(Evidence(credential=b"t"))).name == name


def test_the_next_caller_is_taken_where_the_first_may_not_connect_from():
    """
    Networks beside claims must hold too: what they rule out another caller may be.
    """
    where = registry(
        Vouched(Script({b"t": {"aud": "aud", "role": "admin"}}), JWT),
        admin=(ip_network("192.0.2.0/24"),),
    )

    inside = where.identify(Evidence(Peer(ip_address("192.0.2.1")), b"t"))
    outside = where.identify(Evidence(Peer(OFFICE), b"t"))

    assert isinstance(inside, Identity)
    assert isinstance(outside, Identity)
    assert (inside.name, outside.name) == ("admin", "laptop")

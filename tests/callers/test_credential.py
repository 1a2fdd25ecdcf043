from __future__ import annotations

from hashlib import sha256

import pytest

from proxy.callers.credential import LONGEST_CREDENTIAL, Keys, Likeness, may_be_token

KEYS = Keys({sha256(b"k1").digest(): "ci", sha256(b"k2").digest(): "billing"})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"k1", "ci"),
        (b"k2", "billing"),
        (b"k3", None),
        (b"", None),
        (b"k" * (LONGEST_CREDENTIAL + 1), None),
    ],
)
def test_key_says_who_calls(key, name):
    """
    A known key has a name, any other nobody's.
    """
    assert KEYS.owner(key) == name


class Counting(dict[bytes, str]):
    """
    Digests that count how often each is looked at.
    """

    def __init__(self, *digests):
        super().__init__(dict.fromkeys(digests, "ci"))
        self.seen: list[bytes] = []

    def items(self):
        """
        Yield each, and note it.
        """
        for digest, name in super().items():
            self.seen.append(digest)
            yield digest, name


@pytest.mark.parametrize("key", [b"k1", b"k2", b"unknown"])
def test_every_key_is_compared_whatever_matched(key):
    """
    Known and unknown keys cost the same number of comparisons.
    """
    digests = Counting(sha256(b"k1").digest(), sha256(b"k2").digest())

    Keys(digests).owner(key)

    assert digests.seen == list(digests)


CLAIMS = {
    "aud": ["a", "b"],
    "sub": "1",
    "number": 7,
    "yes": True,
    "roles": {"admin": {"1": "acme.example"}},
    "groups": ["x", 5, ["y"]],
    "scope": "openid orders",
}


def shown(value):
    """
    Return a case's name, the same in every process: a frozenset prints in any order.
    """
    return (
        f"{value.audience}{value.claims}{sorted(value.scopes)}"
        if isinstance(value, Likeness)
        else str(value)
    )


@pytest.mark.parametrize(
    ("likeness", "met"),
    [
        (Likeness("c"), True),
        (Likeness("c", "a"), True),
        (Likeness("c", "c"), False),
        (Likeness("c", claims=(("sub", "1"),)), True),
        (Likeness("c", claims=(("sub", "1"), ("sub", "2"))), False),
        (Likeness("c", claims=(("absent", "1"),)), False),
        (Likeness("c", claims=(("number", "7"),)), True),
        (Likeness("c", claims=(("number", "07"),)), False),
        (Likeness("c", claims=(("yes", "true"),)), True),
        (Likeness("c", claims=(("yes", "1"),)), False),
        (Likeness("c", claims=(("roles", "admin"),)), True),
        (Likeness("c", claims=(("roles", "adm"),)), False),
        (Likeness("c", claims=(("groups", "x"),)), True),
        (Likeness("c", claims=(("groups", "5"),)), True),
        (Likeness("c", claims=(("groups", "y"),)), False),
        (Likeness("c", scopes=frozenset(("orders",))), True),
        (Likeness("c", scopes=frozenset(("orders", "admin"))), False),
        (Likeness("c", scopes=frozenset(("open",))), False),
    ],
    ids=shown,
)
def test_everything_that_is_asked_of_claims_must_hold(likeness, met):
    """
    Audience, values (in a list, as a name in an object) and scopes, all of them and whole.
    """
    assert likeness.met_by(CLAIMS) is met


@pytest.mark.parametrize("scope", [None, 5, ["orders"], {"orders": 1}], ids=str)
def test_a_scope_that_is_no_text_lists_nothing(scope):
    """
    What an issuer says is data: another type grants no scope.
    """
    assert not Likeness("c", scopes=frozenset(("orders",))).met_by({"scope": scope})


@pytest.mark.parametrize(
    ("credential", "may"),
    [
        (b"abc", True),
        (b"a.b-c_d~e+f/g==", True),
        (b"=", False),
        (b"", False),
        (b"a b", False),
        (b"a\xe9", False),
        (b"a" * (LONGEST_CREDENTIAL + 1), False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_only_what_can_be_a_token_is_taken_for_one(credential, may):
    """
    Nothing else is shown to an issuer.
    """
    assert may_be_token(credential) is may


def test_no_key_but_the_very_one_is_known():
    """
    Ten thousand keys that are nearly right: a byte changed, added, left out, or of another case.
    """
    key = b"canary-caller-key-0123456789abcdef"
    keys = Keys({sha256(key).digest(): "ci"})
    near = {key + b" ", b" " + key, key.upper(), key.title(), key * 2, key[::-1]}
    for at in range(len(key)):
        near.add(key[:at] + key[at + 1 :])
        near |= {key[:at] + bytes((byte,)) + key[at + 1 :] for byte in range(256)}
        near |= {key[:at] + bytes((byte,)) + key[at:] for byte in range(0, 256, 3)}
    near.discard(key)

    assert len(near) > 10_000
    assert {keys.owner(each) for each in near} == {None}
    assert keys.owner(key) == "ci"

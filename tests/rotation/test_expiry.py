"""
Credentials that are about to end are told of in time and once.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.credential import ClientSecret, FixedToken, Issuer, PrivateKey, ServiceUser
from proxy.core.secret import Secret
from proxy.rotation.expiry import DAY, WARNINGS, Expiry

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00+00:00
KEY: Any = None  # nobody looks at it
ISSUER = Issuer("zitadel", "https://issuer.test")


def key(ends, mark="print"):
    """
    Return a key with an end.
    """
    return PrivateKey("key-" + mark, "user-1", KEY, mark, ends)


def user(*credentials, name="robot"):
    """
    Return a service user with these credentials.
    """
    first, *spares = credentials
    return ServiceUser(name, ISSUER, first, spares=tuple(spares))


def days(expiry, users, wall):
    """
    Return the remaining days of what is news.
    """
    return [ending.days for ending in expiry.news(users, wall)]


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (30.0, []),
        (29.96, [30.0]),
        (14.0, [14.0]),
        (13.5, [13.5]),
        (1.1, [1.1]),
        (0.4, [0.4]),
        (0.00001, [0.1]),
        (0.0, [0.0]),
        (-400.0, [0.0]),
    ],
)
def test_at_the_start_one_warning_applies(left, told):
    """
    The smallest one alone, with the days rounded up: 0.0 only once the credential has ended.
    """
    expiry = Expiry()
    users = [user(key(NOW + left * DAY))]

    assert days(expiry, users, NOW) == told
    assert days(expiry, users, NOW) == []


def test_each_warning_is_told_once_as_life_runs_out():
    """
    At 30, 14, 3 and 1 days, and at the end; in between and after it nothing is news.
    """
    expiry = Expiry()
    users = [user(key(NOW + 40 * DAY))]

    told = [
        (hour, ending.days)
        for hour in range(45 * 24)
        for ending in expiry.news(users, NOW + hour * 3600 + 60)
    ]

    assert told == [(240, 30.0), (624, 14.0), (888, 3.0), (936, 1.0), (960, 0.0)]


def test_what_is_told():
    """
    Whose, what for, how long, until when, which of how many, and the key's id.
    """
    users = [user(key(NOW + 40 * DAY, "old"), key(NOW + 2.5 * DAY, "new"))]

    (ending,) = Expiry().news(users, NOW)

    assert ending.facts == {
        "service_user": "robot",
        "method": "private_key_jwt",
        "days": 2.5,
        "ends": "2027-01-17T20:00:00+00:00",
        "which": "2 of 2",
        "key_id": "key-new",
    }


def test_a_token_is_told_of_without_its_value():
    """
    A personal access token has no key id, and its text stays where it is.
    """
    users = [user(FixedToken(Secret("canary-token"), NOW + DAY / 2))]

    (ending,) = Expiry().news(users, NOW)

    assert ending.method == "personal_access_token"
    assert "key_id" not in ending.facts
    assert "canary" not in f"{ending!r} {ending.facts}"


def test_a_clock_set_back_repeats_nothing():
    """
    What was said stays said, whatever the wall clock does; what is further on is still told.
    """
    expiry = Expiry()
    users = [user(key(NOW + 10 * DAY))]

    assert days(expiry, users, NOW) == [10.0]
    assert days(expiry, users, NOW - 10 * DAY) == []
    assert days(expiry, users, NOW - 100 * DAY) == []
    assert days(expiry, users, NOW) == []
    assert days(expiry, users, NOW + 8 * DAY) == [2.0]


def test_another_credential_begins_anew():
    """
    A rotated key has its own warnings, and so has the same key with another end.
    """
    expiry = Expiry()

    assert days(expiry, [user(key(NOW + DAY / 2, "old"))], NOW) == [0.5]
    assert days(expiry, [user(key(NOW + 60 * DAY, "new"))], NOW) == []
    assert days(expiry, [user(key(NOW + 60 * DAY, "new"))], NOW + 31 * DAY) == [29.0]
    assert days(expiry, [user(key(NOW + 60 * DAY + 1, "new"))], NOW + 31 * DAY) == [29.1]


def test_users_are_told_of_apart():
    """
    Two service users with one key between them are both told of, one user's key twice is once.
    """
    shared = key(NOW + DAY / 2)
    users = [user(shared, name="a"), user(shared, shared, name="b")]

    assert [ending.service_user for ending in Expiry().news(users, NOW)] == ["a", "b"]


@pytest.mark.parametrize("ends", [None, math.nan, math.inf, -math.inf])
def test_without_an_end_there_is_no_news(ends):
    """
    A key without an end, one whose end is no moment, and a client secret say nothing.
    """
    users = [user(key(ends)), user(ClientSecret("reporter", Secret("canary")), name="b")]

    assert Expiry().news(users, NOW) == ()


@pytest.mark.parametrize(
    ("ends", "written"),
    [(-7e10, "1970-01-01T00:00:00+00:00"), (1e18, "9999-12-31T23:59:59+00:00")],
)
def test_a_date_that_cannot_be_written_is_cut(ends, written):
    """
    An end before 1970 or after 9999, as a damaged file may hold, does not stop the round.
    """
    (ending,) = Expiry().news([user(key(ends))], ends)

    assert ending.ends == written


@given(st.lists(st.integers(-1200, 1200), max_size=40))
def test_warnings_only_ever_sharpen(hours):
    """
    However the clock jumps, no warning comes twice and none comes after a sharper one.
    """
    expiry = Expiry()
    users = [user(key(NOW))]
    sharpest = math.inf

    for hour in hours:
        left = -hour / 24
        due = 0 if left <= 0 else min((d for d in WARNINGS if left < d), default=math.inf)
        told = expiry.news(users, NOW + hour * 3600)
        assert len(told) == (due < sharpest)
        sharpest = min(sharpest, due)

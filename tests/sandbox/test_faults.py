from __future__ import annotations

import re

import pytest

from proxy.sandbox.faults import FAULTS, Faults, UnknownFaultError


def test_every_fault_says_what_it_does():
    """
    Names and descriptions are fit for a help text.
    """
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", name) for name in FAULTS)
    assert all(20 <= len(text) <= 100 and not text.endswith(".") for text in FAULTS.values())


def test_a_fault_hits_as_often_as_it_was_told():
    """
    After its times a fault is off by itself.
    """
    faults = Faults()
    faults.set("token-500", times=2)

    assert [faults.take("token-500") for _ in range(3)] == [True, True, False]
    assert faults.names() == ()


def test_a_fault_without_times_stays_until_cleared():
    """
    Clearing one fault leaves the others on.
    """
    faults = Faults(("api-401", "not-ready"))

    assert all(faults.take("api-401") for _ in range(10))
    faults.clear("api-401")

    assert not faults.take("api-401")
    assert faults.names() == ("not-ready",)
    assert repr(faults) == "<Faults not-ready>"


def test_revoking_happens_once():
    """
    A fault that makes sense once is on once.
    """
    faults = Faults(("revoke-once",))

    assert [faults.take("revoke-once") for _ in range(2)] == [True, False]


def test_an_unknown_fault_is_refused():
    """
    A typing mistake is told what there is.
    """
    faults = Faults()

    with pytest.raises(UnknownFaultError, match="no fault 'token-501'; there are: token-500,"):
        faults.set("token-501")
    with pytest.raises(UnknownFaultError):
        faults.clear("token-501")


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 7.0), ("3", 3.0), (-1, 7.0), ("x", 7.0), (10**9, 3600.0)]
)
def test_a_value_in_seconds_is_sane(value, expected):
    """
    What cannot be seconds counts as nothing said.
    """
    faults = Faults()
    faults.set("clock-behind", value=value)

    assert faults.seconds("clock-behind", 7.0) == expected


async def test_a_fault_that_is_off_holds_nothing():
    """
    Holding is a no-op unless the fault is on.
    """
    faults = Faults()

    await faults.hold("token-slow")

    assert faults.names() == ()


async def test_a_lagging_projection_finds_new_users_later(sandbox, mint, sign, clock, spare):
    """
    With the fault on, new keys, users and secrets stay unknown for the configured time.
    """
    sandbox.faults.set("projection-lag")
    user = sandbox.add_user("fresh")
    file, secret = sandbox.add_key(user, pair=spare), sandbox.add_secret(user).reveal()

    async def tries() -> list[int]:
        by_key = await mint.by_key(sign(file))
        by_secret = await mint.by_secret(client_id="fresh", client_secret=secret)
        return [by_key.status, by_secret.status]

    assert await tries() == [400, 400]
    clock.now += sandbox.options.projection_lag
    assert await tries() == [200, 200]
    rotated = sandbox.add_secret(user).reveal()
    reply = await mint.by_secret(client_id="fresh", client_secret=rotated)
    assert reply.json["error_description"] == "Errors.User.Machine.Secret.NotExisting"


async def test_a_clock_behind_makes_assertions_come_from_the_future(sandbox, mint):
    """
    The issuer's clock shows in its Date header and in what it refuses.
    """
    sandbox.faults.set("clock-behind", value=300)

    reply = await mint.by_key()

    assert reply.status == 400
    assert reply.headers["Date"] == "Fri, 15 Jan 2027 07:55:00 GMT"
    assert "in the future" in sandbox.mints[-1].reason


async def test_a_server_that_is_not_ready_says_412(sandbox, issuer):
    """
    Readiness fails alone; the process is alive.
    """
    sandbox.faults.set("not-ready")

    assert (await issuer("GET", "/debug/ready")).status == 412
    assert (await issuer("GET", "/debug/healthz")).status == 200

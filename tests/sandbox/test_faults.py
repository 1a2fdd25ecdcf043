from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.sandbox.fault_list import FAULTS
from proxy.sandbox.fault_values import FaultValueError
from proxy.sandbox.faults import Faults, UnknownFaultError


def test_every_fault_says_what_it_does():
    """
    Names and descriptions are fit for a help text.
    """
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name) for name in FAULTS)
    assert all(20 <= len(text) <= 120 and not text.endswith(".") for text in FAULTS.values())


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

    with pytest.raises(UnknownFaultError, match="no fault 'token-501'; perhaps token-50"):
        faults.set("token-501")
    with pytest.raises(UnknownFaultError):
        faults.clear("token-501")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clock-behind", 300.0),
        ("clock-behind=7200", 7_200.0),
        ("token-slow=0.5", 0.5),
        ("short-lived=0", 0.0),
        ("token-429=120", "120"),
        ("token-429=Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:00 GMT"),
        ("token-429", None),
        ("token-body=", ""),
        ('token-body={"a": "b=c"}', '{"a": "b=c"}'),
        ("token-type=MAC", "MAC"),
        ("odd-expires-in=-1", -1),
        ("odd-expires-in=null", None),
        ('odd-expires-in="60"', "60"),
        ("odd-expires-in=soon", "soon"),
        ("discovery-foreign-endpoint=http://127.0.0.1:1/t", "http://127.0.0.1:1/t"),
    ],
)
def test_a_value_is_read_as_its_fault_means_it(text, expected):
    """
    What stands behind NAME= is seconds, a header, a body, JSON or a URL; without it, the default.
    """
    faults = Faults((text,))

    assert faults.value(text.partition("=")[0]) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("token-500=1", "token-500: takes no value"),
        ("token-500=", "token-500: takes no value"),
        ("token-body", "token-body: needs a value"),
        ("token-slow=", "token-slow: write a number of seconds from 0 to 3600"),
        ("token-slow=-1", "write a number of seconds"),
        ("token-slow=3601", "write a number of seconds"),
        ("token-slow=soon", "write a number of seconds"),
        ("token-slow=nan", "write a number of seconds"),
        ("clock-ahead=inf", "write a number of seconds"),
        ("token-drip=0", "write a number of seconds from 0.001"),
        ("token-429=soon", "token-429: write whole seconds, or a date like"),
        ("token-429=1.5", "write whole seconds"),
        ("token-503=-1", "write whole seconds"),
        ("token-503=1\r\nX-Injected: yes", "write whole seconds"),
        ("discovery-foreign-endpoint=elsewhere", "write an absolute URL"),
        ("discovery-foreign-endpoint=ftp://elsewhere/", "write an absolute URL"),
        ("token-body=" + "x" * 65_537, "write at most 65536 characters"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(text, said):
    """
    Nothing is guessed: the message names the fault and what to write.
    """
    with pytest.raises(FaultValueError, match=re.escape(said)):
        Faults((text,))


def test_every_fault_has_a_test():
    """
    Each name in the registry stands in a test of the sandbox.
    """
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert [name for name in FAULTS if f'"{name}"' not in here] == []


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


async def test_a_server_that_is_not_ready_says_412(sandbox, issuer):
    """
    Readiness fails alone; the process is alive.
    """
    sandbox.faults.set("not-ready")

    assert (await issuer("GET", "/debug/ready")).status == 412
    assert (await issuer("GET", "/debug/healthz")).status == 200

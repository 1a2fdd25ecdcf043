from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from proxy.config.caller import Caller
from proxy.config.model import Settings
from proxy.config.rate import MOST, SECONDS, RateLimits, gate, parse_origin, parse_rate, show_rate
from proxy.core.rate import Allowance, Rates

DIGEST = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [
        ("50/s", 50.0, "50/s"),
        ("1/m", 1 / 60, "1/m"),
        ("90/m", 1.5, "90/m"),
        ("1000/h", 1000 / 3600, "1000/h"),
        ("7/h", 7 / 3600, "7/h"),
        ("3600/h", 1.0, "1/s"),
        ("0/s", 0.0, "0/h"),
    ],
)
def test_a_rate_is_requests_a_second(text, number, shown):
    """
    A whole number a second, a minute or an hour, and back again.
    """
    assert parse_rate(text) == number
    assert show_rate(number) == shown


@given(st.integers(1, MOST), st.sampled_from(list(SECONDS)))
def test_what_is_written_back_is_the_same_rate(number, unit):
    """
    To the last bit, whatever unit it is shown in.
    """
    rate = parse_rate(f"{number}/{unit}")

    assert parse_rate(show_rate(rate)) == rate


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (50, "has no unit"),
        (0.5, "has no unit"),
        ("50", "has no unit"),
        ("50/d", "is no rate"),
        ("50 /s", "is no rate"),
        ("0.5/s", "is no rate"),
        ("-1/s", "is no rate"),
        ("\u0665/s", "is no rate"),
        ("/s", "is no rate"),
        ("99999999/s", "is no rate"),
        (["50/s"], "is no rate"),
        (None, "is no rate"),
    ],
)
def test_what_is_no_rate_is_said_so(value, what):
    """
    With what to write instead, and never the value.
    """
    with pytest.raises(PydanticCustomError) as told:
        parse_rate(value)

    assert told.value.context == {"what": what, "instead": "write it like 50/s, 600/m or 1000/h"}


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"rate": "50/s"}, Allowance(50.0, 50.0, 0)),
        ({"rate": "90/m"}, Allowance(1.5, 1.5, 0)),
        ({"rate": "6/m"}, Allowance(0.1, 1.0, 0)),
        ({"rate": "50/s", "burst": 100, "concurrent": 20}, Allowance(50.0, 100.0, 20)),
        ({"rate": "50/s", "burst": 1}, Allowance(50.0, 1.0, 0)),
        ({"concurrent": 20}, Allowance(0.0, 1.0, 20)),
        ({"rate": "off", "concurrent": 20}, Allowance(0.0, 1.0, 20)),
    ],
    ids=str,
)
def test_a_burst_is_a_second_s_worth_unless_written(said, allowed):
    """
    And at least one request.
    """
    assert RateLimits.model_validate(said).allowance() == allowed


@pytest.mark.parametrize(
    "said",
    [{}, {"rate": "off"}, {"concurrent": "off"}, {"burst": 5}, {"burst": 5, "concurrent": 1}],
    ids=str,
)
def test_limits_that_limit_nothing_are_refused(said):
    """
    An empty group, nothing but off, a burst without a rate.
    """
    with pytest.raises(ValidationError):
        RateLimits.model_validate(said)


def test_limits_alone_make_no_caller():
    """
    How often somebody may call says not who that is.
    """
    Caller.model_validate({"api_key_sha256": DIGEST, "limits": {"rate": "1/s"}})
    with pytest.raises(ValidationError):
        Caller.model_validate({"limits": {"rate": "1/s"}})


@pytest.mark.parametrize("text", ["https://a.example/x", "https://a.example?x", "a.example", "", 5])
def test_an_upstream_is_named_by_its_origin(text):
    """
    Scheme, host and port; a slash behind them is no harm.
    """
    assert parse_origin("HTTPS://A.example:443/").origin == "https://a.example"
    with pytest.raises(PydanticCustomError):
        parse_origin(text)


def settings(**changes):
    """
    Return the smallest settings, with these changes.
    """
    return Settings.model_validate(
        {
            "version": 1,
            "issuers": {"z": {"url": "https://acme.zitadel.cloud"}},
            "service_users": {
                "u": {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
            },
            "routes": [{"name": "all", "upstream": "https://a.example", "service_user": "u"}],
            **changes,
        }
    )


def test_nothing_limited_has_no_gate():
    """
    Then a request is not even asked who it is from.
    """
    rates = Rates()

    assert gate(settings(), rates) is None
    assert rates.refused == {}


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        (
            {"callers": {"ci": {"api_key_sha256": DIGEST, "limits": {"rate": "1/s"}}}},
            ("caller", "ci"),
        ),
        (
            {"listen": [{"address": "127.0.0.1:8080", "limits": {"rate": "1/s"}}]},
            ("listener", "127.0.0.1:8080"),
        ),
        (
            {"listen": [{"address": "127.0.0.1:0"}, {"address": "[::1]:0", "limits": {"concurrent": 1}}]},
            ("listener", "listen[1]"),
        ),
        (
            {"listen": [{"address": "unix:/run/a.sock", "limits": {"rate": "1/s"}}]},
            ("listener", "unix:/run/a.sock"),
        ),
        (
            {"upstreams": {"https://A.example:443": {"rate": "1/s"}}},
            ("upstream", "https://a.example"),
        ),
    ],
    ids=["caller", "listener", "any free port", "Unix socket", "upstream"],
)  # fmt: skip
def test_each_limit_has_its_series_from_the_start(changes, counted):
    """
    Under its scope and its name in the configuration, with nothing refused so far.
    """
    rates = Rates()

    made = gate(settings(**changes), rates)

    assert made is not None
    assert rates.refused == {counted: 0}
    assert made.personal is (counted[0] != "upstream")
    assert [(meter.scope, meter.name) for meter in made.meters()] == [counted]


def test_the_next_configuration_goes_on_from_what_was_used():
    """
    A reload with other numbers knows the requests before it.
    """
    rates = Rates()
    before = gate(settings(upstreams={"https://a.example": {"rate": "1/m"}}), rates)
    assert before is not None
    assert not before.upstreams["https://a.example"].enter(0.0)

    after = gate(settings(upstreams={"https://a.example": {"rate": "2/m"}}), rates)

    assert after is not None
    assert after.upstreams["https://a.example"].enter(0.0) == 30.0

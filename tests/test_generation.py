"""
What settings become when they are to be served.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.bounds import caller_limits, pool_limits
from proxy.config.model import Settings
from proxy.generation import compile_generation
from proxy.wire.limits import Limits, PoolLimits, Timeouts

LIMITS = {
    "target": ("1KiB", 1024),
    "head": ("2KiB", 2048),
    "headers": (9, 9),
    "body": ("100MiB", 104857600),
    "connections": (7, 7),
    "in_flight": (5, 5),
    "head_time": ("500ms", 0.5),
    "body_time": ("2m", 120.0),
    "body_rate": ("off", 0),
    "idle_time": ("1h", 3600.0),
}
POOLS = {
    "connections": (3, 3),
    "idle": ("4s", 4.0),
    "age": ("off", 0),
    "queue": (0, 0),
    "wait": ("100ms", 0.1),
    "failures": ("off", 0),
}


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


def test_nothing_set_is_what_the_wire_does_by_itself():
    """
    The defaults of proxy.yaml and those of the wire are the same.
    """
    assert caller_limits(settings()) == Limits()
    assert pool_limits(settings()) == PoolLimits()


@pytest.mark.parametrize(
    ("section", "table", "made"),
    [("limits", LIMITS, caller_limits), ("pools", POOLS, pool_limits)],
    ids=["limits", "pools"],
)
def test_each_setting_reaches_the_wire(section, table, made):
    """
    Every limit set is the number the wire is given under the same name, and the rest stays.
    """
    untouched = asdict(made(settings()))

    found = asdict(made(settings(**{section: {name: said for name, (said, _) in table.items()}})))

    wanted = {name: number for name, (_, number) in table.items()}
    assert found == untouched | wanted
    assert not any(untouched[name] == number for name, number in wanted.items())
    assert table.keys() == dict(getattr(settings(), section)).keys()


@pytest.mark.parametrize("section", ["limits", "pools"])
def test_limits_are_written_back_as_a_file_would(section):
    """
    Dumped with units and `off`, and read again, they are the same.
    """
    table = LIMITS if section == "limits" else POOLS
    said = {name: text for name, (text, _) in table.items()}
    made = settings(**{section: said})

    assert made.effective()[section] == said
    assert Settings.model_validate(made.effective()) == made


def test_pools_and_routes_get_what_was_set():
    """
    Each pool has the limits of all pools; each route has its own timeouts.
    """
    keeper: Any = SimpleNamespace(slot=lambda name: name)
    timeouts = {"connect": "1s", "response": "2s", "idle": "3s", "request": "4s"}
    said = settings(
        pools={"connections": 3},
        routes=[
            {"name": "a", "upstream": "https://a.example", "service_user": "u"},
            {
                "name": "b",
                "match": {"path": "/b"},
                "upstream": "https://b.example",
                "service_user": "u",
                "timeouts": timeouts,
            },
        ],
    )

    generation = compile_generation(said, Path(), keeper, via=b"")

    assert [pool.limits for pool in generation.pools] == [PoolLimits(connections=3)] * 2
    lanes = {entry.name: entry.action for entry in generation.table.routes}
    assert lanes["a"].timeouts == Timeouts()
    assert lanes["b"].timeouts == Timeouts(1.0, 2.0, 3.0, 4.0)

"""
How often callers may call and upstreams are called: what those see who ask for more.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.tasks import spawn

KEYS = {"ci": "key-of-ci-5c0ffee", "billing": "key-of-billing-5eed"}
HOUR = range(3590, 3601)
"""Seconds until the next permit of one an hour, told soon after the last one was taken."""


def known(document, **limits):
    """
    Declare two callers, of which these have limits.
    """
    document["callers"] = {
        name: {"api_key_sha256": sha256(key.encode()).hexdigest()} for name, key in KEYS.items()
    }
    for name, said in limits.items():
        document["callers"][name]["limits"] = said


def by(name):
    """
    Return the headers of a caller.
    """
    return {"X-Api-Key": KEYS[name]}


def origin(document, name):
    """
    Return where a route goes.
    """
    return next(route["upstream"] for route in document["routes"] if route["name"] == name)


async def refusals(through):
    """
    Return what a scrape says was refused because of a limit: (name, scope) → count.
    """
    page = await through("GET", f"http://{through.runtime.admin}/metrics")
    return {
        (sample.labels["name"], sample.labels["scope"]): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
        if sample.name == "authproxy_rate_limited_total"
    }


async def test_a_caller_has_its_own_allowance(sandbox, serve):
    """
    One that has used up its own is told when to come back; the others notice nothing.
    """

    def edit(document):
        known(document, ci={"rate": "1/h", "burst": 2}, billing={"rate": "1/h", "burst": 5})
        document["listen"] = [{"address": "127.0.0.1:0", "callers": [*KEYS, "anonymous"]}]

    through = await serve(edit)
    answers = [await through("GET", "/echo", headers=by("ci")) for _ in range(3)]
    refused = answers[-1]

    assert [each.status for each in answers] == [200, 200, 429]
    assert (await through("GET", "/echo", headers=by("billing"))).status == 200
    assert (await through("GET", "/echo")).status == 200
    assert sandbox.hits.total == 4
    assert refused.code == "rate_limited"
    assert int(refused.headers["Retry-After"]) in HOUR
    assert refused.headers["Proxy-Status"].startswith("authproxy; error=http_request_denied")
    line = await through.log.done(refused)
    assert (line["caller"], line["route"], line["token"]) == ("ci", "echo", None)
    assert line["error"].startswith("rate_limited: caller ci is at its limit of one request every")
    assert await refusals(through) == {("ci", "caller"): 1, ("billing", "caller"): 0}


async def test_a_caller_counts_on_a_listener_that_asks_for_nobody(sandbox, serve):
    """
    Who shows its key is counted as itself; who shows none shares what the listener allows.
    """

    def edit(document):
        known(document, ci={"rate": "1/h"})
        document["listen"] = [{"address": "127.0.0.1:0", "limits": {"rate": "1/h", "burst": 2}}]

    through = await serve(edit)

    assert [(await through("GET", "/echo", headers=by("ci"))).status for _ in range(2)] == [
        200,
        429,
    ]
    assert [(await through("GET", "/echo")).status for _ in range(3)] == [200, 200, 429]
    assert [(await through("GET", "/echo", headers=by("billing"))).status for _ in range(3)] == [
        200
    ] * 3
    assert sandbox.hits.total == 6
    assert await refusals(through) == {("ci", "caller"): 1, ("listen[0]", "listener"): 1}


async def test_all_callers_share_what_an_upstream_takes(sandbox, serve):
    """
    Over all routes to it; what it cannot take is not counted against the caller who asked.
    """
    backend = ""

    def edit(document):
        nonlocal backend
        backend = origin(document, "echo")
        known(document, ci={"rate": "1/h", "burst": 2}, billing={"rate": "1/h", "burst": 2})
        document["upstreams"] = {backend: {"rate": "1/h", "burst": 2}}

    through = await serve(edit)
    answers = [
        await through("GET", "/echo", headers=by("ci")),
        await through("GET", "/orders/1", headers=by("billing")),
        await through("GET", "/status/204", headers=by("ci")),
        await through("GET", "/dev/auth/v1/users/me", headers=by("ci")),
        await through("GET", "/dev/auth/v1/users/me", headers=by("ci")),
    ]

    assert [each.status for each in answers] == [200, 200, 429, 200, 429]
    assert await refusals(through) == {
        ("ci", "caller"): 1,
        ("billing", "caller"): 0,
        (backend, "upstream"): 1,
    }
    error = (await through.log.done(answers[2]))["error"]
    assert error.startswith("rate_limited: the upstream is at its limit of one request every")
    assert backend not in answers[2].body.decode()


async def test_as_many_at_once_as_there_are_places(sandbox, serve):
    """
    Of many that come together the others are refused, and the places are there again afterwards,
    also those of callers who left.
    """

    def edit(document):
        document["listen"] = [{"address": "127.0.0.1:0", "limits": {"concurrent": 3}}]

    through = await serve(edit)
    assert (await through("GET", "/echo")).status == 200
    tasks: set[asyncio.Task[Any]] = set()
    names = [f"leaving-{number}" for number in range(3)]
    for name in names:
        asked = through("GET", "/slow?first_byte_ms=60000", headers={"X-Request-Id": name})
        _ = spawn(tasks, asked, name=name)
    await sandbox.hits.until(4)
    assert (await through("GET", "/echo")).status == 429
    for task in tuple(tasks):
        task.cancel()
    for name in names:
        assert (await through.log.wait("request.done", request_id=name))["status"] == 499

    answers = await asyncio.gather(*(through("GET", "/slow?first_byte_ms=500") for _ in range(8)))
    assert sorted(each.status for each in answers) == [200] * 3 + [429] * 5
    assert {each.headers["Retry-After"] for each in answers if each.status == 429} == {"1"}
    assert (await through("GET", "/echo")).status == 200


@pytest.mark.parametrize("settings", [{}, {"upstreams": {}}], ids=["nothing", "no upstream"])
async def test_nothing_is_limited_unless_it_is_written(serve, settings):
    """
    Then there is no series, and no request is asked who it is from.
    """
    through = await serve(lambda document: document.update(settings))

    answers = await asyncio.gather(*(through("GET", "/echo") for _ in range(50)))

    assert {each.status for each in answers} == {200}
    assert await refusals(through) == {}

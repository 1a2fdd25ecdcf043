"""
Metrics of a proxy that works: they say what happened, no more and no less.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256

import pytest
from prometheus_client.parser import text_string_to_metric_families

SERVER = "http_server_request_duration_seconds_count"
CLIENT = "http_client_request_duration_seconds_count"


async def text(through, accept="*/*"):
    """
    Return what a scrape gets.
    """
    url = f"http://{through.runtime.admin}/metrics"
    reply = await through("GET", url, headers={"Accept": accept})
    assert reply.status == 200
    return reply.body


async def scrape(through):
    """
    Return the samples of a scrape: name → label values in the order of their names → value.
    """
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families((await text(through)).decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            samples.setdefault(sample.name, {})[labels] = sample.value
    return samples


def counted(samples, name):
    """
    Return the samples that are not zero.
    """
    return {labels: value for labels, value in samples.get(name, {}).items() if value}


async def test_requests_are_counted_as_the_log_tells_them(through):
    """
    By method, status and route, on both sides, and by where the token came from.
    """
    asked = [
        ("GET", "/orders/42"), ("GET", "/orders/43"), ("POST", "/v2/users"), ("PUT", "/echo"),
        ("GET", "/dev/auth/v1/users/me"), ("GET", "/status/503"), ("GET", "/nowhere"),
    ]  # fmt: skip
    lines = [await through.log.done(await through(*each)) for each in asked]

    samples = await scrape(through)

    assert counted(samples, SERVER) == Counter(
        (line["method"], str(line["status"]), line["route"] or "") for line in lines
    )
    assert counted(samples, CLIENT) == Counter(
        (
            line["method"],
            str(line["upstream_status"]),
            line["route"],
            line["upstream"].partition("//")[2],
        )
        for line in lines
        if line["upstream_status"]
    )
    assert counted(samples, "authproxy_token_cache_total") == Counter(
        (line["token"], line["service_user"]) for line in lines if line["token"]
    )
    seconds = sum(line["duration_ms"] for line in lines) / 1e3
    told = sum(samples["http_server_request_duration_seconds_sum"].values())
    assert told == pytest.approx(seconds, abs=0.001)


async def test_a_request_is_active_until_it_has_its_answer(sandbox, through):
    """
    While it waits for a token it is; afterwards, or once its caller has left, it is not.
    """
    sandbox.faults.set("token-slow")
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(through("GET", "/orders/42")) for _ in range(3)]
        await through.waiting(3)
        assert (await scrape(through))["http_server_active_requests"] == {(): 3}
        asked[0].cancel()
        await through.log.wait("request.done", status=499)
        assert (await scrape(through))["http_server_active_requests"] == {(): 2}
        sandbox.faults.clear("token-slow")

    samples = await scrape(through)
    assert samples["http_server_active_requests"] == {(): 0}
    assert counted(samples, SERVER) == {("GET", "200", "orders"): 2, ("GET", "499", "orders"): 1}


async def test_mints_are_counted_by_outcome(sandbox, through):
    """
    A refusal by the issuer is one, and so is the token it gives later.
    """
    await through("GET", "/orders/42")
    sandbox.faults.set("token-500")
    sandbox.revoke(sandbox.users["reporter"])
    await through.log.done(await through("GET", "/orders/42"))

    samples = await scrape(through)

    minted = counted(samples, "authproxy_mints_total")
    assert minted["minted", "reporter"] == 1
    assert minted["mint_unavailable", "reporter"] >= 1
    durations = samples["authproxy_mint_duration_seconds_count"]
    assert durations["reporter",] == sum(
        count for (_, user), count in minted.items() if user == "reporter"
    )


async def test_a_replay_is_counted(sandbox, through):
    """
    Once, for the route it happened on.
    """
    assert (await through("GET", "/orders/42")).status == 200
    sandbox.revoke(sandbox.users["reporter"])
    assert (await through("GET", "/orders/42")).status == 200

    samples = await scrape(through)

    assert counted(samples, "authproxy_replays_total") == {("orders",): 1}
    assert counted(samples, SERVER) == {("GET", "200", "orders"): 2}


async def test_who_was_turned_away_is_counted(serve):
    """
    By reason: nobody known, or somebody who may not.
    """

    def edit(document):
        digests = {name: sha256(name.encode()).hexdigest() for name in ("ci", "billing")}
        document["callers"] = {name: {"api_key_sha256": each} for name, each in digests.items()}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["ci"]}]

    through = await serve(edit)
    for key in ("ci", "billing", "nobody", "nobody else"):
        await through.log.done(await through("GET", "/orders/1", headers={"X-Api-Key": key}))

    assert counted(await scrape(through), "authproxy_callers_denied_total") == {
        ("caller_unauthenticated",): 2,
        ("caller_forbidden",): 1,
    }


async def test_what_no_request_says_is_looked_up(serve):
    """
    Connections on both sides, when tokens and credentials end, and what the log had to drop.
    """

    def edit(document):
        document["service_users"]["dev"]["expires"] = "2099-01-31"

    through = await serve(edit)
    assert (await through("GET", "/orders/42")).status == 200
    through.log.dropped = 7

    samples = await scrape(through)

    assert samples["authproxy_connections"] == {(): 1}
    upstreams: Counter[str] = Counter()
    for (_, state), value in samples["authproxy_upstream_connections"].items():
        upstreams[state] += value
    assert upstreams == {"idle": 1, "active": 0, "connecting": 0}
    ends = samples["authproxy_token_expiry_timestamp_seconds"]
    wall = through.runtime._around.clock.wall()
    assert wall < ends["reporter",] < wall + 86_400
    credentials = samples["authproxy_credential_expiry_timestamp_seconds"]
    assert [user for (user,) in credentials] == ["dev"]
    assert credentials["dev",] > wall
    assert samples["authproxy_log_lines_dropped_total"] == {(): 7}
    assert samples["process_open_fds"][()] > 0


async def test_a_secret_is_in_no_metric(through, secrets):
    """
    Neither a credential nor a token, whichever format is asked for.
    """
    for path in ("/orders/42", "/v2/users", "/dev/auth/v1/users/me"):
        await through("GET", path)

    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        assert secrets.absent_from(await text(through, accept))


async def test_callers_and_upstreams_make_no_labels(through):
    """
    Methods, paths, hosts, ids and statuses that somebody makes up leave no trace in any label.
    """
    await through.log.done(await through("PROPFIND", "/status/299"))
    await through.log.done(await through("PROPFIND", "/nowhere"))
    before = await text(through)

    for number in range(20):
        headers = {"Host": f"evil-{number}.example", "X-Request-Id": f"evil-{number}"}
        for target in (f"/status/{279 + number}", f"/evil-{number}", f"/status/299?evil={number}"):
            for method in ("PROPFIND", "MKCOL", "SEARCH"):
                await through.log.done(await through(method, target, headers=headers))

    after = await text(through)
    assert b"evil" not in after
    assert series(after) == series(before)


def series(body):
    """
    Return every series, without the processes' and without values.
    """
    return {line.rpartition(b" ")[0] for line in body.splitlines() if not line.startswith(b"#")}

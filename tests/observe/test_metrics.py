"""
What is counted, and the text that is made of it.
"""

from __future__ import annotations

import asyncio
import math

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from proxy.observe.cells import BUCKETS, Cell, each
from proxy.observe.exposition import PLAIN, Exposition
from proxy.observe.metrics import DENIALS, FAMILIES, OUTCOMES, Metrics
from proxy.observe.reading import Reading, UpstreamReading
from proxy.tasks import spawn

SERVER = "http_server_request_duration_seconds"
CLIENT = "http_client_request_duration_seconds"

# What Prometheus 3 sends
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def metrics():
    """
    Nothing counted so far.
    """
    return Metrics()


@pytest.fixture
def orders(metrics):
    """
    Where the requests of one route are counted.
    """
    return metrics.route("orders", "orders.example", "reporter")


async def told(metrics, reading=None, accept="", parse=plain_families):
    """
    Return the samples of the text: name → labels → value.
    """
    text, _ = await Exposition(metrics, lambda: reading or Reading()).text(accept)
    samples: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in samples.setdefault(sample.name, {}), "twice the same series"
            samples[sample.name][labels] = sample.value
    return samples


def labelled(**labels):
    """
    Return labels as `told` keys them.
    """
    return frozenset(labels.items())


def http(method, status, route, **more):
    """
    Return the labels of a request.
    """
    return labelled(
        http_request_method=method, http_response_status_code=status, http_route=route, **more
    )


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="nothing"),
        pytest.param(0.005, 0, id="a bound belongs to its bucket"),
        pytest.param(0.0051, 1, id="just above"),
        pytest.param(10.0, 13, id="the last bound"),
        pytest.param(3600.0, 14, id="beyond all"),
        pytest.param(math.inf, 14, id="for ever"),
    ],
)
def test_an_observation_falls_into_one_bucket(seconds, bucket):
    """
    The first whose bound is not below it, as Prometheus' `le` says.
    """
    cell = Cell()
    cell.observe(seconds)

    assert cell.counts[bucket] == sum(cell.counts) == 1
    assert cell.total == seconds
    assert len(cell.counts) == len(BUCKETS) + 1


async def test_a_request_counts_for_both_sides(metrics, orders):
    """
    One call counts what the caller saw and what the upstream answered.
    """
    orders.done("GET", 200, 0.02, 200, 0.02)
    orders.done("GET", 200, 3.0, 200, 0.02)
    orders.done("GET", 504, 8.0, 0, 0.0)

    samples = await told(metrics)
    here = http("GET", "200", "orders")
    there = http("GET", "200", "orders", server_address="orders.example")
    assert samples[f"{SERVER}_count"] == {here: 2, http("GET", "504", "orders"): 1}
    assert samples[f"{CLIENT}_count"] == {there: 2}
    assert samples[f"{SERVER}_sum"][here] == pytest.approx(3.02)
    assert samples[f"{CLIENT}_sum"][there] == pytest.approx(0.04)


async def test_buckets_are_sums(metrics, orders):
    """
    Each bucket holds those before it; the last is the count.
    """
    for seconds in (0.001, 0.03, 0.04, 60.0):
        orders.done("GET", 200, seconds, 0, 0.0)

    samples = await told(metrics)
    buckets = {dict(labels)["le"]: n for labels, n in samples[f"{SERVER}_bucket"].items()}
    assert list(buckets.values()) == sorted(buckets.values())
    assert [buckets[le] for le in ("0.005", "0.025", "0.05", "10.0", "+Inf")] == [1, 1, 3, 3, 4]


async def test_what_matches_no_route_has_an_empty_one(metrics):
    """
    Such a request is counted, under no name and for no upstream.
    """
    metrics.route(None, "", "").done("GET", 404, 0.001, 0, 0.0)

    samples = await told(metrics)
    assert samples[f"{SERVER}_count"] == {http("GET", "404", ""): 1}
    assert f"{CLIENT}_count" not in samples


HOSTILE = [
    "get", "PROPFIND", "", "GET\n", 'GET"}', "M-SEARCH", "_other",
    *(f"X{number}" for number in range(1000)),
]  # fmt: skip


async def test_methods_nobody_registered_are_one_label(metrics, orders):
    """
    Whatever callers write as a method, the labels stay the same nine and `_OTHER`.
    """
    for method in HOSTILE:
        orders.done(method, 200, 0.001, 200, 0.001)

    assert list(orders.server) == list(orders.client) == ["_OTHER"]
    samples = await told(metrics)
    assert samples[f"{SERVER}_count"] == {http("_OTHER", "200", "orders"): len(HOSTILE)}


async def test_statuses_nobody_registered_are_one_label_a_class(metrics, orders):
    """
    Whatever upstreams answer, the labels are registered statuses, 499, classes, and `_OTHER`.
    """
    for status in range(-5, 2000):
        orders.done("GET", status, 0.001, status, 0.001)

    seen = {status for _, status, _ in each(orders.server)}
    made_up = {"1xx", "2xx", "3xx", "4xx", "5xx", "_OTHER"}
    assert made_up <= seen
    assert {"200", "404", "499", "502"} < seen - made_up
    assert len(seen) < 75
    assert seen == {status for _, status, _ in each(orders.client)}
    counts = (await told(metrics))[f"{SERVER}_count"]
    assert sum(counts.values()) == 2005


async def test_hostile_requests_add_no_series_once_all_labels_are_seen(metrics, orders):
    """
    What is remembered stops growing: there are only so many methods and statuses.
    """
    for method in ("GET", *HOSTILE[:3]):
        for status in range(1000):
            orders.done(method, status, 0.001, status, 0.001)
    before = sum(1 for _ in each(orders.server)), sum(1 for _ in each(orders.client))

    for method in HOSTILE:
        for status in range(0, 1000, 7):
            orders.done(method, status, 0.001, status, 0.001)

    assert (sum(1 for _ in each(orders.server)), sum(1 for _ in each(orders.client))) == before


def test_a_route_is_counted_in_one_place_through_reloads(metrics, orders):
    """
    The same route, upstream and service user is the same object; what they share is shared.
    """
    assert metrics.route("orders", "orders.example", "reporter") is orders

    moved = metrics.route("orders", "elsewhere.example", "reporter")
    other = metrics.route("echo", "orders.example", "reporter")

    assert moved.server is orders.server
    assert moved.client is not orders.client
    assert other.server is not orders.server
    assert other.token_results is orders.token_results


async def test_routes_that_are_gone_are_forgotten(metrics, orders):
    """
    After a reload the series of routes and service users that no longer exist end; others go on.
    """
    gone = metrics.route("old", "old.example", "dev")
    for route in (orders, gone):
        route.done("GET", 200, 0.001, 200, 0.001)
        metrics.on_token_event("token.minted", service_user=route.service_user, seconds=0.1)

    metrics.retain([orders])

    text = repr(await told(metrics))
    assert "old" not in text
    assert "dev" not in text
    assert metrics.route("orders", "orders.example", "reporter") is orders
    assert metrics.route("orders", "elsewhere.example", "dev").server is orders.server


@pytest.mark.parametrize(
    ("event", "code", "outcome"),
    [
        ("token.minted", None, "minted"),
        ("token.mint_failed", "mint_rejected", "mint_rejected"),
        ("token.renewal_failed", "mint_timeout", "mint_timeout"),
    ],
)
async def test_a_mint_is_counted_by_its_outcome(metrics, event, code, outcome):
    """
    With its duration, whether a token came of it or not.
    """
    metrics.on_token_event(event, service_user="reporter", code=code, seconds=0.2, reason="")

    samples = await told(metrics, Reading(minting=("reporter",)))
    mints = samples["authproxy_mints_total"]
    assert mints.pop(labelled(service_user="reporter", outcome=outcome)) == 1
    assert len(mints) == len(OUTCOMES) - 1
    assert set(mints.values()) == {0}
    assert samples["authproxy_mint_duration_seconds_count"] == {
        labelled(service_user="reporter"): 1
    }


def test_other_events_are_no_mints(metrics):
    """
    A dropped or refused token asked the issuer for nothing.
    """
    for event in ("token.dropped", "token.refused", "token.adopted"):
        metrics.on_token_event(event, service_user="reporter", reason="expired")

    assert not metrics.mints


async def test_everything_declared_is_told(metrics, orders):
    """
    Each metric appears with its type and sentence, and beside them only the process's own.
    """
    text, _ = await Exposition(metrics, Reading).text("")

    families = {family.name: family for family in plain_families(text.decode())}
    ours = {family.name.removesuffix("_total"): family for family in FAMILIES}
    assert set(ours) <= set(families)
    assert all(name.startswith("process_") for name in set(families) - set(ours))
    for name, family in ours.items():
        assert (families[name].type, families[name].documentation) == (family.kind, family.help)


async def test_counts_start_at_zero(metrics, orders):
    """
    A first failure is a rise from 0, which alerts can see; a series out of nowhere is not.
    """
    samples = await told(metrics, Reading(minting=("reporter",)))

    results = samples["authproxy_token_cache_total"]
    assert {dict(labels)["result"] for labels in results} == {"cached", "minted", "stale", "static"}
    denials = samples["authproxy_callers_denied_total"]
    assert {dict(labels)["reason"] for labels in denials} == set(DENIALS)
    for name in ("token_cache", "callers_denied", "replays", "mints", "log_lines_dropped"):
        values = samples[f"authproxy_{name}_total"].values()
        assert values
        assert set(values) == {0}


async def test_the_moment_is_read_at_each_scrape(metrics):
    """
    What is not counted is looked up, again each time.
    """
    readings = iter(
        Reading(
            connections=number,
            upstreams={
                "orders.example": UpstreamReading(idle=number, waiting=number, resting=True)
            },
            token_expiry={"reporter": 1.8e9 + number},
            credential_expiry={"provisioner": 1.9e9},
            lines_dropped=number,
        )
        for number in (3, 5)
    )
    for number in (3, 5):
        samples = await told(metrics, next(readings))
        assert samples["authproxy_connections"] == {frozenset(): number}
        there = {"server_address": "orders.example"}
        assert samples["authproxy_upstream_connections"] == {
            labelled(state="idle", **there): number,
            labelled(state="active", **there): 0,
            labelled(state="connecting", **there): 0,
        }
        assert samples["authproxy_upstream_waiting_requests"] == {labelled(**there): number}
        assert samples["authproxy_upstream_resting"] == {labelled(**there): 1}
        ends = samples["authproxy_token_expiry_timestamp_seconds"]
        assert ends == {labelled(service_user="reporter"): 1.8e9 + number}
        assert samples["authproxy_log_lines_dropped_total"] == {frozenset(): number}


async def test_a_refused_configuration_shows(metrics):
    """
    The last reload is 1 from the start, and 0 once it failed.
    """
    assert set((await told(metrics))["authproxy_config_last_reload_successful"].values()) == {1}

    metrics.reload_successful = False

    assert set((await told(metrics))["authproxy_config_last_reload_successful"].values()) == {0}


async def test_many_series_are_one_metric(metrics):
    """
    However many parts the text was made in, each metric has one head and each series is there once.
    """
    for number in range(50):
        for status in (200, 502):
            metrics.route(f"r{number}", f"h{number}", "u").done("GET", status, 0.1, status, 0.1)
    exposition = Exposition(metrics, Reading)

    plain, _ = await exposition.text("")
    text, _ = await exposition.text(PROMETHEUS)
    for each_text in (plain, text):
        heads = [line for line in each_text.splitlines() if line.startswith(b"# TYPE")]
        assert len(heads) == len(set(heads))
        assert each_text.count(b"# TYPE http_client_request_duration_seconds histogram") == 1
    assert len((await told(metrics))[f"{CLIENT}_count"]) == 100
    openly = await told(metrics, accept=PROMETHEUS, parse=open_families)
    assert len(openly[f"{CLIENT}_bucket"]) == 100 * 15
    assert text.endswith(b"# EOF\n")
    assert text.count(b"# EOF") == 1


async def test_requests_go_on_while_the_text_is_made(metrics):
    """
    The loop turns between the parts, and what is counted meanwhile breaks nothing.
    """
    for number in range(100):
        metrics.route(f"r{number}", "h", "u").done("GET", 200, 0.1, 200, 0.1)
    turns = 0

    async def serve():
        nonlocal turns
        while True:
            turns += 1
            metrics.route(f"new{turns}", "h", f"u{turns}").done("GET", 200, 0.1, 200, 0.1)
            metrics.denied[f"reason{turns}"] += 1
            await asyncio.sleep(0)

    tasks: set[asyncio.Task[None]] = set()
    serving = spawn(tasks, serve(), name="serve")
    samples = await told(metrics)
    serving.cancel()

    assert turns > 30
    assert len(samples[f"{SERVER}_count"]) >= 100


async def test_scrapes_wait_for_each_other(metrics, orders):
    """
    Two at once are both answered whole.
    """
    orders.done("GET", 200, 0.1, 200, 0.1)
    exposition = Exposition(metrics, Reading)

    (one, _), (two, _) = await asyncio.gather(exposition.text(""), exposition.text(""))

    assert one.count(b"# HELP") == two.count(b"# HELP") >= len(FAMILIES)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        pytest.param("", PLAIN, id="nothing said"),
        pytest.param("*/*", PLAIN, id="anything"),
        pytest.param("text/html", PLAIN, id="a browser"),
        pytest.param(PROMETHEUS, "application/openmetrics-text; version=1.0.0", id="Prometheus"),
        pytest.param("application/openmetrics-text; version=abc", PLAIN, id="no version"),
        pytest.param("application/openmetrics-text; version=1.0.0\xe9", PLAIN, id="not ASCII"),
        pytest.param("text/plain; version=1\t.0", PLAIN, id="control"),
        pytest.param("," * 8000, PLAIN, id="long"),
    ],
)
async def test_the_format_is_what_the_reader_takes(metrics, accept, media_type):
    """
    OpenMetrics for who asks for it, else the text format; an `Accept` that makes no sense is none.
    """
    _, chosen = await Exposition(metrics, Reading).text(accept)

    assert chosen.startswith(media_type)


async def test_names_cannot_break_out_of_their_label(metrics):
    """
    Names come from the operator, and are escaped all the same.
    """
    name = 'a"} 1\nevil{x="\\'
    metrics.route(name, "h", "u").done("GET", 200, 0.1, 200, 0.1)

    samples = await told(metrics)
    assert samples[f"{SERVER}_count"] == {http("GET", "200", name): 1}
    assert "evil" not in samples


async def test_the_global_registry_is_left_alone(metrics):
    """
    What else uses prometheus_client in this process neither shows here nor sees ours.
    """
    other = prometheus_client.Gauge("somebody_elses", "Not ours.")
    try:
        assert "somebody_elses" not in await told(metrics)
        elsewhere = {family.name for family in prometheus_client.REGISTRY.collect()}
        assert not elsewhere & {family.name for family in FAMILIES}
    finally:
        prometheus_client.REGISTRY.unregister(other)


async def test_a_configuration_is_told_by_time_number_and_attempts(metrics):
    """
    When the one that serves was read, its number, and what became of attempts to read it anew.
    """
    samples = await told(metrics)
    assert samples["authproxy_config_generation"] == {labelled(): 1}
    assert "authproxy_config_last_reload_success_timestamp_seconds" not in samples
    outcomes = {dict(each)["outcome"] for each in samples["authproxy_config_reloads_total"]}
    assert outcomes == {"reloaded", "unchanged", "rejected"}

    metrics.reloaded_at, metrics.generation = 1_700_000_000.5, 3
    metrics.reloads["reloaded"] += 2
    samples = await told(metrics)

    stamp = samples["authproxy_config_last_reload_success_timestamp_seconds"]
    assert stamp == {labelled(): 1_700_000_000.5}
    assert samples["authproxy_config_generation"] == {labelled(): 3}
    assert samples["authproxy_config_reloads_total"][labelled(outcome="reloaded")] == 2

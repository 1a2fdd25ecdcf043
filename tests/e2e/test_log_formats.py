"""
The whole proxy's log in each of its forms: every line is of that form, none holds a secret.
"""

from __future__ import annotations

import json

import pytest

from proxy.config.load import load
from proxy.runtime import Runtime
from proxy.surroundings import Surroundings, real_clock
from tests.e2e.conftest import Caller, change
from tests.observe.test_formats import COMBINED, pairs


class Raw:
    """
    Keeps what the log writes.
    """

    def __init__(self):
        self.raw = b""

    def put(self, piece):
        """
        Take whole lines.
        """
        self.raw += piece


@pytest.fixture
def written(config, session, secrets):
    """
    Serve a few requests with the log in a form, and return its lines.
    """

    async def serve(style, edit=lambda _: None):
        clock, sink = real_clock(), Raw()
        loaded = load(change(config, edit), {}, now=clock.wall())
        around = Surroundings(sink, {}, style=style, clock=clock, grace=1.0)
        async with Runtime(loaded, around) as runtime:
            through = Caller(session, f"http://{runtime.addresses[0]}")
            assert (await through("GET", "/orders/42?q=canary")).status == 200
            assert (await through("GET", "/no/%0A%22route%22")).status == 404
        secrets.check(through, sink.raw)
        assert b"canary" not in sink.raw
        assert sink.raw[-1:] in {b"\n", b""}
        return sink.raw.decode().splitlines()

    return serve


async def test_ecs_throughout(written):
    """
    Every line has what the schema asks of all, and the request what it has for requests.
    """
    lines = [json.loads(line) for line in await written("ecs")]

    for line in lines:
        assert list(line)[:3] == ["@timestamp", "log.level", "message"]
        assert line["service.name"] == "authproxy"
    actions = [line["event.action"] for line in lines]
    assert {"proxy.started", "token.minted", "request.done", "proxy.stopped"} <= set(actions)
    done = lines[actions.index("request.done")]
    assert (done["http.request.method"], done["url.path"]) == ("GET", "/orders/42")
    assert done["source.ip"] == "127.0.0.1"
    assert done["event.duration"] > 0


async def test_logfmt_throughout(written):
    """
    Every line is pairs that begin with the time.
    """
    lines = [pairs(line) for line in await written("logfmt")]

    assert {next(iter(line)) for line in lines} == {"timestamp"}
    (one, two) = [line for line in lines if line["event"] == "request.done"]
    assert (one["route"], one["status"]) == ("orders", "200")
    assert (two["path"], two["status"]) == ("/no/%0A%22route%22", "404")


async def test_combined_for_requests_and_logfmt_for_the_rest(written):
    """
    The two are told apart by how a line begins.
    """
    lines = await written("combined")

    requests = [line for line in lines if not line.startswith("timestamp=")]
    events = [pairs(line)["event"] for line in lines if line.startswith("timestamp=")]
    assert {"proxy.started", "token.minted", "proxy.stopped"} <= set(events)
    found = [COMBINED.match(line) for line in requests]
    assert [each and each[5] for each in found] == [
        "GET /orders/42 HTTP/1.1",
        "GET /no/%0A%22route%22 HTTP/1.1",
    ]


async def test_console_throughout(written):
    """
    Lines for a person; nothing of JSON.
    """
    lines = await written("console")

    assert not any(line.startswith("{") for line in lines)
    assert any(" 200 GET /orders/42 → orders as reporter" in line for line in lines)


async def test_the_audit_trail_among_the_lines_is_of_their_form(written):
    """
    `credential.used` is a line like any other.
    """
    lines = await written("ecs", lambda it: it.update(audit={"to": "stdout"}))

    used = [json.loads(line) for line in lines if "credential.used" in line]
    assert [each["authproxy.service_user"] for each in used] == ["reporter"]


@pytest.mark.parametrize(("requests", "statuses"), [("errors", [404]), ("off", [])])
async def test_fewer_lines_on_request(requests, statuses, written):
    """
    Errors alone, or none; events have a level of their own.
    """
    said = {"requests": requests, "level": "warning"}
    lines = [json.loads(line) for line in await written("json", lambda it: it.update(log=said))]

    assert [each["status"] for each in lines if each["event"] == "request.done"] == statuses
    assert not [each for each in lines if each["level"] == "info" and "status" not in each]

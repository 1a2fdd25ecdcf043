"""
What is to be told of the proxy at a moment.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.admin.reloads import Reload
from proxy.admin.status import CONDITIONS, DAY, Sources, status
from proxy.core.clock import Clock
from proxy.core.decide import Plan
from proxy.core.route import Match, Route
from proxy.observe.metrics import Metrics
from proxy.observe.pace import Paces
from proxy.observe.reading import Reading, UpstreamReading
from proxy.tokens.state import UserState

WALL, BOOT = 1_800_000_000.0, 5000.0

WELL = UserState(
    name="dev", issuer="zitadel", method="personal_access_token", required=True, condition="ready",
    fingerprint="", age=None, expires_in=None, renews_in=None, last_error="", mints=0, failures=0,
)  # fmt: skip


class Scene:
    """
    A proxy of one service user and one route, which a test gets into trouble.
    """

    def __init__(self) -> None:
        self.users = [WELL]
        self.ready = True
        self.draining = False
        self.reading = Reading()
        self.last = Reload(3, WALL - 60, "file", "reloaded", changes=("routes: added a",))
        self.metrics = Metrics()
        self.boot = BOOT
        clock = Clock(lambda: WALL, lambda: self.boot)
        plan = Plan("https://api.acme.com", b"", service_user="dev")
        match = Match(b"*.acme.com", b"/a", frozenset((b"PUT", b"GET")), ((b"x-a", b"1"),))
        self.metrics.route("a", "api.acme.com", "dev")
        keeper = SimpleNamespace(states=lambda: self.users, ready=lambda: self.ready)
        generation: Any = SimpleNamespace(
            keeper=keeper,
            table=SimpleNamespace(routes=[Route("a", match, SimpleNamespace(plan=plan))]),
        )
        reloads: Any = SimpleNamespace(origin="proxy.yaml")
        self.sources = Sources(
            lambda: generation,
            lambda: self.draining,
            reloads=reloads,
            metrics=self.metrics,
            paces=Paces(self.metrics, clock.boot),
            reading=lambda: self.reading,
            clock=clock,
        )
        self.reloads = reloads

    def told(self):
        """
        Return what is told.
        """
        self.reloads.last = self.last
        return status(self.sources, changes=True)


@pytest.fixture
def scene():
    """
    A proxy that is well.
    """
    return Scene()


def user(name, condition, error=""):
    """
    Return a service user's state.
    """
    return dataclasses.replace(WELL, name=name, condition=condition, last_error=error)


def test_a_proxy_without_trouble_is_well(scene):
    """
    Nothing is made up to have something to say.
    """
    told = scene.told()

    assert (told["condition"], told["summary"], told["troubles"]) == ("well", "All is well.", [])
    assert told["config"]["generation"] == 3
    assert told["config"]["last"]["changes"] == ["routes: added a"]
    assert told["routes"][0]["match"] == "GET PUT *.acme.com/a with x-a"


def test_troubles_are_told_the_worst_first(scene):
    """
    A refused configuration, then who has no token, then who will have none, then upstreams and routes.
    """
    scene.last = Reload(3, WALL, "file", "rejected", problems=("proxy.yaml:1:1 no",))
    scene.users = [
        user("a", "stale", "slow"),
        user("b", "ready"),
        user("c", "failing", "wrong secret"),
    ]
    scene.reading = Reading(
        upstreams={"api.acme.com": UpstreamReading(resting=True, waiting=2)},
        issuer_resting={"zitadel": True},
        credential_expiry={"b": WALL + 3.5 * DAY, "a": WALL + 60 * DAY},
        lines_dropped=7,
    )
    scene.metrics.route("a", "api.acme.com", "dev").done("GET", 502, 0.1, 0, 0.0)
    scene.boot += 10

    told = scene.told()

    assert told["troubles"] == [
        "The configuration in proxy.yaml is refused; generation 3 goes on serving.",
        "Service user c has no token: wrong secret.",
        "Service user a uses its token on, since renewing it fails: slow.",
        "Issuer zitadel is left alone after failures in a row.",
        "Upstream api.acme.com cannot be reached and is left alone for a while.",
        "Upstream api.acme.com: 2 waiting for a connection.",
        "Route a: 100 % of its requests fail.",
        "The credential of service user b ends in 3 days.",
        "7 log lines were lost since the start.",
    ]
    assert told["summary"] == "Serving, but 9 things need a look."
    assert told["config"]["last"]["problems"] == ["proxy.yaml:1:1 no"]


@pytest.mark.parametrize(
    ("ready", "draining", "condition"),
    [(False, False, "starting"), (True, True, "draining"), (False, True, "draining")],
)
def test_what_the_proxy_is_about_goes_before_its_troubles(scene, ready, draining, condition):
    """
    Shutting down, and not being ready.
    """
    scene.ready, scene.draining = ready, draining
    scene.users = [user("c", "failing")]

    assert scene.told()["condition"] == condition


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_condition_has_words(scene, condition):
    """
    For people who do not know ours; what is revoked need not say so twice.
    """
    scene.users = [user("c", condition, "revoked by an operator" if condition == "revoked" else "")]
    told = scene.told()

    assert told["service_users"][0]["condition_words"]
    assert "operator" not in "".join(told["troubles"])


@pytest.mark.parametrize(
    ("error", "end"),
    [("no such client", "client."), ("a typo?", "typo?"), ("wait!", "wait!"), ("it is so.", "so.")],
)
def test_a_trouble_ends_with_one_mark(scene, error, end):
    """
    Reasons that are sentences, or questions, bring their own.
    """
    scene.users = [user("c", "failing", error)]

    assert scene.told()["troubles"][0].rpartition(" ")[2] == end


@pytest.mark.parametrize(
    ("left", "words"),
    [(-1.0, "has ended"), (DAY / 2, "ends within a day"), (1.5 * DAY, "ends in 1 day")],
)
def test_a_credential_that_ends_soon_is_told_of(scene, left, words):
    """
    In days, as far as a person plans.
    """
    scene.reading = Reading(credential_expiry={"dev": WALL + left})

    assert scene.told()["troubles"] == [f"The credential of service user dev {words}."]


def test_failures_are_told_in_wall_time(scene):
    """
    Seen last so many seconds ago.
    """
    line = {
        "request_id": "id-1", "method": "GET", "path": "/a", "route": "a", "service_user": "dev",
        "status": 502, "upstream_status": None, "error": "upstream_connect: refused",
    }  # fmt: skip
    scene.metrics.recent.note(line, BOOT)
    scene.boot += 30
    (failure,) = scene.told()["failures"]

    assert (failure["at"], failure["ago"], failure["request_ids"]) == (WALL - 30, 30.0, ["id-1"])
    assert (failure["code"], failure["reason"]) == ("upstream_connect", "refused")


def test_requests_without_a_route_are_a_row_once_there_are_any(scene):
    """
    They are nobody's, and not shown for nothing.
    """
    assert [route["name"] for route in scene.told()["routes"]] == ["a"]
    scene.metrics.unrouted.done("GET", 404, 0.001, 0, 0.0)

    assert [route["name"] for route in scene.told()["routes"]] == ["a", ""]

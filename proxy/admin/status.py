"""
What is to be told of the proxy at this moment: for the status page, for `authproxy status`, for whoever
reads JSON.

`troubles` says in whole sentences what a person should know first, the worst first; it is worked out
here, so that all who tell it tell the same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from proxy.admin.reloads import Reload, Reloads
    from proxy.core.clock import Clock
    from proxy.core.route import Match, Route
    from proxy.generation import Generation, Lane
    from proxy.observe.metrics import Metrics
    from proxy.observe.pace import Pace, Paces
    from proxy.observe.reading import Reading
    from proxy.observe.recent import Failure
    from proxy.tokens.state import UserState

CONDITIONS: Mapping[str, str] = {
    "ready": "has a token",
    "stale": "uses its token on, since renewing it fails",
    "idle": "needs no token: the last one ended unused",
    "cold": "was not asked for yet",
    "failing": "has no token",
    "refused": "has a token that an upstream refuses",
    "revoked": "is revoked: it gets no token until it is allowed again",
}
"""What each condition of a service user means, to follow its name."""

WRONG = ("failing", "refused", "revoked", "stale")
"""The conditions that need a person, the worst first."""

DAY = 86_400.0

SOON = 7 * DAY
"""Seconds before a credential's end from which it is a trouble."""

NOTABLE = 0.05
"""The share of errors from which a route is a trouble."""


@dataclass(frozen=True, slots=True)
class Sources:
    """
    Where the status is looked up.

    Attributes:
        generation: Returns the generation of the moment.
        draining: Returns whether the proxy is on its way down.
        reloads: Reloads the configuration; None if nothing does.
        metrics: Where requests are counted; None if nothing is to be told of them.
        paces: How the routes fare; None likewise.
        reading: Returns what the metrics look up; None likewise.
        clock: What time it is; None likewise.
        version: Of authproxy.
    """

    generation: Callable[[], Generation]
    draining: Callable[[], bool]
    reloads: Reloads | None = None
    metrics: Metrics | None = None
    paces: Paces | None = None
    reading: Callable[[], Reading] | None = None
    clock: Clock | None = None
    version: str = ""


def status(sources: Sources, *, changes: bool) -> dict[str, Any]:
    """
    Return what there is to tell, as JSON has it.

    Args:
        sources: Where it is looked up.
        changes: Whether whoever reads it may change something.
    """
    generation = sources.generation()
    keeper = generation.keeper
    ready, draining = keeper.ready(), sources.draining()
    reading = None if sources.reading is None else sources.reading()
    config = None if sources.reloads is None else _config(sources.reloads)
    ends = {} if reading is None else reading.credential_expiry
    now = None if sources.clock is None else sources.clock.wall()
    told: dict[str, Any] = {
        "ready": ready,
        "draining": draining,
        "version": sources.version,
        "at": now,
        "changes": changes,
        "config": config,
        "service_users": [_user(state, ends.get(state.name)) for state in keeper.states()],
        "routes": _routes(generation, sources.paces),
        "upstreams": [],
        "issuers": [],
        "failures": [],
        "active": None if sources.metrics is None else sources.metrics.active,
        "connections": None if reading is None else reading.connections,
        "lines_dropped": None if reading is None else reading.lines_dropped,
        "audit_dropped": None if reading is None else reading.audit_dropped,
    }
    if reading is not None:
        told["upstreams"] = [
            {"address": address, **dataclasses.asdict(upstream)}
            for address, upstream in sorted(reading.upstreams.items())
        ]
        told["issuers"] = [
            {"name": name, "resting": resting}
            for name, resting in sorted(reading.issuer_resting.items())
        ]
    if sources.metrics is not None and sources.clock is not None:
        told["failures"] = [
            _failure(failure, sources.clock) for failure in sources.metrics.recent.failures()
        ]
    told["troubles"] = list(_troubles(told))
    told["condition"], told["summary"] = _summary(told)
    return told


def _config(reloads: Reloads) -> dict[str, Any]:
    last = reloads.last
    return {
        "origin": reloads.origin,
        "generation": last.generation,
        "last": {"at": last.at, "trigger": last.trigger, **outcome(last)},
    }


def outcome(reload: Reload) -> dict[str, Any]:
    """
    Return what came of an attempt to reload, as JSON has it.
    """
    return {
        "outcome": reload.outcome,
        "generation": reload.generation,
        "changes": list(reload.changes),
        "problems": list(reload.problems),
        "warnings": list(reload.warnings),
    }


def _user(state: UserState, ends: float | None) -> dict[str, Any]:
    words = CONDITIONS[state.condition]
    return {**dataclasses.asdict(state), "condition_words": words, "credential_expires": ends}


def _routes(generation: Generation, paces: Paces | None) -> list[dict[str, Any]]:
    if paces is None:
        return []
    measured = paces.paces()
    routes = [_route(route, measured.get(route.name)) for route in generation.table.routes]
    unrouted = measured.get("")
    if unrouted is not None and unrouted.requests:
        routes.append(
            {"name": "", "match": "", "upstream": "", "service_user": "", **_pace(unrouted)}
        )
    return routes


def _route(route: Route[Lane], pace: Pace | None) -> dict[str, Any]:
    plan = route.action.plan
    return {
        "name": route.name,
        "match": _match(route.match),
        "upstream": plan.upstream,
        "service_user": plan.service_user,
        **_pace(pace),
    }


def _pace(pace: Pace | None) -> dict[str, Any]:
    if pace is None:
        return dict.fromkeys(
            ("requests", "errors", "seconds", "rate", "error_share", "p50", "p90", "p99")
        )
    return {**dataclasses.asdict(pace), "rate": pace.rate, "error_share": pace.error_share}


def _match(match: Match) -> str:
    """
    Return what a route matches, in short: methods, host and path, how many headers.
    """
    methods = " ".join(sorted(method.decode() for method in match.methods))
    place = f"{match.host.decode()}{match.path.decode() or '/'}"
    headers = ", ".join(name.decode() for name, _ in match.headers)
    return " ".join(filter(None, (methods, place, headers and f"with {headers}")))


def _failure(failure: Failure, clock: Clock) -> dict[str, Any]:
    ago = clock.boot() - failure.last
    return {
        "route": failure.route,
        "service_user": failure.service_user,
        "status": failure.status,
        "code": failure.code or None,
        "reason": failure.reason,
        "method": failure.method,
        "path": failure.path,
        "request_ids": list(failure.request_ids),
        "times": failure.times,
        "at": clock.wall() - ago,
        "ago": ago,
        "lasting": failure.last - failure.first,
    }


def _troubles(told: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield what a person should know first, the worst first.
    """
    config = told["config"]
    if config is not None and config["last"]["outcome"] == "rejected":
        yield (
            f"The configuration in {config['origin']} is refused;"
            f" generation {config['generation']} goes on serving."
        )
    yield from _of_users(told["service_users"])
    yield from _of_others(told)
    yield from _of_credentials(told)
    for what, where in (
        ("lines_dropped", "log lines"),
        ("audit_dropped", "lines of the audit file"),
    ):
        if told[what]:
            yield f"{told[what]} {where} were lost since the start."


def _of_users(users: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for condition in WRONG:
        for user in users:
            if user["condition"] == condition:
                why = "" if condition == "revoked" else user["last_error"]
                yield _ended(
                    f"Service user {user['name']} {CONDITIONS[condition]}{why and ': '}{why}"
                )


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _of_others(told: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the troubles of issuers, upstreams and routes.
    """
    for issuer in told["issuers"]:
        if issuer["resting"]:
            yield f"Issuer {issuer['name']} is left alone after failures in a row."
    for upstream in told["upstreams"]:
        if upstream["resting"]:
            yield f"Upstream {upstream['address']} cannot be reached and is left alone for a while."
        if upstream["waiting"]:
            yield f"Upstream {upstream['address']}: {upstream['waiting']} waiting for a connection."
    for route in told["routes"]:
        if route["name"] and route["errors"] and route["error_share"] >= NOTABLE:
            yield f"Route {route['name']}: {route['error_share'] * 100:.0f} % of its requests fail."


def _of_credentials(told: Mapping[str, Any]) -> Iterator[str]:
    for user in told["service_users"]:
        if told["at"] is not None and user["credential_expires"] is not None:
            left = user["credential_expires"] - told["at"]
            if left < SOON:
                yield f"The credential of service user {user['name']} {_ends(left)}."


def _ends(left: float) -> str:
    if left <= 0:
        return "has ended"
    days = int(left // DAY)
    return "ends within a day" if not days else f"ends in {days} day{'s' if days > 1 else ''}"


def _summary(told: Mapping[str, Any]) -> tuple[str, str]:
    """
    Return the condition of the whole in a word, and in a sentence.
    """
    troubles = len(told["troubles"])
    if told["draining"]:
        return "draining", "Shutting down: nothing new is accepted, what is in flight may end."
    if not told["ready"]:
        return "starting", "Not ready: required service users have no token yet."
    if troubles:
        what = "1 thing needs" if troubles == 1 else f"{troubles} things need"
        return "trouble", f"Serving, but {what} a look."
    return "well", "All is well."

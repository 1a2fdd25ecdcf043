"""
Every metric, declared in one place, and what is counted for them.

Theory of operation
-------------------
Counting is done here, by plain attributes and dictionaries on the event loop; `observe.exposition`
makes Prometheus' text of it when somebody asks. What need not be counted, because it can be looked
up (connections, expiries), comes as a `Reading` at that moment (`observe.reading`).

Labels come from the configuration, from this project's own words (`outcome`, `result`, `reason`,
`state`), or from closed sets (`observe.cells`); never from a request. Series live as long as the
process, through reloads; `retain` drops those of routes that are gone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proxy.errors import (
    CallerCheckUnavailable,
    CallerForbidden,
    CallerUnauthenticated,
    CredentialInvalid,
    MintRejected,
    MintTimeout,
    MintUnavailable,
)
from proxy.observe.cells import RESULTS, Cell, RouteMetrics
from proxy.observe.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.observe.cells import Cells

MINTED = "minted"
FAILURES = (MintRejected, MintUnavailable, MintTimeout, CredentialInvalid)
OUTCOMES = (MINTED, *(failure.code for failure in FAILURES))
"""How a mint can end: a token, or the code of the error."""

RELOADS_END = ("reloaded", "unchanged", "rejected")
"""What can become of an attempt to read the configuration anew."""

DENIALS = (CallerUnauthenticated.code, CallerForbidden.code, CallerCheckUnavailable.code)
"""Why a caller can be turned away."""


@dataclass(frozen=True, slots=True)
class Family:
    """
    One metric.

    Attributes:
        name: As it is scraped.
        kind: Its type.
        help: One sentence for its readers.
        labels: The names of its labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_HTTP = ("http_request_method", "http_response_status_code", "http_route")

SERVER_DURATION = Family(
    "http_server_request_duration_seconds",
    "histogram",
    "Time from a caller's request to the end of its response; http_route is the route's name, empty"
    " where none matched.",
    _HTTP,
)
CLIENT_DURATION = Family(
    "http_client_request_duration_seconds",
    "histogram",
    "Time from forwarding a request to the end of the upstream's response, a replay included.",
    (*_HTTP, "server_address"),
)
ACTIVE = Family(
    "http_server_active_requests", "gauge", "Requests of callers that have not been answered yet."
)
CONNECTIONS = Family("authproxy_connections", "gauge", "Open connections of callers.")
UPSTREAM_CONNECTIONS = Family(
    "authproxy_upstream_connections",
    "gauge",
    "Connections to an upstream: active with a request, idle, or connecting.",
    ("server_address", "state"),
)
UPSTREAM_WAITING = Family(
    "authproxy_upstream_waiting_requests",
    "gauge",
    "Requests that wait for a connection because the upstream has as many as it may.",
    ("server_address",),
)
UPSTREAM_RESTING = Family(
    "authproxy_upstream_resting",
    "gauge",
    "1 while an upstream is left alone after failed connection attempts in a row.",
    ("server_address",),
)
MINTS = Family(
    "authproxy_mints_total",
    "counter",
    "Attempts to get a new token; outcome is minted or the code of the error.",
    ("service_user", "outcome"),
)
MINT_DURATION = Family(
    "authproxy_mint_duration_seconds",
    "histogram",
    "Time an attempt to get a new token took, whatever its outcome.",
    ("service_user",),
)
TOKEN_EXPIRY = Family(
    "authproxy_token_expiry_timestamp_seconds",
    "gauge",
    "Until when the token at hand is used; absent without one, or if its end is not known.",
    ("service_user",),
)
TOKEN_CACHE = Family(
    "authproxy_token_cache_total",
    "counter",
    "Requests by where their token came from: cached, minted while they waited, stale (cached while"
    " renewing it fails), static.",
    ("service_user", "result"),
)
TOKEN_STALE = Family(
    "authproxy_token_stale",
    "gauge",
    "1 while the token at hand goes on being used because renewing it fails.",
    ("service_user",),
)
REVOKED = Family(
    "authproxy_service_user_revoked",
    "gauge",
    "1 while a service user gets no tokens because an operator has revoked it.",
    ("service_user",),
)
ISSUER_RESTING = Family(
    "authproxy_issuer_resting",
    "gauge",
    "1 while an issuer is left alone after token requests have failed in a row.",
    ("issuer",),
)
REPLAYS = Family(
    "authproxy_replays_total",
    "counter",
    "Requests sent once more with a new token after the upstream answered 401.",
    ("route",),
)
TOKEN_ECHOES = Family(
    "authproxy_token_echoes_total",
    "counter",
    "Responses that repeated the token they were asked for with; it was redacted, or they blocked.",
    ("route",),
)
CREDENTIAL_EXPIRY = Family(
    "authproxy_credential_expiry_timestamp_seconds",
    "gauge",
    "When a service user's key or personal access token ends; absent if that is not known.",
    ("service_user",),
)
CALLERS_DENIED = Family(
    "authproxy_callers_denied_total",
    "counter",
    "Requests refused because of who sent them; reason is the code of the error.",
    ("reason",),
)
CALLERS_REPORTED = Family(
    "authproxy_callers_reported_total",
    "counter",
    "Requests let through by mode: report that would have been refused because of who sent them;"
    " reason is the code of the error.",
    ("reason",),
)
RATE_LIMITED = Family(
    "authproxy_rate_limited_total",
    "counter",
    "Requests refused because of a limit on their rate or number at once; scope is caller, listener"
    " or upstream, name what it is called in the configuration.",
    ("scope", "name"),
)
RELOAD_SUCCESSFUL = Family(
    "authproxy_config_last_reload_successful",
    "gauge",
    "1 if the configuration was usable when it was last read, 0 if an older one goes on serving.",
)
RELOADED_AT = Family(
    "authproxy_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration that serves was read.",
)
GENERATION = Family(
    "authproxy_config_generation",
    "gauge",
    "Number of the configuration that serves, from 1; each one that takes over counts up.",
)
RELOADS = Family(
    "authproxy_config_reloads_total",
    "counter",
    "Attempts to read the configuration anew, by what became of them (outcome).",
    ("outcome",),
)
LINES_DROPPED = Family(
    "authproxy_log_lines_dropped_total",
    "counter",
    "Log lines lost because nobody read them fast enough.",
)
AUDIT_DROPPED = Family(
    "authproxy_audit_lines_dropped_total",
    "counter",
    "Lines of the audit file lost because they could not be written fast enough, or at all.",
)
BUILD = Family(
    "authproxy_build_info",
    "gauge",
    "Always 1; the labels say which authproxy runs on which Python.",
    ("version", "python_version"),
)

FAMILIES = (
    SERVER_DURATION,
    CLIENT_DURATION,
    ACTIVE,
    CONNECTIONS,
    UPSTREAM_CONNECTIONS,
    UPSTREAM_WAITING,
    UPSTREAM_RESTING,
    MINTS,
    MINT_DURATION,
    TOKEN_EXPIRY,
    TOKEN_CACHE,
    TOKEN_STALE,
    REVOKED,
    ISSUER_RESTING,
    REPLAYS,
    TOKEN_ECHOES,
    CREDENTIAL_EXPIRY,
    CALLERS_DENIED,
    CALLERS_REPORTED,
    RATE_LIMITED,
    RELOAD_SUCCESSFUL,
    RELOADED_AT,
    GENERATION,
    RELOADS,
    LINES_DROPPED,
    AUDIT_DROPPED,
    BUILD,
)
"""All of ours; `process_*` comes from prometheus_client."""


class Metrics:
    """
    What is counted in this process.

    Attributes:
        active: Requests that have not been answered yet; the gateway counts up and down.
        denied: Callers turned away, by the code of the error.
        reported: Callers that report mode let through, likewise.
        rate_limited: Requests refused because of a limit, by its scope and name.
        reload_successful: Whether the configuration was usable when it was last read.
        reloaded_at: When the one that serves was read, in seconds since the epoch; 0 if nobody said.
        generation: Its number, from 1.
        reloads: Attempts to read it anew, by outcome.
        unrouted: For requests that no route matched.
        routes: All others, by route, server address and service user.
        mints: Attempts by service user and outcome.
        mint_durations: What those took, by service user.
        recent: The failures of late; for the status page, not scraped.
    """

    def __init__(self) -> None:
        self.active = 0
        self.denied: defaultdict[str, int] = defaultdict(int, dict.fromkeys(DENIALS, 0))
        self.reported: defaultdict[str, int] = defaultdict(int, dict.fromkeys(DENIALS, 0))
        self.rate_limited: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.reload_successful = True
        self.reloaded_at = 0.0
        self.generation = 1
        self.reloads: defaultdict[str, int] = defaultdict(int, dict.fromkeys(RELOADS_END, 0))
        self.unrouted = RouteMetrics(("", "", ""), {}, {}, dict.fromkeys(RESULTS, 0))
        self.routes: dict[tuple[str, str, str], RouteMetrics] = {}
        self.mints: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.mint_durations: defaultdict[str, Cell] = defaultdict(Cell)
        self.recent = Recent()
        self._servers: dict[str, Cells] = {}
        self._clients: dict[tuple[str, str], Cells] = {}
        self._results: dict[str, dict[str, int]] = {}

    def route(self, name: str | None, server_address: str, service_user: str) -> RouteMetrics:
        """
        Return where the requests of a route are counted: the same place after a reload.

        Args:
            name: The route; None for requests that no route matched.
            server_address: Its upstream, as it is to stand in a label.
            service_user: Its service user.
        """
        if name is None:
            return self.unrouted
        key = (name, server_address, service_user)
        if key not in self.routes:
            self.routes[key] = RouteMetrics(
                key,
                self._servers.setdefault(name, {}),
                self._clients.setdefault((name, server_address), {}),
                self._results.setdefault(service_user, dict.fromkeys(RESULTS, 0)),
            )
        return self.routes[key]

    def retain(self, routes: Iterable[RouteMetrics]) -> None:
        """
        Forget all routes but these, and their service users: after a reload.
        """
        kept = {(route.name, route.server_address, route.service_user): route for route in routes}
        self.routes = kept
        self._servers = {name: route.server for (name, _, _), route in kept.items()}
        self._clients = {(name, to): route.client for (name, to, _), route in kept.items()}
        self._results = {user: route.token_results for (_, _, user), route in kept.items()}
        for user, outcome in tuple(self.mints):
            if user not in self._results:
                del self.mints[user, outcome]
                self.mint_durations.pop(user, None)

    def on_token_event(self, event: str, **facts: Any) -> None:
        """
        Count a mint; other events than the keeper's about mints are none of ours.
        """
        if event == "token.minted":
            outcome = MINTED
        elif event in {"token.mint_failed", "token.renewal_failed"}:
            outcome = facts["code"]
        else:
            return
        user = facts["service_user"]
        self.mints[user, outcome] += 1
        self.mint_durations[user].observe(facts["seconds"])

    def __repr__(self) -> str:
        return f"<Metrics of {len(self.routes)} routes, {self.active} requests active>"

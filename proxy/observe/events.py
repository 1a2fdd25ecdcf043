"""
Every event of the log, declared in one place.

The lines of requests, `request.done` and `credential.used`, are `observe.access`'s and
`observe.audit`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event.

    Attributes:
        name: `noun.verb`, as in the log.
        level: How much it matters.
        help: When it is written, in a sentence for its readers.
    """

    name: str
    level: Level
    help: str


EVENTS = (
    Event("token.minted", "info", "A new token was got."),
    Event("token.mint_failed", "warning", "An attempt failed, and there is no token."),
    Event(
        "token.renewal_failed",
        "warning",
        "An attempt failed; the token at hand goes on being used.",
    ),
    Event(
        "token.dropped",
        "info",
        "A token was taken away: expired, refused, rotated or revoked (reason).",
    ),
    Event(
        "token.refused",
        "warning",
        "An upstream answered 401 to a token, and another would not help at once.",
    ),
    Event(
        "issuer.left_alone",
        "warning",
        "Token requests failed in a row: mints are held back, the issuer is knocked at.",
    ),
    Event("issuer.recovered", "info", "An issuer that was left alone is well again."),
    Event(
        "clock.skewed",
        "warning",
        "This host's clock differs from an issuer's; assertions bear the issuer's time.",
    ),
    Event(
        "clock.leapt",
        "warning",
        "The wall clock leapt: tokens are taken to be older by as much.",
    ),
    Event("credential.reloaded", "info", "A credential's files have changed and were taken over."),
    Event(
        "credential.unreadable",
        "warning",
        "A credential's files cannot be read or used; what was read before goes on being used.",
    ),
    Event(
        "credential.switched",
        "warning",
        "A credential was refused; the service user's next one is in use.",
    ),
    Event(
        "credential.expiring",
        "warning",
        "A key or personal access token ends within 30, 14, 3 or 1 days, or has ended.",
    ),
    Event(
        "credential.dead",
        "error",
        "The issuer no longer knows a personal access token; it is not sent any more.",
    ),
    Event("credential.revived", "info", "A dead personal access token is known again."),
    Event(
        "service_user.revoked",
        "warning",
        "An operator revoked a service user: its tokens are dropped, it gets no more.",
    ),
    Event("service_user.allowed", "info", "An operator allowed a revoked service user again."),
    Event(
        "store.failed", "warning", "Tokens cannot be shared at the moment; they are minted here."
    ),
)
"""In the order of a token's life."""

REQUEST_EVENTS = (
    Event(
        "token.echoed",
        "warning",
        "An upstream repeated the token in a response: it was redacted, or the response blocked.",
    ),
)
"""Of single requests, beside their own line; with its `request_id`."""

CALLER_EVENTS = (
    Event(
        "caller.denied",
        "warning",
        "A caller may not use a listener or route: it was denied, or let through in report mode"
        " (enforced); the same at most every ten seconds (suppressed).",
    ),
)
"""Of whoever calls."""

PROCESS_EVENTS = (
    Event(
        "proxy.started",
        "info",
        "The proxy serves: the addresses callers and operators connect to (listen, admin).",
    ),
    Event(
        "proxy.draining",
        "info",
        "The proxy is on its way down (reason: told, or handed over); what is in flight ends first.",
    ),
    Event("proxy.handing_over", "info", "A new process is started to take this one's place."),
    Event(
        "proxy.handed_over",
        "info",
        "The new process (pid) serves on the same sockets; this one ends what is in flight.",
    ),
    Event(
        "proxy.handover_failed",
        "error",
        "The new process does not serve (reason); this one goes on.",
    ),
    Event(
        "proxy.took_over", "info", "This process serves in the place of the one that started it."
    ),
    Event(
        "socket.unused",
        "warning",
        "A socket passed to this process is not used (reason): no listener fits it, or it is none.",
    ),
    Event("proxy.stopped", "info", "The proxy has ended; nothing is written after this line."),
    Event(
        "limits.lowered",
        "warning",
        "The system allows too few open files for a limit of the settings; a lower one is in force.",
    ),
    Event(
        "connections.full",
        "warning",
        "A caller could not connect: as many are connected as may be, or no file can be opened.",
    ),
    Event(
        "certificate.reloaded", "info", "A listener's certificate has changed and is in use now."
    ),
    Event(
        "certificate.rejected",
        "warning",
        "A listener's changed certificate or key cannot be used; the one before stays in use.",
    ),
    Event("certificate.expiring", "warning", "A listener's certificate ends within days."),
    Event("certificate.expired", "warning", "A listener's certificate has ended."),
    Event(
        "log.dropped",
        "warning",
        "Log lines were lost because nobody read them fast enough (lines: how many).",
    ),
    Event(
        "traces.lost",
        "warning",
        "Spans did not reach the collector (spans: how many, reason); told once a minute.",
    ),
    Event(
        "traces.unavailable",
        "warning",
        "The environment asks for traces, and what makes them is not installed.",
    ),
    Event(
        "audit.dropped",
        "warning",
        "Lines of the audit file were lost: they could not be written fast enough, or at all.",
    ),
    Event(
        "coredumps.on", "debug", "A crash of this process may write its memory to a file (reason)."
    ),
    Event("internal.error", "error", "A bug: the traceback, and the request it happened in."),
)
"""Of the process and what it serves with."""

CONFIG_EVENTS = (
    Event("config.warning", "warning", "The configuration works, and something in it is doubtful."),
    Event(
        "config.reloaded",
        "info",
        "Another configuration serves: what asked for it (trigger: signal, file, request), its number"
        " (generation), what changed, and the service users that have no token yet (without_token).",
    ),
    Event(
        "config.rejected",
        "error",
        "What was read cannot be used (problems); what served before goes on.",
    ),
    Event("config.unchanged", "info", "What was read again is what serves already."),
)
"""Of the configuration."""

LEVELS = {event.name: event.level for event in EVENTS}

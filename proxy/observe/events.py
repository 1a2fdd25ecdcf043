"""
Every event of tokens, credentials and issuers in the log, declared in one place.

The request's own line and its keys are `observe.access`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning", "error"]


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

LEVELS = {event.name: event.level for event in EVENTS}

"""
events.md: every event of the log, as `observe.events` declares it, and the keys of the lines that are
written for each request.
"""

from __future__ import annotations

from typing import Final

from proxy.observe import events
from proxy.observe.events import Event
from tools.reference.page import page, table

INTRO: Final = """\
The log is one JSON object a line on standard output, or what [`log.format`](configuration.md#log-format) says instead. Every line has `timestamp` (RFC 3339, UTC, milliseconds), `level` and `event`. Lines of single requests have their
`request_id`, which the caller got as `X-Request-Id`. No line holds a token, a key, a secret or a query string. A terminal gets the same for people.
Lines of level debug are written only with [`log.level: debug`](configuration.md#log-level)."""

TITLES: Final = {
    "EVENTS": "Tokens, credentials and issuers",
    "REQUEST_EVENTS": "Requests, beside their own line",
    "CALLER_EVENTS": "Callers",
    "PROCESS_EVENTS": "The process",
    "CONFIG_EVENTS": "The configuration",
}
"""Headings of the groups; one that is missing is made of the group's name."""

DONE: Final = {
    "request_id": "what the caller got as `X-Request-Id`; the upstream was sent it too",
    "trace_id": "the trace's id: the caller's, by its `traceparent`, or a new one where [traces](../howto/observe.md#traces) are on; else null",
    "client": "address and port of the connection; over a Unix socket who is at its other end",
    "caller": "the caller's name in `callers`; null if nobody had to say who they are",
    "method": "the request's method; null if what came was no request",
    "path": "the request's path, without its query",
    "route": "the route's name; null if none matched",
    "service_user": "as whom it was sent",
    "upstream": "the origin it was meant for",
    "status": "what the caller was answered; 499 if it left before (never sent)",
    "upstream_status": "what the upstream answered; null if it did not",
    "error": "code and reason if something went wrong, such as `mint_timeout: …`, `token_refused`, `caller_left`; else null",
    "token": "where the token came from: `cached`, `minted` (the request waited for it), `stale` (still good, but its renewal is failing), `static` (a personal access token); null if none was needed",
    "replayed": "whether it was sent once more after a 401",
    "bytes_in": "bytes of the request's body",
    "bytes_out": "bytes of the response's body",
    "duration_ms": "from the request's first byte to the answer's last, in milliseconds",
    "token_ms": "what of it was waiting for a token",
    "upstream_ms": "what of it was the upstream's; null if it was not asked",
    "upstream_request_id": "the upstream's own request id, if it answered with another one; else the key is missing",
}
"""The keys of `request.done`, in the order of the line."""

USED: Final = {
    "request_id": "as in `request.done`",
    "caller": "as in `request.done`",
    "client": "as in `request.done`",
    "listener": "the listener's address",
    "service_user": "whose token went",
    "route": "which route sent it",
    "method": "the request's method",
    "path": "the request's path, without its query",
    "upstream": "the origin it went to",
    "status": "what the caller was answered",
    "token": "the token's fingerprint: HMAC-SHA256 with the [key](configuration.md#audit-hmac_key), 16 hex digits",
    "replayed": "whether a second token went as well",
}
"""The keys of `credential.used`, in the order of the line."""


def groups() -> dict[str, tuple[Event, ...]]:
    """
    Return every group of declared events by its name in `observe.events`, as they stand there.
    """
    return {
        name: value
        for name, value in vars(events).items()
        if isinstance(value, tuple) and value and all(isinstance(each, Event) for each in value)
    }


def render() -> str:
    """
    Return the page.
    """
    parts = [
        INTRO,
        "## request.done",
        "One line for each request, level info, once it has ended.",
        table(("key", "meaning"), [(f"`{key}`", said) for key, said in DONE.items()]),
        "## credential.used",
        "One line for each request that took a token upstream, if [`audit`](configuration.md#audit-to) asks for that record.",
        table(("key", "meaning"), [(f"`{key}`", said) for key, said in USED.items()]),
    ]
    for name, group in groups().items():
        title = TITLES.get(name) or name.removesuffix("_EVENTS").replace("_", " ").capitalize()
        rows = [
            (f'<a id="{_anchor(each)}"></a>`{each.name}`', each.level, each.help) for each in group
        ]
        parts += [f"## {title}", table(("event", "level", "meaning"), rows)]
    return page("Events of the log", *parts)


def _anchor(event: Event) -> str:
    return event.name.replace(".", "-")

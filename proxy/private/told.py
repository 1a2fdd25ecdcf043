"""
A private proxy's log: nothing while all is well, a sentence where something is not.

The program that uses the proxy owns the terminal, so only what explains a failure is said: requests
this proxy answered itself, tokens an upstream refused, mints that failed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

QUIET: Final = frozenset(("debug", "info"))

GONE: Final = 499
"""What the log has for a request whose program hung up: it knows."""

LABELS: Final = frozenset(("timestamp", "level", "event", "service_user", "reason", "exception"))
"""Facts that need no name, or that nobody at a terminal reads."""


class Told:
    """
    Takes log lines and says what matters, each sentence once in a row.

    Args:
        say: Says one sentence.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def put(self, piece: bytes) -> None:
        """
        Take whole lines.
        """
        for line in piece.splitlines():
            for sentence in sentences(json.loads(line)) if line else ():
                if sentence != self._last:
                    self._say(sentence)
                self._last = sentence


def sentences(record: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield what a person should be told of one log record.
    """
    if record["event"] == "request.done":
        yield from _of_request(record)
    elif record["level"] not in QUIET:
        who = f"{record['service_user']}: " if record.get("service_user") else ""
        rest = ", ".join(f"{key} {value}" for key, value in record.items() if key not in LABELS)
        why = record.get("reason") or rest
        yield f"{who}{record['event']}{f': {why}' if why else ''}"


def _of_request(record: Mapping[str, Any]) -> Iterator[str]:
    asked = (
        f"{record['method']} {record['path'] or ''}".rstrip() if record["method"] else "a request"
    )
    if record["status"] == 401 and record["upstream_status"] == 401:
        yield (
            f"{asked}: the upstream of route {record['route']} answered 401 to the token of "
            f"{record['service_user']}; `authproxy check --online` says what the issuer thinks of "
            "it, and its scopes or audience_projects may lack this upstream"
        )
    elif record["method"] == "CONNECT":
        yield (
            "the program asked for a tunnel (CONNECT), in which no token can be attached: clients do "
            "so for https:// URLs, also for one that a redirect names, and some for http:// URLs, "
            "too; write http://, set redirects: rewrite on the route, or use the base URL"
        )
    elif record["error"] and record["status"] != GONE:
        yield f"{asked}: {record['status']} {record['error']}"

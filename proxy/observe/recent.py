"""
The failures of late, for the person who looks at the status page.

Theory of operation
-------------------
Failures that have route, service user, status and code in common are one kind: a flood of requests
that match no route must not push out the one upstream that went down meanwhile. A kind remembers how
often it happened and its last occurrence; the kinds that have been quiet the longest are forgotten.

What is kept is what the access line says: no query, no credential.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Key: TypeAlias = tuple[str | None, str | None, int, str]

KINDS = 50
"""Kinds of failure that are remembered."""

EXAMPLES = 5
"""Request ids that are remembered of each kind."""

LONGEST = 200
"""Characters of a path or a reason that are kept."""


class Failure:
    """
    One kind of failure.

    Attributes:
        route: The route; None where none matched.
        service_user: Whose token the route attaches; None without a route.
        status: What the caller got.
        code: The error's code; empty if the answer is the upstream's.
        reason: Why, in words, the last time.
        method: Of the last such request; None for what was no request.
        path: Of the last such request, without its query; None for what was no request.
        request_ids: Of the last such requests, the newest first.
        times: How often it happened.
        first: Boot-clock seconds when it was seen first.
        last: Boot-clock seconds when it was seen last.
    """

    __slots__ = (
        "code",
        "first",
        "last",
        "method",
        "path",
        "reason",
        "request_ids",
        "route",
        "service_user",
        "status",
        "times",
    )

    def __init__(self, key: Key, now: float) -> None:
        self.route, self.service_user, self.status, self.code = key
        self.reason = ""
        self.method: str | None = None
        self.path: str | None = None
        self.request_ids: deque[str] = deque(maxlen=EXAMPLES)
        self.times = 0
        self.first = self.last = now

    def __repr__(self) -> str:
        return f"<Failure {self.status} {self.code or 'of the upstream'}, {self.times} times>"


class Recent:
    """
    The failures of late, by kind.
    """

    def __init__(self) -> None:
        self._kinds: dict[Key, Failure] = {}  # the one seen last comes last

    def note(self, line: Mapping[str, Any], now: float) -> None:
        """
        Remember a request that failed.

        Args:
            line: Its access line.
            now: Boot-clock seconds.
        """
        code, _, reason = (line["error"] or "").partition(": ")
        key = (line["route"], line["service_user"], line["status"], code)
        failure = self._kinds.pop(key, None) or Failure(key, now)
        self._kinds[key] = failure
        if len(self._kinds) > KINDS:
            del self._kinds[next(iter(self._kinds))]
        failure.times += 1
        failure.last = now
        failure.reason = reason[:LONGEST] or _words(code, line["upstream_status"])
        failure.method = line["method"]
        failure.path = None if line["path"] is None else line["path"][:LONGEST]
        failure.request_ids.appendleft(line["request_id"])

    def failures(self) -> tuple[Failure, ...]:
        """
        Return each kind, the one seen last first.
        """
        return tuple(reversed(self._kinds.values()))

    def __repr__(self) -> str:
        return f"<Recent of {len(self._kinds)} kinds>"


def _words(code: str, upstream_status: int | None) -> str:
    if code == "caller_left":
        return "the caller left before the response had ended"
    return "" if upstream_status is None else f"the upstream answered {upstream_status}"

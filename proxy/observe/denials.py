"""
Says in the log which callers were denied, and not once per request: a flood of them must not
become a flood of lines, and the number left out is said with the next one.

Each request has its own line anyway; this event is for whoever watches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from proxy.errors import ProxyError

AGAIN: Final = 10.0
"""Seconds before the same is said again: same reason, listener, route and caller."""

MOST: Final = 4096
"""How many of those are told apart; they are made of configured names, and go with reloads."""


class Denials:
    """
    Writes `caller.denied`.

    Args:
        log: Where it is written.
        now: Returns boot-clock seconds.
    """

    def __init__(self, log: FilteringBoundLogger, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._said: dict[tuple[object, ...], list[float]] = {}  # when, and how many since

    def say(
        self,
        error: ProxyError,
        listener: str,
        *,
        route: str | None,
        caller: str | None,
        client: str,
        enforced: bool,
    ) -> None:
        """
        Say it, unless the same was said a moment ago.

        Args:
            error: Why.
            listener: Where the caller came in.
            route: Where to; None if it did not come so far.
            caller: Who it is; None for nobody known.
            client: Where it connects from.
            enforced: It was denied, and not let through in report mode.
        """
        key = (error.code, listener, route, caller, enforced)
        now = self._now()
        said = self._said.get(key)
        if said is not None and now - said[0] < AGAIN:
            said[1] += 1
            return
        if said is None and len(self._said) >= MOST:
            self._said.clear()
        suppressed = 0 if said is None else int(said[1])
        self._said[key] = [now, 0]
        self._log.warning(
            "caller.denied",
            listener=listener,
            route=route,
            caller=caller,
            client=client,
            reason=error.code,
            detail=error.reason,
            enforced=enforced,
            suppressed=suppressed,
        )

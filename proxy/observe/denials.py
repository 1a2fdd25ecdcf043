"""
Says in the log which callers were denied, and not once per request: a flood of them must not
become a flood of lines, and the number left out is said with the next one.

Each request has its own line anyway; this event is for whoever watches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.observe.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from proxy.errors import ProxyError


class Denials:
    """
    Writes `caller.denied`.

    Args:
        log: Where it is written.
        now: Returns boot-clock seconds.
    """

    def __init__(self, log: FilteringBoundLogger, now: Callable[[], float]) -> None:
        self._log = log
        self._seldom = Seldom(now)

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
        Say it, unless the same was said a moment ago: same reason, listener, route and caller.

        Args:
            error: Why.
            listener: Where the caller came in.
            route: Where to; None if it did not come so far.
            caller: Who it is; None for nobody known.
            client: Where it connects from.
            enforced: It was denied, and not let through in report mode.
        """
        suppressed = self._seldom.suppressed((error.code, listener, route, caller, enforced))
        if suppressed is None:
            return
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

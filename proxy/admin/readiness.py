"""
Whether new requests should be sent to this proxy, for orchestrators and load balancers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.tokens.keeper import Keeper

WELL: Final = frozenset(("ready", "stale", "idle", "refused", "revoked"))
"""Conditions of a service user that readiness does not wait for."""

GOOD: Final = frozenset(("ready", "stale", "idle"))
"""Conditions that are told with a plus."""


def readiness(
    keeper: Keeper, *, draining: bool, left_out: frozenset[str]
) -> tuple[bool, list[str]]:
    """
    Say whether the proxy is ready, and how each service user fares, a line each.

    Args:
        keeper: Holds the service users' tokens.
        draining: The proxy is on its way down.
        left_out: Names of service users that are not waited for.
    """
    states = keeper.states()
    waiting = {state.name for state in states if state.required and state.condition not in WELL}
    well = keeper.ready() or bool(left_out and waiting <= left_out)
    lines = ["[-] shutting down"] if draining else []
    for state in states:
        sign = "+" if state.condition in GOOD else "-"
        why = f": {state.last_error}" if state.last_error else ""
        out = " (left out)" if state.name in left_out else ""
        lines.append(f"[{sign}] {state.name} {state.condition}{why}{out}")
    if not left_out.issubset(state.name for state in states):
        lines.append("[?] a name to be left out is none of a service user")
    return well and not draining, lines

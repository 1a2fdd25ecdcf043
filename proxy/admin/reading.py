"""
What the metrics do not count because it can be looked up: connections and expiries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.observe.reading import Reading, UpstreamReading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.generation import Generation, Lane
    from proxy.wire.pool import Pool


def read(
    generation: Generation,
    wall: float,
    *,
    connections: int = 0,
    lines_dropped: int = 0,
    audit_dropped: int = 0,
) -> Reading:
    """
    Look at a generation.

    Args:
        generation: The generation of the moment.
        wall: Seconds since the epoch.
        connections: Callers' open connections.
        lines_dropped: Log lines lost so far.
        audit_dropped: Lines of the audit file lost so far.
    """
    keeper = generation.keeper
    states = keeper.states()
    credentials = ((state.name, keeper.slot(state.name).credential) for state in states)
    lanes = (route.action for route in generation.table.routes)
    return Reading(
        connections=connections,
        upstreams={address: _upstream(pools) for address, pools in _pools(lanes).items()},
        minting=tuple(state.name for state in states if state.method != "personal_access_token"),
        token_expiry={
            # Whole seconds: what is left of a life is measured anew each time
            state.name: round(wall + state.expires_in)
            for state in states
            if state.expires_in is not None
        },
        token_stale={
            state.name: state.condition == "stale"
            for state in states
            if state.method != "personal_access_token"
        },
        revoked={state.name: state.condition == "revoked" for state in states},
        issuer_resting=keeper.resting(),
        credential_expiry={
            name: credential.expires
            for name, credential in credentials
            if credential.expires is not None
        },
        lines_dropped=lines_dropped,
        audit_dropped=audit_dropped,
    )


def _pools(lanes: Iterable[Lane]) -> Mapping[str, set[Pool]]:
    """
    Return the pools by server address; several routes may share one.
    """
    pools: dict[str, set[Pool]] = {}
    for lane in lanes:
        pools.setdefault(lane.metrics.server_address, set()).add(lane.pool)
    return pools


def _upstream(pools: Iterable[Pool]) -> UpstreamReading:
    """
    Return how the pools of one server address fare together.
    """
    states = tuple(pool.state() for pool in pools)
    idle = sum(state.idle for state in states)
    return UpstreamReading(
        active=sum(state.open for state in states) - idle,
        idle=idle,
        connecting=sum(state.connecting for state in states),
        waiting=sum(state.waiting for state in states),
        resting=any(state.resting for state in states),
    )

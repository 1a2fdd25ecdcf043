"""
What callers and upstreams may use up: the settings as the wire counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.wire.limits import Limits, PoolLimits

if TYPE_CHECKING:
    from proxy.config import model


def caller_limits(settings: model.Settings) -> Limits:
    """
    Return what callers may use up.
    """
    said = settings.limits
    return Limits(
        target=said.target,
        head=said.head,
        headers=said.headers,
        body=said.body,
        connections=said.connections,
        in_flight=said.in_flight,
        head_time=said.head_time,
        body_time=said.body_time,
        body_rate=said.body_rate,
        idle_time=said.idle_time,
    )


def pool_limits(settings: model.Settings) -> PoolLimits:
    """
    Return what the connections to one origin may use up.
    """
    said = settings.pools
    return PoolLimits(
        connections=said.connections,
        idle=said.idle,
        age=said.age,
        queue=said.queue,
        wait=said.wait,
        failures=said.failures,
    )

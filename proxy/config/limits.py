"""
What callers may use up, and the connections to upstreams.

The defaults are those of `proxy.wire.limits`, which says what each number means to the wire; a
test holds the two against each other.
"""

from __future__ import annotations

from typing import Annotated

from proxy.config.quantity import GIB, KIB, MIB, count, duration, setting, size
from proxy.config.section import Section

HOUR = 3600.0


class Limits(Section):
    """
    What callers may use up; each with its unit. A time is kept up to half a second late.
    """

    target: Annotated[int, size(KIB, 256 * KIB)] = setting(
        "8KiB", "Longest request target (path and query); a longer one is answered 414."
    )
    head: Annotated[int, size(KIB, MIB)] = setting(
        "64KiB", "Largest header section, and trailer section; a larger one is answered 431."
    )
    headers: Annotated[int, count(8, 4096)] = setting(
        128, "Most header lines of one request; more are answered 431."
    )
    body: Annotated[int, size(1, 1024 * GIB, off=True)] = setting(
        "off", "Largest request body; a larger one is answered 413. off: any size."
    )
    connections: Annotated[int, count(1, 1_000_000)] = setting(
        16384,
        "Most callers' connections at once, over all listeners; one more is answered 503. Lowered "
        "at start where the system allows too few open files.",
    )
    in_flight: Annotated[int, count(1, 1_000_000, off=True)] = setting(
        "off", "Most requests served at once; one more is answered 503. off: as many as connect."
    )
    head_time: Annotated[float, duration(0.1, HOUR)] = setting(
        "10s", "Longest time from a request's first byte to the end of its headers; then 408."
    )
    body_time: Annotated[float, duration(0.1)] = setting(
        "30s", "Longest silence while a request's body is awaited; then 408."
    )
    body_rate: Annotated[int, size(1, GIB, off=True)] = setting(
        "240B",
        "Least bytes a second, on average, of a request's body; a slower one is answered 408. "
        "off: any that meets body_time.",
    )
    idle_time: Annotated[float, duration(0.1)] = setting(
        "75s", "How long a caller's connection may rest between requests before it is closed."
    )


class Pools(Section):
    """
    The connections to each upstream; each with its unit.
    """

    connections: Annotated[int, count(1, 65_535)] = setting(
        1024, "Most connections to one upstream at once."
    )
    idle: Annotated[float, duration(0.1)] = setting(
        "30s",
        "How long an unused connection is kept; less than the upstream keeps it, so that no "
        "request meets a closing door.",
    )
    age: Annotated[float, duration(1.0, off=True)] = setting(
        "10m",
        "How long a connection is used at all, so that a change in the DNS is followed. off: "
        "as long as it lasts.",
    )
    queue: Annotated[int, count(0, 1_000_000)] = setting(
        1024, "Most requests that wait for a connection while all are in use; one more is 503."
    )
    wait: Annotated[float, duration(0.001, HOUR)] = setting(
        "5s", "Longest time each of them waits; then 503."
    )
    failures: Annotated[int, count(1, 1000, off=True)] = setting(
        5,
        "Attempts to connect that fail in a row before the upstream is left alone for a while, its "
        "requests answered 503 at once. off: it is tried each time.",
    )

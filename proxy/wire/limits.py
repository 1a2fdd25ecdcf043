"""
What a caller may use up, and how long an upstream may take.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What callers may use up.

    Attributes:
        target: Bytes of the request target. 8 KiB: RFC 9112 §3 asks for at least 8,000.
        head: Bytes of a header section; of a trailer section too.
        headers: Header lines of one request.
        body: Bytes of a request's body; 0 for no limit.
        burst: Requests that one read from the connection may bring.
        connections: Callers' connections at once, over all listeners.
        in_flight: Requests being served at once; 0 for no limit but that of connections.
        head_time: Seconds from a head's first byte to its last.
        body_time: Seconds without a body byte while one is awaited.
        body_rate: Bytes per second a body must bring on average; 0 for no minimum. 240: Kestrel's
            default, a tenth of what a slow modem brings.
        body_grace: Seconds a body may at first fall behind that.
        idle_time: Seconds a connection may rest between requests.
        linger_time: Seconds for which a closing connection's bytes are still read.
        waste: Body bytes read and thrown away after an early answer before the connection closes.
    """

    target: int = 8 * 1024
    head: int = 64 * 1024
    headers: int = 128
    body: int = 0
    burst: int = 128
    connections: int = 16_384
    in_flight: int = 0
    head_time: float = 10.0
    body_time: float = 30.0
    body_rate: float = 240.0
    body_grace: float = 10.0
    idle_time: float = 75.0
    linger_time: float = 2.0
    waste: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    How long an upstream may take, in seconds.

    Attributes:
        connect: Until a connection stands, TLS included.
        response: From the last byte sent until the response's head.
        idle: Without a byte in either direction once the response has begun.
        request: From the request's head to the response's last byte; 0 for no such deadline.
    """

    connect: float = 5.0
    response: float = 60.0
    idle: float = 75.0
    request: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """
    What the connections to one origin may use up.

    Attributes:
        connections: Connections at once.
        idle: Seconds a connection may rest. Below the common servers': nginx 75 s, Go 90 s and more.
        age: Seconds after which a connection is not used again, so that a change in the DNS is
            followed; 0 for no limit.
        queue: Requests that may wait for a connection while all are in use.
        wait: Seconds each of them may wait.
        failures: Attempts to connect that fail in a row before the origin is left alone for a
            while; 0 for never.
        rest: Seconds it is left alone at first; doubles up to `longest_rest`.
        longest_rest: Seconds it is left alone at most.
    """

    connections: int = 1024
    idle: float = 30.0
    age: float = 600.0
    queue: int = 1024
    wait: float = 5.0
    failures: int = 5
    rest: float = 0.5
    longest_rest: float = 10.0


DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_POOL_LIMITS = PoolLimits()

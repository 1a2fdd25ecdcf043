"""
What goes wrong on request: one registry of names, and which of them are on.

A fault stays on until it is cleared, or for a number of times. The *slow* ones hold the request
until the fault is cleared or their seconds have passed, so a test needs no sleep: set it, wait for
the request to arrive, clear it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long a slow fault holds a request if nothing else is said, in seconds.
DEFAULT_HOLD = 10.0

# A new fault is a row here and a `take`, `on` or `hold` where it happens.
FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "token-500": "the token endpoint answers 500 server_error, as with a database in trouble",
        "token-503": "the token endpoint answers 503 in plain text",
        "token-429": "the token endpoint answers 429 in plain text: instance blocked by its quota",
        "token-slow": "the token endpoint holds its answer (value: seconds, 10 by default)",
        "token-html": "the token endpoint answers 200 with an HTML page",
        "token-empty": "the token endpoint answers 200 with no body",
        "token-garbage": "the token endpoint answers 200 with a body that is not JSON",
        "token-huge": "the token endpoint answers 200 with a JSON body of 2 MiB",
        "token-redirect": "the token endpoint answers 307 to another host",
        "token-close": "the token endpoint closes the connection without an answer",
        "no-access-token": "the token answer lacks access_token",
        "no-expires-in": "the token answer lacks expires_in",
        "odd-expires-in": "the token answer's expires_in is no sane number (value: what instead)",
        "discovery-500": "discovery answers 500",
        "discovery-slow": "discovery holds its answer (value: seconds, 10 by default)",
        "discovery-wrong-issuer": "discovery names another issuer than the one asked",
        "introspection-500": "introspection answers 500; the backend then answers 503",
        "introspection-inactive": "introspection calls every token inactive",
        "api-401": "the APIs refuse every token as AUTH-7fs1e",
        "api-429": "the APIs answer 429: instance blocked by its limits",
        "api-500": "the APIs answer 500, code 13",
        "api-slow": "the APIs hold their answer (value: seconds, 10 by default)",
        "revoke-once": "the next valid token shown to an API or the backend is revoked (once)",
        "backend-slow": "the backend holds its answer (value: seconds, 10 by default)",
        "backend-close": "the backend closes the connection without an answer",
        "projection-lag": "a new user, key or secret stays unknown for a while",
        "clock-behind": "the issuer's clock is behind (value: seconds, 300 by default)",
        "not-ready": "/debug/ready answers 412",
    }
)

# Faults that make sense a single time.
ONCE = frozenset({"revoke-once"})


class UnknownFaultError(ValueError):
    """
    No fault has this name; the message lists those that exist.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no fault {name[:64]!r}; there are: {', '.join(FAULTS)}")


@dataclass(slots=True)
class _Fault:
    times: int | None
    value: str | float | None
    cleared: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    """
    The faults that are on. Changed by whoever runs the sandbox, read by its handlers.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self._on: dict[str, _Fault] = {}
        for name in names:
            self.set(name)

    def set(self, name: str, *, times: int | None = None, value: str | float | None = None) -> None:
        """
        Switch a fault on; one that is on already starts anew.

        Args:
            name: A key of `FAULTS`.
            times: How many requests it hits; None until it is cleared.
            value: What the fault's description calls value; None for its default.

        Raises:
            UnknownFaultError: No fault has this name.
        """
        if name not in FAULTS:
            raise UnknownFaultError(name)
        self.clear(name)
        self._on[name] = _Fault(1 if times is None and name in ONCE else times, value)

    def clear(self, name: str | None = None) -> None:
        """
        Switch a fault off, or all of them; requests it holds go on.

        Raises:
            UnknownFaultError: No fault has this name.
        """
        if name is not None and name not in FAULTS:
            raise UnknownFaultError(name)
        for each in [name] if name is not None else list(self._on):
            fault = self._on.pop(each, None)
            if fault is not None:
                fault.cleared.set()

    def on(self, name: str) -> bool:
        """
        Tell whether a fault is on, without using it up.
        """
        fault = self._on.get(name)
        return fault is not None and fault.times != 0

    def take(self, name: str) -> bool:
        """
        Tell whether a fault hits now, and use up one of its times.
        """
        if not self.on(name):
            return False
        fault = self._on[name]
        if fault.times is not None:
            fault.times -= 1  # at 0 it stays in the map: clearing must still free what it holds
        return True

    def value(self, name: str) -> str | float | None:
        """
        Return the value a fault was set with; None if it is off or has none.
        """
        fault = self._on.get(name)
        return None if fault is None else fault.value

    def seconds(self, name: str, default: float) -> float:
        """
        Return a fault's value as seconds, *default* if it has none or no sane one.
        """
        try:
            seconds = float(self.value(name) or default)
        except ValueError:
            return default
        return min(seconds, 3_600.0) if seconds >= 0 else default

    async def hold(self, name: str) -> None:
        """
        Wait until a slow fault is cleared or its seconds have passed; at once if it is off.
        """
        if not self.take(name):
            return
        try:
            async with asyncio.timeout(self.seconds(name, DEFAULT_HOLD)):
                await self._on[name].cleared.wait()
        except TimeoutError:
            return

    def names(self) -> tuple[str, ...]:
        """
        Return the names of the faults that are on.
        """
        return tuple(name for name in self._on if self.on(name))

    def __repr__(self) -> str:
        return f"<Faults {', '.join(self.names()) or 'none'}>"

"""
What goes wrong on request: which faults are on, with which value, and how often yet.

A fault stays on until it is cleared, or for a number of times. The *slow* ones hold the request
until the fault is cleared or their seconds have passed, so a test needs no sleep: set it, wait for
the request to arrive, clear it. Which faults there are is in `fault_list`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import cast

from proxy.sandbox.fault_list import FAULTS, ROWS
from proxy.sandbox.fault_values import FaultValueError


class UnknownFaultError(ValueError):
    """
    No fault has this name; the message names those that look like it.
    """

    def __init__(self, name: str) -> None:
        near = get_close_matches(name[:64], FAULTS)
        hint = f"; perhaps {' or '.join(near)}" if near else ""
        super().__init__(f"no fault {name[:64]!r}{hint}")


@dataclass(frozen=True, slots=True)
class State:
    """
    How it stands with one fault.

    Attributes:
        on: Whether it hits the next request it is about.
        value: The value it was set with, or its default while it is on; None if it has none.
        times_left: How many requests it still hits; None without a limit, 0 while it is off.
    """

    on: bool
    value: object
    times_left: int | None


@dataclass(slots=True)
class _Fault:
    times: int | None
    value: object
    cleared: asyncio.Event = field(default_factory=asyncio.Event)


def parse_fault(text: str) -> tuple[str, str | None]:
    """
    Return name and value of `NAME` or `NAME=VALUE`; the value as written, None without one.

    Raises:
        UnknownFaultError: No fault has this name.
        FaultValueError: The value makes no sense, or one is missing.
    """
    name, equals, rest = text.partition("=")
    value = rest if equals else None
    _value(name, value)
    return name, value


def _value(name: str, value: str | float | None) -> object:
    """
    Return what a fault works with: its value as its row reads it, or its default.
    """
    if name not in ROWS:
        raise UnknownFaultError(name)
    row = ROWS[name]
    if value is None:
        if row.needed and row.kind is not None:
            raise FaultValueError(name, f"needs a value ({row.kind.what}); write {name}=VALUE")
        return row.default
    if row.kind is None:
        raise FaultValueError(name, "takes no value")
    try:
        return row.kind.read(value if isinstance(value, str) else json.dumps(value))
    except ValueError as exc:
        raise FaultValueError(name, str(exc)) from None


class Faults:
    """
    The faults that are on. Changed by whoever runs the sandbox, read by its handlers.

    Args:
        chosen: Those that are on from the start, each `NAME` or `NAME=VALUE`.
    """

    def __init__(self, chosen: tuple[str, ...] = ()) -> None:
        self._on: dict[str, _Fault] = {}
        for text in chosen:
            name, value = parse_fault(text)
            self.set(name, value=value)

    def set(self, name: str, *, times: int | None = None, value: str | float | None = None) -> None:
        """
        Switch a fault on; one that is on already starts anew.

        Args:
            name: A key of `FAULTS`.
            times: How many requests it hits; None until it is cleared.
            value: What the fault's description calls value; None for its default.

        Raises:
            UnknownFaultError: No fault has this name.
            FaultValueError: The value makes no sense, or one is missing.
        """
        meant = _value(name, value)
        self.clear(name)
        self._on[name] = _Fault(1 if times is None and ROWS[name].once else times, meant)

    def clear(self, name: str | None = None) -> None:
        """
        Switch a fault off, or all of them; requests it holds go on.

        Raises:
            UnknownFaultError: No fault has this name.
        """
        if name is not None and name not in ROWS:
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

    def value(self, name: str) -> object:
        """
        Return the value a fault was set with, or its default; None if it has neither.
        """
        fault = self._on.get(name)
        return ROWS[name].default if fault is None else fault.value

    def text(self, name: str) -> str:
        """
        Return a fault's value as text, empty if it has none.
        """
        value = self.value(name)
        return "" if value is None else str(value)

    def seconds(self, name: str) -> float:
        """
        Return the value of a fault whose value is seconds.
        """
        return cast("float", self.value(name))

    async def hold(self, name: str) -> None:
        """
        Wait until a slow fault is cleared or its seconds have passed; at once if it is off.
        """
        if self.take(name):
            await self.pause(name, None if ROWS[name].kind is None else self.seconds(name))

    async def pause(self, name: str, seconds: float | None) -> bool:
        """
        Wait for a fault that hit to be cleared.

        Args:
            name: The fault.
            seconds: How long to wait at most; None without end.

        Returns:
            Whether it was cleared in that time; True at once if it is not set any more.
        """
        fault = self._on.get(name)
        if fault is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                return await fault.cleared.wait()
        except TimeoutError:
            return False

    def names(self) -> tuple[str, ...]:
        """
        Return the names of the faults that are on.
        """
        return tuple(name for name in self._on if self.on(name))

    def state(self, name: str) -> State:
        """
        Return how it stands with one fault.
        """
        fault = self._on.get(name)
        if fault is None or not self.on(name):
            return State(on=False, value=None, times_left=0)
        return State(on=True, value=fault.value, times_left=fault.times)

    def __repr__(self) -> str:
        return f"<Faults {', '.join(self.names()) or 'none'}>"

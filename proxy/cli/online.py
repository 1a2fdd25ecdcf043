"""
`authproxy check --online`: what the issuers say of the service users, as it comes in.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import textwrap
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from proxy.checkup.course import Checkup
from proxy.checkup.verdict import Step, day, span
from proxy.config.ending import SOON
from proxy.core.answer import quoted
from proxy.core.label import key_id
from proxy.credentials import compile_users
from proxy.errors import ConfigError, CredentialInvalid
from proxy.problem import Problem
from proxy.surroundings import real_clock
from proxy.tokens.issuers import Issuers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.config.load import Loaded
    from proxy.core.credential import ServiceUser

INDENT = 15
"""Columns before what a step says."""

NARROW, WIDE = 40, 120
"""Columns that lines are wrapped at: at least, at most."""

MARKS = {"well": "✓", "warns": "!", "failed": "✗", "skipped": "·", "todo": "→"}
PLAIN = {"well": "+", "warns": "!", "failed": "x", "skipped": "-", "todo": "->"}

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Checked:
    """
    One service user with one credential, and how its steps ended.

    Attributes:
        user: With that credential alone.
        which: The credential's place among the user's, such as `1 of 2`.
        days: Until the credential ends, negative once it has; None if nobody knows.
        steps: In their order.
    """

    user: ServiceUser
    which: str
    days: float | None
    steps: tuple[Step, ...] = ()

    @property
    def ok(self) -> bool:
        """
        Whether no step failed.
        """
        return all(step.ok is not False for step in self.steps)


def read_users(loaded: Loaded) -> tuple[ServiceUser, ...]:
    """
    Read all credentials.

    Raises:
        ConfigError: One cannot be read or used.
    """
    try:
        return compile_users(loaded.settings, loaded.base, os.environ)
    except CredentialInvalid as error:
        raise ConfigError([Problem("service_users", error.reason, file=loaded.origin)]) from error


async def ask_all(
    loaded: Loaded,
    users: Sequence[ServiceUser],
    begin: Callable[[Checked], None],
    tell: Callable[[Step], None],
) -> list[Checked]:
    """
    Check all service users, each credential by itself, one after another.

    Args:
        loaded: The configuration.
        users: Its service users, credentials read.
        begin: Told of each before its steps.
        tell: Told of each step as it ends.
    """
    clock = real_clock()
    done: list[Checked] = []
    async with (
        Issuers(clock, _no_chance, partial(secrets.token_hex, 16), _tell_nobody) as issuers,
        Checkup(issuers, users, loaded.settings, clock) as checkup,
    ):
        for user in users:
            for place, credential in enumerate(user.credentials, 1):
                alone = user.acting_with(credential)
                ends = credential.expires
                days = None if ends is None else (ends - clock.wall()) / DAY
                checked = Checked(alone, f"{place} of {len(user.credentials)}", days)
                begin(checked)
                done.append(replace(checked, steps=await checkup.examine(alone, tell)))
    return done


def _no_chance() -> float:
    return 0.0  # nothing here is spread over time


def _tell_nobody(_name: str, /, **_facts: Any) -> None:
    """
    Take an event: whatever matters is in a step.
    """


def nothing(_: object) -> None:
    """
    Take what is found and print nothing yet.
    """


class Sheet:
    """
    Prints what is found, for people.

    Args:
        columns: Where lines are wrapped; None: nowhere, as for a file or pipe.
        plain: Whether marks are to be ASCII.
    """

    def __init__(self, columns: int | None, *, plain: bool = False) -> None:
        self._columns = columns
        self._marks = PLAIN if plain else MARKS
        self._user: ServiceUser | None = None
        self._seen: dict[tuple[str, Step], str] = {}

    def begin(self, checked: Checked) -> None:
        """
        Print whose steps come next.
        """
        user = self._user = checked.user
        about = f"{user.method} at {user.issuer.name}"
        if not checked.which.endswith(" of 1"):
            about += f", credential {checked.which}"
        known_as = quoted(key_id(user.credential))
        if known_as:
            about += f", key {known_as}"
        click.echo()
        text, colour = _ends(checked)
        told = click.style(self._wrapped(about + text, len(user.name) + 2), fg=colour)
        click.echo(f"{click.style(user.name, bold=True)}  {told}")

    def tell(self, step: Step) -> None:
        """
        Print a step.
        """
        assert self._user is not None
        said = step.said
        first = self._user.name
        if step.instead and step.name in {"discovery", "clock"}:
            first = self._seen.setdefault((self._user.issuer.name, replace(step, took=None)), first)
        again = first != self._user.name
        if again:
            said = f"as for {first}, above"
        elif step.took is not None:
            said += f" ({step.took * 1e3:.0f} ms)"
        mark, colour = self._mark(step)
        head = f"  {click.style(mark, fg=colour, bold=True)} {step.name:<9}  "
        told = self._wrapped(said, INDENT)
        told = click.style(
            told, dim=step.ok is None or None, fg="red" if step.ok is False else None
        )
        click.echo(head + told)
        if step.instead and not again:
            arrow = f"{' ' * INDENT}{self._marks['todo']} "
            todo = self._wrapped(step.instead, len(arrow))
            hint = step.ok and not step.warns
            click.echo(arrow + click.style(todo, dim=hint or None, fg=None if hint else colour))

    def _mark(self, step: Step) -> tuple[str, str | None]:
        match step:
            case Step(ok=True, warns=True):
                return self._marks["warns"], "yellow"
            case Step(ok=True):
                return self._marks["well"], "green"
            case Step(ok=False):
                return self._marks["failed"], "red"
            case _:
                return self._marks["skipped"], None

    def _wrapped(self, text: str, indent: int) -> str:
        """
        Return *text* in lines, those after the first indented; unchanged where none are wrapped.
        """
        if self._columns is None:
            return text
        lines = textwrap.wrap(
            text,
            max(self._columns - indent, 20),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return f"\n{' ' * indent}".join(lines)


def sheet() -> Sheet:
    """
    Return what prints to standard output, as wide as its terminal.
    """
    out = sys.stdout
    columns = None
    if out.isatty():
        columns = min(max(shutil.get_terminal_size().columns, NARROW), WIDE)
    try:
        "".join(MARKS.values()).encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Sheet(columns, plain=True)
    return Sheet(columns)


def sum_up(done: Sequence[Checked]) -> str:
    """
    Return the last line.
    """
    bad = [_name(checked) for checked in done if not checked.ok]
    if bad:
        return f"{click.style('failed', fg='red')}  {', '.join(bad)}"
    count = len({checked.user.name for checked in done})
    noun = f"{count} service user{'' if count == 1 else 's'}"
    return f"{click.style('ok', fg='green')}  {noun} checked with the issuers"


def _name(checked: Checked) -> str:
    only = checked.which.endswith(" of 1")
    return checked.user.name if only else f"{checked.user.name} (credential {checked.which})"


def facts(checked: Checked) -> dict[str, Any]:
    """
    Return what --json says of one service user with one credential.
    """
    user = checked.user
    ends = user.credential.expires
    return {
        "service_user": user.name,
        "issuer": user.issuer.name,
        "method": user.method,
        "credential": checked.which,
        "key_id": key_id(user.credential),
        "ends": None if ends is None else day(ends),
        "days_left": None if checked.days is None else round(checked.days, 1),
        "ok": checked.ok,
        "steps": [_step(step) for step in checked.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "ok": step.ok,
        "took_ms": None if step.took is None else round(step.took * 1e3, 1),
        "said": step.said,
        "instead": step.instead,
        "warning": step.warns,
    }


def _ends(checked: Checked) -> tuple[str, str | None]:
    """
    Return when a credential ends, to be put behind what it is, and in which colour; empty if nobody
    knows.
    """
    ends, days = checked.user.credential.expires, checked.days
    if ends is None or days is None:
        return "", None
    if days <= 0:
        return f", ended {day(ends)}", "red"
    return f", ends {day(ends)} (in {span(days * DAY)})", "yellow" if days < SOON else None

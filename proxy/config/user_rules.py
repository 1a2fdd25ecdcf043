"""
What must hold within and between service users: settings that go together, credentials listed once,
parties of a token exchange that exist and do not wait for each other.

All of it on the settings as they were written, so that an entry with two mistakes shows both.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from proxy.config.draft import Finding, Place, chosen_name, near
from proxy.config.exchange_user import PARTIES
from proxy.config.reference import check_name, written
from proxy.config.secret_source import parse_source
from proxy.config.service_user import METHODS
from proxy.config.values import parse_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check(data: Mapping[str, object]) -> Iterator[Finding]:
    """
    Yield everything that does not hold.
    """
    for name, settings in written(data, "service_users"):
        place: Place = ("service_users", name)
        issuer = settings.get("issuer")
        yield from check_name(data, (*place, "issuer"), issuer, "issuers", "issuer")
        for role, party in _parties(settings):
            inner = (*place, role, "service_user")
            yield from check_name(data, inner, party, "service_users", "service user")
        yield from _flaws(place, settings)
    yield from _circles(data)


def _parties(settings: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """
    Yield the service users whose tokens are exchanged, each with its role.
    """
    if settings.get("method") != "token_exchange":
        return
    for role in PARTIES:
        party = settings.get(role)
        name = party.get("service_user") if isinstance(party, dict) else None
        if isinstance(name, str):
            yield role, name


def _flaws(place: Place, settings: Mapping[str, object]) -> Iterator[Finding]:
    method = METHODS.get(str(settings.get("method")))
    if method is None:
        return
    known = method.model_fields
    meant = {key if key in known else near(key, known): value for key, value in settings.items()}
    for setting, what, instead in method.flaws(meant):
        yield Finding((*place, setting) if setting else place, what, instead)
    for setting in method.several:
        yield from _repeated((*place, setting), settings.get(setting))


def _repeated(place: Place, listed: object) -> Iterator[Finding]:
    """
    Yield each credential that is listed a second time.
    """
    seen: list[object] = []
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        source = None
        with suppress(PydanticCustomError):  # what is no source is found with the settings
            source = parse_file(item) if place[-1] == "key_file" else parse_source(item)
        if source is not None and source in seen:
            first = f"{place[-1]}[{seen.index(source)}]"
            yield Finding((*place, index), f"is already {first}", "keep one")
        seen.append(source)


def _circles(data: Mapping[str, object]) -> Iterator[Finding]:
    """
    Yield each circle of service users that would wait for each other's tokens, once.
    """
    waits = {
        str(name): dict(_parties(settings)) for name, settings in written(data, "service_users")
    }
    done: set[str] = set()
    for start in waits:
        circle = _circle(start, waits, done)
        if not circle:
            continue
        role = next(role for role, party in waits[circle[0]].items() if party == circle[1])
        shown = " → ".join(name if chosen_name(name) else "?" for name in circle)
        yield Finding(
            ("service_users", circle[0], role, "service_user"),
            f"goes in a circle, each waiting for the token of the next: {shown}",
            "let one of them have its token by another method",
        )


def _circle(start: str, waits: Mapping[str, Mapping[str, str]], done: set[str]) -> tuple[str, ...]:
    """
    Return the first circle on the ways from *start*, its first name repeated as its last; nothing
    if there is none.

    Args:
        start: Where to begin.
        waits: Per service user the parties it waits for, by role.
        done: Who has been looked at; grows. Whatever leads there has been told already.
    """
    path: list[str] = []
    steps: list[Iterator[str]] = []

    def enter(name: str) -> None:
        done.add(name)
        path.append(name)
        steps.append(iter(waits[name].values()))

    if start not in done:
        enter(start)
    while steps:
        party = next(steps[-1], None)
        if party is None:
            path.pop()
            steps.pop()
        elif party in path:
            return (*path[path.index(party) :], party)
        elif party in waits and party not in done:
            enter(party)
    return ()

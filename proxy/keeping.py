"""
A keeper for a configuration: its service users read, their files watched, their issuers at hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from proxy.credentials import compile_users, credential_files, read_user
from proxy.errors import ConfigError, CredentialInvalid
from proxy.problem import Problem
from proxy.rotation.expiry import EVENT, Expiry
from proxy.rotation.rotation import Rotation
from proxy.rotation.sight import state
from proxy.rotation.survey import Survey
from proxy.tasks import spawn
from proxy.tokens.issuers import Issuers
from proxy.tokens.keeper import Keeper
from proxy.tokens.revocation import Revocations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from proxy.config.load import Loaded
    from proxy.core.clock import Clock
    from proxy.core.credential import ServiceUser

PATIENCE = 30.0
"""Seconds that reading all credentials may take while others are served."""

INTERVAL = 2.0
"""Seconds between two looks at the credentials' files; a change is taken over after two."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """
    What outlives the keepers of all configurations.

    Attributes:
        issuers: What this process has to do with issuers.
        expiry: What was said of credentials that are about to end.
        revocations: The service users that are revoked.
    """

    issuers: Issuers
    expiry: Expiry = field(default_factory=Expiry)
    revocations: Revocations = field(default_factory=Revocations)


@contextlib.asynccontextmanager
async def open_keeper(  # noqa: PLR0913 - what outlives it is handed over by name
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
    *,
    only: str | None = None,
    lasting: Lasting | None = None,
    before: Keeper | None = None,
) -> AsyncIterator[Keeper]:
    """
    Yield a keeper for the service users of a configuration.

    Args:
        loaded: The configuration.
        environ: The environment secrets may come from.
        clock: What time it is.
        on_event: Told of what happens to tokens, credentials and issuers.
        only: The one service user wanted; None for all.
        lasting: What outlives it; None for its own.
        before: The keeper of the configuration before: it rests from now on.

    Raises:
        ConfigError: A credential cannot be read or used.
    """
    files = partial(credential_files, loaded.settings, loaded.base, environ)
    seen = {name: state(files(name)) for name in loaded.settings.service_users}
    if before is None:
        users = read_users(loaded, environ, only=only)
    else:
        users = await _read_aside(loaded, environ)
    async with contextlib.AsyncExitStack() as stack:
        if lasting is None:
            lasting = Lasting(await stack.enter_async_context(open_issuers(clock, on_event)))
        rotation = Rotation(
            users,
            partial(_read_living, loaded, environ, clock),
            files,
            on_event=on_event,
            boot=clock.boot,
            seen=seen,
        )
        means = lasting.issuers.means(rotation.reread)
        if before is not None:
            before.at_rest = True
        keeper = Keeper(users, means, revocations=lasting.revocations, before=before)
        await stack.enter_async_context(keeper)
        tasks: set[asyncio.Task[None]] = set()
        looking = _watch(rotation, keeper, lasting.expiry, clock.wall, on_event)
        watch = spawn(tasks, looking, name="credentials")
        try:
            yield keeper
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def read_users(
    loaded: Loaded, environ: Mapping[str, str], *, only: str | None = None
) -> tuple[ServiceUser, ...]:
    """
    Return the service users of a configuration.

    Raises:
        ConfigError: A credential cannot be read or used.
    """
    try:
        return compile_users(loaded.settings, loaded.base, environ, only=only)
    except CredentialInvalid as error:
        raise ConfigError([Problem("service_users", error.reason, file=loaded.origin)]) from error


async def _read_aside(loaded: Loaded, environ: Mapping[str, str]) -> tuple[ServiceUser, ...]:
    """
    Return what `read_users` does, from a thread: a key takes its time, and others are being served.
    """

    def piece() -> tuple[ServiceUser, ...] | Exception:
        try:
            return read_users(loaded, environ)
        except Exception as error:  # noqa: BLE001 - a survey's piece must not raise
            return error

    survey: Survey[tuple[ServiceUser, ...] | Exception] = Survey([("service_users", piece)])
    await survey.ended(PATIENCE)
    for found in survey.taken():
        if isinstance(found, Exception):
            raise found
        return found
    what = f"the credentials could not be read within {PATIENCE:g} s"
    raise ConfigError([Problem("service_users", what, file=loaded.origin)])


def open_issuers(
    clock: Clock, on_event: Callable[..., None] = lambda _event, **_facts: None
) -> Issuers:
    """
    Return what this process has to do with issuers; to be used as `async with`.
    """
    chance = random.random  # noqa: TID251 - chance is made here
    return Issuers(clock, chance, lambda: secrets.token_hex(16), on_event)


def _read_living(
    loaded: Loaded, environ: Mapping[str, str], clock: Clock, name: str
) -> ServiceUser:
    """
    Read a service user's files anew; what has ended must not take the place of what has not.
    """
    user = read_user(loaded.settings, loaded.base, environ, name)
    if all((each.expires or math.inf) <= clock.wall() for each in user.credentials):
        raise CredentialInvalid("what the file holds now has already ended; create a new one")
    return user


async def _watch(
    rotation: Rotation,
    keeper: Keeper,
    expiry: Expiry,
    wall: Callable[[], float],
    on_event: Callable[..., None],
) -> None:
    """
    Look at the files and at what is left of the credentials' lives, until cancelled.
    """
    while True:
        if not keeper.at_rest:
            for ending in expiry.news(keeper.users(), wall()):
                on_event(EVENT, **ending.facts)
            await rotation.look(keeper.rotate)
        await asyncio.sleep(INTERVAL)

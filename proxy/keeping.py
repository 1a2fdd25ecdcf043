"""
A keeper for a configuration: its service users read, their files watched, their issuers at hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
from functools import partial
from typing import TYPE_CHECKING

from proxy.credentials import compile_users, credential_files, read_user
from proxy.errors import ConfigError, CredentialInvalid
from proxy.problem import Problem
from proxy.rotation.expiry import EVENT, Expiry
from proxy.rotation.rotation import Rotation
from proxy.rotation.sight import state
from proxy.tasks import spawn
from proxy.tokens.issuers import Issuers
from proxy.tokens.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from proxy.config.load import Loaded
    from proxy.core.clock import Clock
    from proxy.core.credential import ServiceUser
    from proxy.tokens.revocation import Revocations

INTERVAL = 2.0
"""Seconds between two looks at the credentials' files; a change is taken over after two."""


@contextlib.asynccontextmanager
async def open_keeper(
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
    *,
    only: str | None = None,
    revocations: Revocations | None = None,
) -> AsyncIterator[Keeper]:
    """
    Yield a keeper for the service users of a configuration.

    Args:
        loaded: The configuration.
        environ: The environment secrets may come from.
        clock: What time it is.
        on_event: Told of what happens to tokens, credentials and issuers.
        only: The one service user wanted; None for all.
        revocations: The service users that are revoked; outlives the keeper.

    Raises:
        ConfigError: A credential cannot be read or used.
    """
    files = partial(credential_files, loaded.settings, loaded.base, environ)
    before = {name: state(files(name)) for name in loaded.settings.service_users}
    users = read_users(loaded, environ, only=only)
    async with open_issuers(clock, on_event) as issuers:
        rotation = Rotation(
            users,
            partial(_read_living, loaded, environ, clock),
            files,
            on_event=on_event,
            boot=clock.boot,
            seen=before,
        )
        means = issuers.means(rotation.reread)
        async with Keeper(users, means, revocations=revocations) as keeper:
            tasks: set[asyncio.Task[None]] = set()
            watch = spawn(tasks, _watch(rotation, keeper, clock.wall, on_event), name="credentials")
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
    rotation: Rotation, keeper: Keeper, wall: Callable[[], float], on_event: Callable[..., None]
) -> None:
    """
    Look at the files and at what is left of the credentials' lives, until cancelled.
    """
    expiry = Expiry()
    while True:
        for ending in expiry.news(keeper.users(), wall()):
            on_event(EVENT, **ending.facts)
        await rotation.look(keeper.rotate)
        await asyncio.sleep(INTERVAL)

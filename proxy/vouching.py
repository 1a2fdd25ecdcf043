"""
The callers of a configuration, with what verifies their tokens: its issuers at hand.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from proxy.callers.client import introspection_clients
from proxy.callers.compiling import compile_registry, ways
from proxy.callers.introspection import IntrospectionVerifier
from proxy.callers.jwks import KeyRing
from proxy.callers.jwt import JwtVerifier
from proxy.config.reading import compile_issuer
from proxy.errors import ConfigError, CredentialInvalid
from proxy.keeping import open_issuers
from proxy.problem import Problem
from proxy.tasks import spawn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Mapping

    from proxy.callers.client import IntrospectionClient
    from proxy.callers.compiling import Way
    from proxy.callers.registry import Registry
    from proxy.callers.verifier import Verifier
    from proxy.config.load import Loaded
    from proxy.config.model import Settings
    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer
    from proxy.tokens.issuers import Issuers


class Asking:
    """
    What is known of issuers for callers' sake, through all configurations.

    Args:
        issuers: The way to them. Not the keepers': what fails for callers must not hold mints back.
        boot: Boot-clock seconds.
    """

    def __init__(self, issuers: Issuers, boot: Callable[[], float]) -> None:
        self.issuers = issuers
        self._boot = boot
        self._rings: dict[tuple[object, ...], KeyRing] = {}

    def keys(self, issuer: Issuer) -> KeyRing:
        """
        Return the keys of *issuer*: the same ones each time, as long as they are to be had there.
        """
        place = (*issuer.place, issuer.jwks_uri, issuer.ca_file)
        if place not in self._rings:
            self._rings[place] = KeyRing(issuer, self.issuers, self._boot)
        return self._rings[place]

    async def close(self) -> None:
        """
        Cancel what is under way.
        """
        for ring in self._rings.values():
            await ring.close()


@contextlib.asynccontextmanager
async def open_asking(
    clock: Clock, on_event: Callable[..., None] = lambda _event, **_facts: None
) -> AsyncIterator[Asking]:
    """
    Yield what outlives the registries of all configurations.
    """
    async with open_issuers(clock, on_event) as issuers:
        asking = Asking(issuers, clock.boot)
        try:
            yield asking
        finally:
            await asking.close()


@contextlib.asynccontextmanager
async def open_registry(
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
    *,
    lasting: Asking | None = None,
) -> AsyncIterator[Registry]:
    """
    Yield the callers of a configuration.

    Args:
        loaded: The configuration.
        environ: The environment secrets may come from.
        clock: What time it is.
        on_event: Told of what happens to issuers.
        lasting: What outlives the registry; None for its own.

    Raises:
        ConfigError: What an issuer is to be asked with cannot be read or used.
    """
    async with open_verifiers(loaded, environ, clock, on_event, lasting=lasting) as verifiers:
        yield compile_registry(loaded.settings, verifiers, clock)


@contextlib.asynccontextmanager
async def open_verifiers(
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
    *,
    lasting: Asking | None = None,
) -> AsyncIterator[Mapping[Way, Verifier]]:
    """
    Yield what verifies callers' tokens; nothing if no caller is known by one. As `open_registry`.
    """
    settings = loaded.settings
    needed = ways(settings)
    if not needed:
        yield {}
        return
    clients = _clients(loaded, environ)
    async with contextlib.AsyncExitStack() as stack:
        if lasting is None:
            lasting = await stack.enter_async_context(open_asking(clock, on_event))
        issuers = lasting.issuers
        found: dict[Way, Verifier] = {}
        tasks: set[asyncio.Task[None]] = set()
        for way in needed:
            if way.kind == "jwt":
                issuer = compile_issuer(way.issuer, settings.issuers[way.issuer], loaded.base)
                audiences = _audiences(settings, way.issuer)
                jwt = JwtVerifier(issuer, audiences, issuers, clock, keys=lasting.keys(issuer))
                stack.push_async_callback(jwt.close)
                # So that the first caller need not wait for the issuer's keys
                stack.callback(spawn(tasks, jwt.warm(), name="keys").cancel)
                found[way] = jwt
            else:
                client = clients[way.issuer]
                asking = IntrospectionVerifier(
                    client.issuer, client.credential, issuers, clock, lambda: secrets.token_hex(16)
                )
                stack.push_async_callback(asking.close)
                found[way] = asking
        yield found


def _clients(loaded: Loaded, environ: Mapping[str, str]) -> Mapping[str, IntrospectionClient]:
    try:
        return introspection_clients(loaded.settings, loaded.base, environ)
    except CredentialInvalid as error:
        raise ConfigError([Problem("issuers", error.reason, file=loaded.origin)]) from error


def _audiences(settings: Settings, issuer: str) -> frozenset[str]:
    """
    Return whom the tokens of an issuer may be meant for, over all callers.
    """
    tokens = (caller.jwt for caller in settings.callers.values() if caller.jwt is not None)
    return frozenset(token.audience for token in tokens if token.issuer == issuer)

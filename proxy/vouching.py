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


@contextlib.asynccontextmanager
async def open_registry(
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
) -> AsyncIterator[Registry]:
    """
    Yield the callers of a configuration.

    Args:
        loaded: The configuration.
        environ: The environment secrets may come from.
        clock: What time it is.
        on_event: Told of what happens to issuers.

    Raises:
        ConfigError: What an issuer is to be asked with cannot be read or used.
    """
    async with open_verifiers(loaded, environ, clock, on_event) as verifiers:
        yield compile_registry(loaded.settings, verifiers, clock)


@contextlib.asynccontextmanager
async def open_verifiers(
    loaded: Loaded,
    environ: Mapping[str, str],
    clock: Clock,
    on_event: Callable[..., None] = lambda _event, **_facts: None,
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
        issuers = await stack.enter_async_context(open_issuers(clock, on_event))
        found: dict[Way, Verifier] = {}
        tasks: set[asyncio.Task[None]] = set()
        for way in needed:
            if way.kind == "jwt":
                issuer = compile_issuer(way.issuer, settings.issuers[way.issuer], loaded.base)
                jwt = JwtVerifier(issuer, _audiences(settings, way.issuer), issuers, clock)
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

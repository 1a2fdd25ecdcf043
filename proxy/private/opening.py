"""
A private proxy, open for as long as an `async with`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.private.lobby import Lobby
from proxy.private.settings import private_settings
from proxy.private.told import Told
from proxy.runtime import Runtime
from proxy.surroundings import Surroundings, real_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from proxy.config.load import Loaded

GRACE = 0.5
"""Seconds for requests in flight once the program is gone: nobody waits for them."""

SOCKET = "proxy.sock"


@dataclass(frozen=True, slots=True)
class Private:
    """
    An open private proxy.

    Attributes:
        folder: A folder no other user can look into; goes with the proxy.
        socket: Where it listens, in that folder.
        url: Its base URL on loopback; empty if it has no port.
        guarded: Whether other users of this machine are kept out of that port.
    """

    folder: Path
    socket: Path
    url: str = ""
    guarded: bool = True


@contextlib.asynccontextmanager
async def open_private(
    loaded: Loaded,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    users: Collection[str] | None = None,
    port: bool = False,
) -> AsyncIterator[Private]:
    """
    Serve a configuration's routes to the programs of this user alone.

    Args:
        loaded: The configuration.
        environ: The environment secrets may come from.
        say: Says a sentence about what fails.
        users: The service users whose routes are wanted; None for all.
        port: Whether to listen on loopback too.

    Raises:
        ConfigError: A credential cannot be read or used.
    """
    async with contextlib.AsyncExitStack() as stack:
        # mkdtemp makes it with mode 0700
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="authproxy-"))
        socket = Path(made) / SOCKET
        settings = private_settings(loaded.settings, socket, users)
        around = Surroundings(Told(say), environ, clock=real_clock(), grace=GRACE)
        _ = await stack.enter_async_context(
            Runtime(dataclasses.replace(loaded, settings=settings), around)
        )
        if not port:
            yield Private(Path(made), socket)
            return
        lobby = await stack.enter_async_context(Lobby(socket))
        yield Private(Path(made), socket, f"http://127.0.0.1:{lobby.port}", lobby.guarded)

"""
The wire without sockets: a gateway between a caller and an upstream, all in memory.

The real pool, gateway and protocols run on links in place of sockets (`link`), so an example costs a
fraction of a millisecond and can be cut between any two bytes.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from proxy.config.model import Settings
from proxy.core.decide import decide
from proxy.core.forward import Forwarded
from proxy.core.secret import Secret
from proxy.core.target import Authority
from proxy.core.token import Token
from proxy.gateway import Gateway
from proxy.generation import Generation, compile_generation
from proxy.observe.log import make_logger
from proxy.wire.downstream import Downstream
from proxy.wire.limits import Limits
from tests.fuzz.link import Link, MemoryLoop

VIA = b"Via: 1.1 authproxy-fuzz\r\n"
TOKEN = b"tok-1"


class Keeper:
    """
    One token that does not end; after a 401 there is no other.
    """

    token = Token(Secret(TOKEN.decode()), 0.0, math.inf, "minted")

    def slot(self, _: str) -> Any:
        """
        Return the slot the data path holds on to.
        """
        return SimpleNamespace(token=self.token, used=False, stale=False)

    async def get(self, _: str) -> Token:
        """
        Return the token.
        """
        return self.token

    async def renew(self, _: str, __: Token) -> None:
        """
        Say that another try would not help.
        """


@cache
def make_settings() -> Settings:
    """
    Return settings with one route for all paths.
    """
    user = {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
    route = {"name": "api", "match": {"path": "/"}, "service_user": "u"}
    return Settings.model_validate(
        {
            "version": 1,
            "listen": [{"address": "127.0.0.1:0", "hosts": ["*"], "browsers": "allow"}],
            "issuers": {"z": {"url": "http://127.0.0.1:9"}},
            "service_users": {"u": user},
            "routes": [{**route, "upstream": "http://127.0.0.1:8"}],
        }
    )


class EveryHost:
    """
    Makes the routes be for all hosts in forward mode, too: how targets are read is looked at here, not
    whom they are for.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def names(self, _: Authority) -> bool:
        """
        Return whether any route is for this host.
        """
        return True

    def decide(self, method: bytes, raw_target: bytes, fields: Any) -> Forwarded[Any]:
        """
        Find the route of a request.
        """
        route, target = decide(self._table, method, raw_target, b"", fields)
        return Forwarded(route, target, target, target.path, None)


def compiled() -> Generation:
    """
    Return the settings' generation.
    """
    keeper: Any = Keeper()
    generation = compile_generation(make_settings(), Path(), keeper, via=VIA)
    everywhere: Any = EveryHost(generation.table)
    return replace(generation, forward=everywhere)


class Rig:
    """
    A gateway in memory; use it in a `with` statement, whose end is the end of all connections.

    Attributes:
        loop: Its loop.
        records: Lines of the access log.
        callers: Every connection a caller holds, as the gateway knows them.
        gateway: The gateway.
    """

    def __init__(self, limits: Limits = Limits(), *, high: int = 0) -> None:  # noqa: B008 - frozen
        self.loop = MemoryLoop()
        self.loop.high = high
        self.records: list[dict[str, Any]] = []
        self.callers: set[Downstream] = set()
        numbers = itertools.count(1)
        sink: Any = SimpleNamespace(put=lambda line: self.loop.errors.append({"log": line}))
        access: Any = SimpleNamespace(write=self.records.append)
        self.gateway = Gateway(
            compiled(),
            access,
            make_logger(sink, lambda: 0.0),
            limits,
            lambda: 1000.0,
            lambda: f"id-{next(numbers)}",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end()
        self.loop.close()

    def call(self) -> Link:
        """
        Return a new caller's connection.
        """
        link = Link(self.loop, Downstream(self.gateway, 0, self.callers))
        link.open()
        return link

    def _end(self) -> None:
        """
        End everything, and see that nothing is left and nothing was complained of.
        """
        for caller in tuple(self.callers):
            if caller.transport is not None:
                caller.transport.abort()
        self.loop.settle()
        for pool in self.gateway.generation.pools:
            pool.close()
        self.loop.settle()
        errors = self.loop.errors
        assert not errors, errors
        assert not self.callers
        assert not self.gateway.tasks
        assert all(link.lost for link in self.loop.links)
        for pool in self.gateway.generation.pools:
            assert not pool._open
            assert not pool._idle

"""
Generations one after the other.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from proxy.config.load import load
from proxy.core.clock import Clock
from proxy.errors import ConfigError
from proxy.observe.metrics import Metrics
from proxy.succession import Succession

FILE = """\
version: 1
issuers:
  z: {url: "https://acme.zitadel.cloud"}
service_users:
  u: {issuer: z, method: personal_access_token, token: {env: PAT}}
routes:
  - {name: one, match: {path: /1}, upstream: "https://a.example", service_user: u}
  - {name: two, match: {path: /2}, upstream: "https://b.example", service_user: u, ca_file: ca.pem}
"""


class Caller:
    """
    A connection, with the request it is serving.
    """

    def __init__(self, generation=None):
        self.exchange = None if generation is None else SimpleNamespace(generation=generation)
        self.queue: deque[object] = deque()
        self.forgot = 0

    def forget(self):
        """
        Count.
        """
        self.forgot += 1


class Reign:
    """
    A succession, and what it serves by.
    """

    def __init__(self, folder):
        self.file = folder / "proxy.yaml"
        self.authority = folder / "ca.pem"
        self.file.write_text(FILE)
        trustme.CA().cert_pem.write_to_path(self.authority)
        self.now = 1.0
        self.callers: list[Any] = []
        self.house: Any = SimpleNamespace(generation=None)
        self.metrics = Metrics()
        clock = Clock(lambda: self.now, lambda: self.now)
        self.succession = Succession(
            {"PAT": "canary-pat"}, clock, self.metrics, lambda *_, **__: None, self.callers
        )

    async def prepare(self, text=None):
        """
        Prepare a generation of this text.
        """
        if text is not None:
            self.file.write_text(text)
        loaded = load(self.file, {"PAT": "canary-pat"}, now=0.0)
        return await self.succession.prepare(loaded, {0: 0})

    async def next(self, text=None):
        """
        Let the next generation serve.
        """
        term = await self.prepare(text)
        self.succession.succeed(term, self.house)
        return self.house.generation

    async def sweep(self):
        """
        Look, and let what was begun come to its end.
        """
        self.succession.sweep(self.now)
        await asyncio.gather(*self.succession._tasks)


@pytest.fixture
async def reign(tmp_path):
    """
    A succession without a generation.
    """
    reign = Reign(tmp_path)
    async with reign.succession:
        yield reign


async def test_pools_go_on_where_nothing_about_them_changed(reign):
    """
    Warm connections are kept when a route's name or path is another.
    """
    first = await reign.next()
    second = await reign.next(
        FILE.replace("path: /1", "path: /one").replace("name: two", "name: 2nd")
    )

    assert second.pools == first.pools
    assert second.keeper is not first.keeper


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda reign: FILE + "pools: {idle: 7s}\n", [False, False]),
        (lambda reign: FILE.replace("b.example", "c.example"), [True, False]),
        (lambda reign: trustme.CA().cert_pem.write_to_path(reign.authority), [True, False]),
    ],
    ids=["limits", "upstream", "authorities"],
)
async def test_a_pool_is_replaced_with_what_it_depends_on(reign, change, kept):
    """
    A connection that was made by other rules is not used by the new ones.
    """
    first = await reign.next()
    second = await reign.next(change(reign))

    assert [a is b for a, b in zip(first.pools, second.pools, strict=True)] == kept


async def test_a_generation_ends_after_its_last_request(reign):
    """
    As long as a caller has a request of it, served or waiting its turn, it stays.
    """
    first = await reign.next()
    serving, waiting = Caller(first), Caller()
    waiting.queue.append(SimpleNamespace(generation=first))
    reign.callers += [serving, waiting]
    await reign.next()
    for caller, attribute in ((serving, "exchange"), (waiting, "queue")):
        await reign.sweep()
        assert reign.succession.retired == 1
        setattr(caller, attribute, None if attribute == "exchange" else deque())
    await reign.sweep()

    assert reign.succession.retired == 0
    assert serving.forgot == 2  # it was busy with the old one when it was told first


async def test_a_pool_is_closed_after_all_that_have_it(reign):
    """
    A pool that a later generation dropped still serves the requests of an earlier one.
    """
    first = await reign.next()
    caller = Caller(first)
    reign.callers.append(caller)
    await reign.next(FILE.replace("path: /1", "path: /one"))
    await reign.next(FILE + "pools: {idle: 7s}\n")
    await reign.sweep()
    assert reign.succession.retired == 1
    assert [pool._closed for pool in first.pools] == [False, False]

    caller.exchange = None
    await reign.sweep()
    assert [pool._closed for pool in first.pools] == [True, True]


async def test_one_that_is_discarded_leaves_the_one_before_as_it_was(reign):
    """
    Its keeper works again, the pools they share stand, and nothing is counted for what never was.
    """
    first = await reign.next()
    limited = "callers: {job: {api_key_sha256: '%s', limits: {rate: 5/s}}}\n" % ("a" * 64)
    term = await reign.prepare(FILE.replace("name: two", "name: never") + limited)
    assert first.keeper.at_rest

    await reign.succession.discard(term)

    assert not first.keeper.at_rest
    assert [pool._closed for pool in first.pools] == [False, False]
    assert ("caller", "job") not in reign.metrics.rate_limited
    assert {route.action.metrics.name for route in first.table.routes} == {"one", "two"}
    assert "never" not in str(list(reign.metrics.routes))


async def test_one_that_cannot_be_made_leaves_the_one_before_as_it_was(reign):
    """
    A file that has gone since it was checked is a problem, not a bug.
    """
    first = await reign.next()
    loaded = load(reign.file, {"PAT": "canary-pat"}, now=0.0)
    reign.authority.write_text("no certificate")
    before = len(asyncio.all_tasks())

    with pytest.raises(ConfigError, match="certificate file"):
        await reign.succession.prepare(loaded, {0: 0})

    assert not first.keeper.at_rest
    assert len(asyncio.all_tasks()) == before


async def test_nothing_grows(reign):
    """
    Of generations that have ended nothing is left, however many there were.
    """
    first = weakref.ref((await reign.next()).keeper)
    for turn in range(20):
        await reign.next(FILE.replace("path: /1", f"path: /{turn + 10}"))
        await reign.sweep()
    tasks = len(asyncio.all_tasks())
    gc.collect()

    assert first() is None
    assert reign.succession.retired == 0
    assert tasks <= 4  # the test, the keeper, its files' watch

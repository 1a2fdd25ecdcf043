from __future__ import annotations

import pytest

from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.tokens.store import MemoryStore

KEY = ("https://acme.example", "client_credentials", "c")


@pytest.fixture
def store(time):
    """
    A store of two.
    """
    return MemoryStore(time.clock.boot, size=2)


def token(time, value: str, lifetime: float = 100.0) -> Token:
    """
    Return a token born now.
    """
    return Token(Secret(value), time.now, lifetime, "minted")


async def test_a_token_is_kept_to_its_end(store, time):
    """
    It is there until it may no longer be handed out, and gone exactly then.
    """
    kept = token(time, "t")
    await store.put(KEY, kept)

    time.move(94.9)
    assert await store.get(KEY) is kept
    time.move(0.1)
    assert await store.get(KEY) is None


async def test_a_token_that_has_ended_is_not_kept(store, time):
    """
    It also takes the place of nobody.
    """
    old = token(time, "t")
    time.move(200)
    await store.put(KEY, old)

    assert await store.get(KEY) is None
    assert len(store) == 0


async def test_only_the_very_token_is_dropped(store, time):
    """
    Compare and drop: a newer token stays, whoever complains about the older one.
    """
    old, new = token(time, "old"), token(time, "new")
    await store.put(KEY, new)

    await store.drop(KEY, old)
    assert await store.get(KEY) is new
    await store.drop(KEY, new)
    await store.drop(KEY, new)
    assert await store.get(KEY) is None


async def test_the_store_is_bounded(store, time):
    """
    The least recently used token goes first.
    """
    for name in "abc":
        await store.put((name,), token(time, name))

    assert await store.get(("a",)) is None
    assert len(store) == 2


async def test_the_store_shows_no_token(store, time):
    """
    Its repr counts.
    """
    await store.put(KEY, token(time, "canary"))

    assert repr(store) == "<MemoryStore 1 tokens>"

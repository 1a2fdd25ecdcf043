"""
Where tokens lie between generations of the configuration, and later between processes.

The data path never looks here: it reads its slot (`tokens.slot`). Only a flight of the keeper
does, before and after a mint, hence the coroutines: a shared store may take its time.

A key is `core.grant.identity(user)`: what the token depends on, no secret in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from cachetools import TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.token import Token

Identity: TypeAlias = tuple[str, ...]

# Ours: more service users than one proxy will have; least recently used ones go first.
MAX_TOKENS = 4096


class Store(Protocol):
    """
    What a keeper needs of a store.
    """

    async def get(self, identity: Identity) -> Token | None:
        """
        Return the token of *identity*, None if there is none that may still be handed out.
        """

    async def put(self, identity: Identity, token: Token) -> None:
        """
        Keep *token* until it may no longer be handed out.
        """

    async def drop(self, identity: Identity, token: Token) -> None:
        """
        Forget *token* if it is still the one of *identity*; another, newer one stays.
        """


class MemoryStore:
    """
    Tokens in this process. `_tokens` is changed by `put` and `drop` only.

    Args:
        boot: The boot clock, in seconds.
        size: The most tokens to keep.
    """

    def __init__(self, boot: Callable[[], float], *, size: int = MAX_TOKENS) -> None:
        self._tokens: TLRUCache[Identity, Token] = TLRUCache(size, _deadline, timer=boot)

    async def get(self, identity: Identity) -> Token | None:
        """
        Return the token of *identity*, None if there is none that may still be handed out.
        """
        return self._tokens.get(identity)

    async def put(self, identity: Identity, token: Token) -> None:
        """
        Keep *token* until it may no longer be handed out.
        """
        self._tokens[identity] = token

    async def drop(self, identity: Identity, token: Token) -> None:
        """
        Forget *token* if it is still the one of *identity*; another, newer one stays.
        """
        held = self._tokens.get(identity)
        if held is not None and held.fingerprint == token.fingerprint:
            self._tokens.pop(identity, None)

    def __len__(self) -> int:
        self._tokens.expire()
        return len(self._tokens)

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self)} tokens>"


def _deadline(_identity: Identity, token: Token, _now: float) -> float:
    return token.serve_until

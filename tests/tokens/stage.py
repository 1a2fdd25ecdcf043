"""
A stage for keepers: time passes when told to, and issuers do as they are told.

Whatever a keeper waits for happens in the order of its hand-driven clock; nothing sleeps, nothing
touches a socket. `Stage.pass_time` does what `Keeper`'s own loop does: it ticks when woken, when
something is due, and once a second.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from proxy.core.clock import Clock
from proxy.core.credential import ClientSecret, FixedToken, Issuer, ServiceUser
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token
from proxy.errors import MintRejected, MintTimeout, MintUnavailable, TokenError
from proxy.tokens.breaker import Breakers
from proxy.tokens.keeper import LONGEST_PAUSE, SHORTEST_PAUSE, Keeper
from proxy.tokens.means import Means
from proxy.tokens.store import MemoryStore

# As the mint's own deadline.
DEADLINE = 10.0


def user(name: str, at: str = "acme", **more: Any) -> ServiceUser:
    """
    Return a service user with a client secret.
    """
    credential = more.pop("credential", ClientSecret(name, Secret(f"canary-{name}-secret")))
    return ServiceUser(name, Issuer(at, f"https://{at}.example"), credential, **more)


def pat(name: str, *values: str, expires: float | None = None, **more: Any) -> ServiceUser:
    """
    Return a service user with personal access tokens.
    """
    fixed = [FixedToken(Secret(value), expires) for value in values]
    return user(name, credential=fixed[0], spares=tuple(fixed[1:]), **more)


@dataclass
class Play:
    """
    How one issuer fares: `mode` is well, down (refuses connections), hangs, sick (is up, but fails
    each mint), nonsense (answers 200 with something else), throttles.
    """

    mode: str = "well"
    lifetime: float = 3600.0
    latency: float = 0.0
    retry_after: float | None = None
    refused: set[str] = field(default_factory=set)
    error: TokenError | None = None

    def outcome(self) -> TokenError | None:
        """
        Return what a mint fails with.
        """
        match self.mode:
            case "well":
                return self.error
            case "down":
                return MintUnavailable("down", shared=True)
            case "hangs":
                return MintTimeout("slow", shared=True)
            case "sick":
                return MintUnavailable("sick", shared=True, retry_after=self.retry_after)
            case "nonsense":
                return MintUnavailable("nonsense")
            case "throttles":
                return MintUnavailable("busy", shared=True, retry_after=self.retry_after)
            case _:
                raise AssertionError(self.mode)


class Stage:
    """
    Time, chance, issuers, a store and a log of all that happened.
    """

    def __init__(self, seed: float = 0.5) -> None:
        self.now = 1000.0
        self.wall_ahead = 1_700_000_000.0
        self.clock = Clock(wall=lambda: self.wall_ahead + self.now, boot=lambda: self.now)
        self.chance = random.Random(seed).random if isinstance(seed, int) else lambda: float(seed)
        self.plays: dict[str, Play] = {}
        self.mints: list[tuple[float, str, str]] = []
        self.knocks: list[float] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.under_way: Counter[str] = Counter()
        self.most_under_way = 0
        self.alive: dict[str, bool | None] = {}
        self.fresh: dict[str, ServiceUser] = {}
        self.store: Any = MemoryStore(self.clock.boot)
        self.keepers: list[Keeper] = []
        self.breakers = Breakers()
        self._next_tick: dict[Keeper, float] = {}
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count(1)

    def keeper(self, *users: ServiceUser, **more: Any) -> Keeper:
        """
        Return a keeper of *users*, on this stage.
        """
        for each in users:
            self.plays.setdefault(each.issuer.name, Play())
        parts: dict[str, Any] = {
            "mint": self.mint,
            "store": self.store,
            "clock": self.clock,
            "chance": self.chance,
            "on_event": lambda name, /, **facts: self.events.append((name, facts)),
            "breaker": self.breakers,
            "knock": self.knock,
            "standing": self.standing,
            "reread": self.reread,
            "sleep": self.sleep,
        }
        apart = {name: more.pop(name) for name in ("before", "revocations") if name in more}
        keeper = Keeper(users, Means(**parts | more), **apart)
        self.keepers.append(keeper)
        self._next_tick[keeper] = -math.inf
        return keeper

    def told(self, *names: str) -> list[str]:
        """
        Return the names of the events so far, or of those among *names*.
        """
        return [name for name, _ in self.events if not names or name in names]

    def count(self, at: str, since: float = -math.inf) -> int:
        """
        Count the token requests to the issuer *at*.
        """
        return sum(place == at and when >= since for when, place, _ in self.mints)

    async def sleep(self, seconds: float) -> None:
        """
        Wait until so much of the stage's time has passed.
        """
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), wake))
        await wake

    async def mint(self, who: ServiceUser) -> Minted:
        """
        Mint as the service user's issuer does now.
        """
        play = self.plays[who.issuer.name]
        born = self.now
        self.mints.append((born, who.issuer.name, who.name))
        self.under_way[who.name] += 1
        self.most_under_way = max(self.most_under_way, *self.under_way.values())
        try:
            await self.sleep(DEADLINE if play.mode == "hangs" else play.latency)
            error = play.outcome()
            if error is not None:
                raise error
            if who.name in play.refused or who.credential.fingerprint in play.refused:
                raise MintRejected("no")
            value = Secret(f"canary-token-{next(self._numbers)}")
            return Minted(Token(value, born, play.lifetime, "minted"))
        finally:
            self.under_way[who.name] -= 1

    async def knock(self, issuer: Issuer) -> bool:
        """
        Knock, as `tokens.knock` does: within a second.
        """
        self.knocks.append(self.now)
        mode = self.plays[issuer.name].mode
        if mode == "hangs":
            await self.sleep(1.0)
        return mode in {"well", "sick", "nonsense"}

    async def standing(self, issuer: Issuer, token: Token) -> bool | None:
        """
        Say what the test says of the token.
        """
        if self.plays[issuer.name].mode != "well":
            return None
        return self.alive.get(token.value.reveal())

    async def reread(self, name: str) -> ServiceUser | None:
        """
        Return what lies in the service user's files by now.
        """
        return self.fresh.pop(name, None)

    def leap(self, seconds: float) -> None:
        """
        Set the wall clock ahead, or back.
        """
        self.wall_ahead += seconds

    async def settle(self) -> None:
        """
        Let all that can run now run.
        """
        for _ in range(25):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """
        Let time pass, and the keepers do what is due.
        """
        until = self.now + seconds
        while True:
            await self.settle()
            if self._ticked():
                continue
            soonest = min(self._next_tick.values(), default=math.inf)
            if self._sleepers:
                soonest = min(soonest, self._sleepers[0][0])
            if soonest > until:
                break
            self.now = max(self.now, soonest)
            self._wake()
        self.now = until
        self._wake()
        await self.settle()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.now:
            wake = heapq.heappop(self._sleepers)[2]
            if not wake.done():
                wake.set_result(None)

    def _ticked(self) -> bool:
        """
        Tick the keepers that are woken or due; say whether there was one.
        """
        due = [k for k in self.keepers if k._woken.is_set() or self._next_tick[k] <= self.now]
        for keeper in due:
            keeper._woken.clear()
            pause = keeper.tick() - self.now
            self._next_tick[keeper] = self.now + min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)
        return bool(due)

    async def ask(self, keeper: Keeper, name: str, within: float = 30.0) -> Token | TokenError:
        """
        Return what a caller gets, letting time pass while it waits.
        """
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_outcome(keeper, name))
            await self.settle()
            until = self.now + within
            while not task.done() and self.now < until:
                soonest = self._sleepers[0][0] if self._sleepers else until
                await self.pass_time(max(min(soonest, until) - self.now, 0.0))
            assert task.done(), "a caller waits for ever"
        return task.result()

    async def close(self) -> None:
        """
        End what is under way.
        """
        for keeper in self.keepers:
            await keeper._flights.close()
            await keeper._refusals.close()


async def _outcome(keeper: Keeper, name: str) -> Token | TokenError:
    try:
        return await keeper.get(name)
    except TokenError as error:
        return error

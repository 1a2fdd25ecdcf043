"""
A keeper among callers, refusals, rotations, outages and clocks that leap, in any order.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.credential import ClientSecret, FixedToken
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.errors import TokenError
from tests.tokens.stage import Stage, pat, user

MINTED = ("one", "two", "lazy")
DEV = "dev"
NAMES = st.sampled_from((*MINTED, DEV))


class Life(RuleBasedStateMachine):
    """
    Steps of any life; what must hold at each of them is in the invariants and in `_seen`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.numbers = itertools.count(1)
        self.runner.run(self._set())

    async def _set(self) -> None:
        self.stage = Stage(7)
        users = [
            user("one"),
            user("two", on_rotation="drop"),
            user("lazy", "other", required=False, spares=(self._secret(), self._secret())),
            pat(DEV, "canary-pat-0", "canary-pat-1"),
        ]
        self.keeper = self.stage.keeper(*users)
        self.refused: set[str] = set()
        await self.stage.pass_time(0.0)

    def teardown(self) -> None:
        """
        End what is under way.
        """
        self.runner.run(self.stage.close())
        self.runner.close()

    def _secret(self) -> ClientSecret:
        return ClientSecret("lazy", Secret(f"canary-secret-{next(self.numbers)}"))

    def _holds(self, name: str) -> bool:
        """
        Say whether a token that nobody refused and that has not ended lies at hand.
        """
        slot, now = self.keeper.slot(name), self.stage.now
        return any(
            token is not None and token.usable(now) and token.fingerprint not in self.refused
            for token in (slot.token, slot.reserve)
        )

    async def _seen(self, name: str, work) -> list[Token | TokenError | None]:
        """
        Return what callers get who all do *work* now, letting time pass while they wait.
        """
        held = self._holds(name)

        async def outcome(one) -> Token | TokenError | None:
            got: Token | TokenError | None
            try:
                got = await one()
            except TokenError as error:
                got = error
            if isinstance(got, TokenError):
                # One that ends while its successor is waited for is no longer held
                still = held and self._holds(name)
                assert not still, f"{name} holds a token and was told {got.reason}"
            elif got is not None:
                assert got.usable(self.stage.now)
                assert self.stage.now < self.true_end(got)
            return got

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(outcome(one)) for one in work]
            await self.stage.settle()
            for _ in range(400):
                if all(task.done() for task in tasks):
                    break
                await self.stage.pass_time(0.1)
            assert all(task.done() for task in tasks), "a caller waits for ever"
        return [task.result() for task in tasks]

    def true_end(self, token: Token) -> float:
        """
        Return the end of a token that is not older than its birth says.
        """
        return token.born + token.lifetime

    @rule(name=NAMES, callers=st.integers(1, 5))
    def ask(self, name, callers):
        """
        Callers want the token.
        """
        self.runner.run(self._seen(name, [lambda: self.keeper.get(name)] * callers))

    @precondition(lambda self: any(self.keeper.slot(n).usable(self.stage.now) for n in MINTED))
    @rule(name=st.sampled_from(MINTED), callers=st.integers(1, 5), alive=st.booleans())
    def refuse(self, name, callers, alive):
        """
        An upstream answers the token at hand with 401, to some callers at once.
        """
        token = self.keeper.slot(name).token
        if token is None or not token.usable(self.stage.now):
            return
        self.stage.alive[token.value.reveal()] = alive
        self.refused.add(token.fingerprint)
        before = len(self.stage.mints)
        work = [lambda: self.keeper.renew(name, token)] * callers
        self.runner.run(self._seen(name, work))
        mine = [who for _, _, who in self.stage.mints[before:] if who == name]
        assert len(mine) <= 12, "a burst of refusals is one flight, and what is due meanwhile"

    @rule(alive=st.sampled_from([True, False, None]))
    def refuse_personal(self, alive):
        """
        An upstream answers the personal access token with 401.
        """
        token = self.keeper.slot(DEV).token
        if token is None:
            return
        self.stage.alive[token.value.reveal()] = alive
        self.refused.add(token.fingerprint)
        got = self.runner.run(self._seen(DEV, [lambda: self.keeper.renew(DEV, token)]))
        assert got[0] is None or isinstance(got[0], (Token, TokenError))

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 5.0, 30.0, 61.0, 300.0]))
    def wait(self, seconds):
        """
        Time passes, and the watch does its work.
        """
        self.runner.run(self.stage.pass_time(seconds))

    @rule(seconds=st.sampled_from([100.0, 3000.0, 50_000.0]))
    def sleep(self, seconds):
        """
        The machine sleeps: both clocks go on, nothing else does.
        """
        self.stage.now += seconds

    @rule(seconds=st.sampled_from([-7200.0, -30.0, -1.0, 1.0, 30.0, 600.0, 7200.0]))
    def leap(self, seconds):
        """
        Somebody sets the wall clock.
        """
        self.stage.leap(seconds)

    @rule(
        at=st.sampled_from(["acme", "other"]),
        mode=st.sampled_from(["throttles", "down", "hangs", "nonsense"]),
        seconds=st.sampled_from([0.0, 15.0, 3000.0]),
    )
    def leap_in_trouble(self, at, mode, seconds):
        """
        The wall clock leaps far ahead while an issuer has been in trouble for a while; everybody
        wants a token before and after that.
        """
        self._all_ask()
        self.stage.plays[at].mode, self.stage.plays[at].retry_after = mode, 20.0
        self.stage.now += seconds
        self.runner.run(self.stage.pass_time(3.0))
        self.stage.leap(50_000.0)
        self.runner.run(self.stage.pass_time(3.0))
        self._all_ask()

    def _all_ask(self) -> None:
        for name in (*MINTED, DEV):
            self.runner.run(self._seen(name, [lambda name=name: self.keeper.get(name)]))

    @rule(
        at=st.sampled_from(["acme", "other"]),
        mode=st.sampled_from(["well", "well", "down", "hangs", "sick", "nonsense", "throttles"]),
        latency=st.sampled_from([0.0, 0.05, 3.0]),
        lifetime=st.sampled_from([3600.0, 1.0, 5.0, 60.0, 43_200.0]),
    )
    def issuer(self, at, mode, latency, lifetime):
        """
        An issuer fares otherwise.
        """
        play = self.stage.plays[at]
        play.mode, play.latency, play.lifetime = mode, latency, lifetime
        play.retry_after = 20.0 if mode == "throttles" else None

    @rule(name=st.sampled_from(MINTED))
    def lock(self, name):
        """
        An administrator locks a service user, or lets it in again.
        """
        slot = self.keeper.slot(name)
        self.stage.plays[slot.user.issuer.name].refused ^= {name}

    @rule()
    def revoke(self):
        """
        One of several credentials is deleted at the issuer.
        """
        self.stage.plays["other"].refused ^= {self.keeper.slot("lazy").credential.fingerprint}

    @rule(name=st.sampled_from(MINTED), by=st.sampled_from(["watch", "file"]))
    def rotate(self, name, by):
        """
        A credential is replaced: noticed at once, or only when it is read anew.
        """
        before = self.keeper.slot(name).user
        after = replace(before, credential=self._secret())
        if by == "file":
            self.stage.fresh[name] = after
        else:
            if before.on_rotation == "drop" and (token := self.keeper.slot(name).token):
                self.refused.add(token.fingerprint)
            self.keeper.rotate(after)

    @rule()
    def rotate_personal(self):
        """
        A personal access token is replaced in its file.
        """
        before = self.keeper.slot(DEV).user
        value = FixedToken(Secret(f"canary-pat-{next(self.numbers) + 1}"))
        self.keeper.rotate(replace(before, credential=value))

    @rule()
    def heal(self):
        """
        Everything is well again: within ten seconds everybody has a token.
        """
        self.runner.run(self._heal())

    async def _heal(self) -> None:
        for play in self.stage.plays.values():
            play.mode, play.latency, play.lifetime = "well", 0.0, 3600.0
            play.retry_after = play.error = None
            play.refused.clear()
        # What was asked for before may take its time: a mint its deadline, patience its seconds,
        # a refusal, in case nobody acts, up to a minute; and where an issuer answered knocks all the
        # time nothing but the next trial tells that it is well
        while any(self.stage.under_way.values()):
            await self.stage.pass_time(1.0)
        for name in MINTED:
            slot = self.keeper.slot(name)
            breaker = self.stage.breakers(slot.user.issuer)
            until = max(breaker._hold_until, breaker._trial_ends, breaker._trial_at)
            if slot.backoff.final or slot.backoff.retry_at - self.stage.now > 10.0:
                until = max(until, slot.backoff.retry_at)
            if until > self.stage.now and (breaker.open or slot.backoff.error is not None):
                await self.stage.pass_time(until - self.stage.now)
        await self.stage.pass_time(10.0)
        for name in MINTED:
            got = await self._seen(name, [lambda name=name: self.keeper.get(name)])
            assert isinstance(got[0], Token), (name, got)

    @invariant()
    def one_mint_at_a_time(self):
        """
        Never more than one per service user.
        """
        assert self.stage.most_under_way <= 1

    @invariant()
    def nothing_leaks(self):
        """
        No secret in what is told or shown.
        """
        shown = repr((self.stage.events[-5:], self.keeper, self.keeper.states()))
        assert "canary" not in shown

    @invariant()
    def the_clock_of_tokens_is_the_boot_clock(self):
        """
        An aged token ends before its true end, never after it.
        """
        for name in MINTED:
            slot = self.keeper.slot(name)
            if slot.token is not None and slot.reserve is not None:
                assert slot.token.serve_until <= slot.reserve.serve_until


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

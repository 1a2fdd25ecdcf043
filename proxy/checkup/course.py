"""
Whether service users can really get tokens, asked of their issuers step by step.

Theory of operation
-------------------
One line of steps per credential: discovery, clock, mint, userinfo, and one of ZITADEL's own APIs
where the user's routes lead there. Each step passes, fails, or is skipped with its reason; after a
failure the rest of the line is not tried.

Discovery of all issuers starts at once and each is asked a single time, so that five that do not
answer take as long as one. An issuer that has let a mint's time pass is not asked for another
user's. The whole takes `BUDGET` seconds at most.

State: what issuers said, which were silent, and the tokens got, for users that exchange them. It
ends with the run. Nothing is printed here; what a failure means is said by `diagnosis`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.checkup.diagnosis import NO_PARTY, Circumstances, no_token
from proxy.checkup.reach import Reach, reach
from proxy.checkup.verdict import (
    MYSELF,
    Step,
    api_said,
    failed,
    passed,
    skipped,
    span,
    token_said,
    userinfo_said,
)
from proxy.checkup.way import no_answer, no_discovery
from proxy.checkup.words import Words
from proxy.config.minted import API_AUDIENCE
from proxy.core.credential import Exchange, FixedToken, SystemKey
from proxy.core.token import static_token
from proxy.errors import CredentialInvalid, MintTimeout, TokenError
from proxy.tokens.flight import Flights
from proxy.tokens.issuer_clock import TOLERANCE
from proxy.tokens.mint import signs
from proxy.tokens.refusals import YOUNG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from proxy.config.model import Settings
    from proxy.core.clock import Clock
    from proxy.core.credential import Issuer, Party, ServiceUser
    from proxy.core.token import Minted, Token
    from proxy.tokens.issuers import Issuers
    from proxy.tokens.line import Answer
    from proxy.tokens.metadata import Metadata

BUDGET = 120.0
"""Seconds the whole may take; ours: a dozen requests that time out, or a thousand that do not."""


@dataclass(slots=True)
class _Line:
    """
    What is known so far of one service user with one credential.

    Attributes:
        user: With that credential alone.
        reach: Where its routes lead.
        metadata: What its issuer says of itself.
        token: What it got.
        asked: Whether the step under way has asked somebody.
    """

    user: ServiceUser
    reach: Reach
    metadata: Metadata | None = None
    token: Token | None = None
    asked: bool = False


class Checkup:
    """
    Checks service users. Use as `async with Checkup(…) as checkup:`.

    Args:
        issuers: Entered already.
        users: All service users of the configuration.
        settings: The configuration, for its routes.
        clock: This host's.
        budget: Seconds for all of them together.
        pause: Waits so many seconds before a fresh token is shown once more.
    """

    def __init__(
        self,
        issuers: Issuers,
        users: Iterable[ServiceUser],
        settings: Settings,
        clock: Clock,
        *,
        budget: float = BUDGET,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._issuers = issuers
        self._users = {user.name: user for user in users}
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._budget = budget
        self._until = clock.boot() + budget
        self._flights: Flights[None] = Flights()
        self._found: dict[object, tuple[Step, Metadata | None]] = {}
        self._silent: dict[object, str] = {}
        self._tokens: dict[str, Token] = {}

    async def __aenter__(self) -> Self:
        for user in self._users.values():
            if user.issuer.token_endpoint is None:
                self._flights.start(user.issuer.place, partial(self._discover, user.issuer))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._flights.close()

    async def examine(self, user: ServiceUser, tell: Callable[[Step], None]) -> tuple[Step, ...]:
        """
        Take a service user through all steps.

        Args:
            user: With the one credential to be checked: see `ServiceUser.acting_with`.
            tell: Told of each step as it ends.
        """
        line = _Line(user, reach(self._settings, user.name))
        steps: list[Step] = []
        for name, work in self._plan(line):
            if any(step.ok is False for step in steps):
                step = Step(name, ok=None, said="not tried")
            else:
                step = await self._bounded(name, work, line)
            steps.append(step)
            tell(step)
        return tuple(steps)

    def _plan(self, line: _Line) -> list[tuple[str, Callable[[_Line], Awaitable[Step]]]]:
        """
        Return the steps in their order: what time it is at an issuer is learnt from an answer.
        """
        first: list[tuple[str, Callable[[_Line], Awaitable[Step]]]] = [
            ("clock", self._see_clock),
            ("mint", self._get_token),
        ]
        if line.user.issuer.token_endpoint is not None:
            first.reverse()
        plan = [("discovery", self._see_issuer), *first, ("userinfo", self._ask_userinfo)]
        if line.reach.apis or isinstance(line.user.credential, SystemKey):
            plan.append(("api", self._ask_api))
        return plan

    async def _bounded(
        self, name: str, work: Callable[[_Line], Awaitable[Step]], line: _Line
    ) -> Step:
        began, line.asked = self._clock.boot(), False
        try:
            async with asyncio.timeout(max(0.0, self._until - began)):
                step = await work(line)
        except TimeoutError:
            over = f"the whole check has taken {self._budget:g} s, which is its limit"
            step = failed(Words(over, "see to what was slow or failed above, and check again"))
        if line.asked:
            step = replace(step, took=self._clock.boot() - began)
        return replace(step, name=name)

    async def _see_issuer(self, line: _Line) -> Step:
        issuer = line.user.issuer
        if issuer.token_endpoint is not None:
            return skipped("not asked, since token_endpoint is configured")
        if issuer.place not in self._found:
            await self._flights.join(issuer.place, partial(self._discover, issuer))
        step, line.metadata = self._found[issuer.place]
        return step

    async def _discover(self, issuer: Issuer) -> None:
        """
        Ask an issuer what it says of itself, and remember the outcome whatever it is.
        """
        began = self._clock.boot()
        metadata: Metadata | None = None
        try:
            metadata = await self._issuers.discovery.metadata(issuer)
            step = passed(f"the issuer answers and calls itself {issuer.url}")
        except TokenError as error:
            step = failed(no_discovery(error, issuer))
        step = replace(step, took=self._clock.boot() - began)
        self._found[issuer.place] = (step, metadata)

    async def _see_clock(self, line: _Line) -> Step:
        behind = self._issuers.clocks.behind(line.user.issuer)
        if not behind:
            return passed(f"no difference of more than {TOLERANCE:.0f} s to the issuer's")
        said = f"this host's is {span(abs(behind))} {'behind' if behind > 0 else 'ahead of'} the issuer's"
        if signs(line.user.credential) or isinstance(line.user.credential, SystemKey):
            said += "; the proxy allows for it and dates what it signs by the issuer's"
        return passed(said, "set this host's clock right (NTP) all the same", warns=True)

    async def _get_token(self, line: _Line) -> Step:
        user = line.user
        try:
            if isinstance(user.credential, FixedToken):
                line.token = static_token(user.credential.value, born=self._clock.boot())
                return skipped("a personal access token is sent as it is, never minted")
            silent_for = self._silent.get(user.issuer.place)
            if silent_for is not None:
                what = f'not asked: the issuer let the time pass when "{silent_for}" asked'
                return failed(Words(what, f"see the mint of {silent_for}"))
            line.asked = True
            minted = await self._mint(user)
        except TokenError as error:
            line.asked = line.asked and not isinstance(error, CredentialInvalid)
            if isinstance(error, MintTimeout):
                self._silent.setdefault(user.issuer.place, user.name)
            return failed(no_token(error, user, await self._circumstances(line, error)))
        line.token = minted.token
        self._tokens.setdefault(user.name, minted.token)
        if isinstance(user.credential, SystemKey):
            return skipped("signed here and not minted; an API is asked instead")
        return token_said(minted, user, line.reach.elsewhere)

    async def _mint(self, user: ServiceUser) -> Minted:
        """
        Mint, with the tokens of others if *user* exchanges them.
        """
        exchange = user.credential
        if isinstance(exchange, Exchange):
            subject = await self._party(exchange.subject)
            actor = None if exchange.actor is None else await self._party(exchange.actor)
            user = user.acting_with(replace(exchange, subject=subject, actor=actor))
        return await self._issuers.mint(user)

    async def _party(self, party: Party) -> Party:
        name = party.service_user
        if name is None:
            return party
        if name not in self._tokens:
            try:
                self._tokens[name] = await self._token_of(self._users[name])
            except TokenError as error:
                raise type(error)(NO_PARTY + name) from None
        return replace(party, token=self._tokens[name].value)

    async def _token_of(self, user: ServiceUser) -> Token:
        if isinstance(user.credential, FixedToken):
            return static_token(user.credential.value, born=self._clock.boot())
        return (await self._mint(user)).token

    async def _circumstances(self, line: _Line, error: TokenError) -> Circumstances:
        metadata = line.metadata
        well: bool | None = None
        if error.doubtful and metadata is not None and metadata.userinfo_endpoint is not None:
            try:  # without a token: an issuer that is well says no to that in proper form
                answer = await self._issuers.line.ask(line.user.issuer, metadata.userinfo_endpoint)
            except TokenError:
                well = False
            else:
                well = answer.status < 500
        return Circumstances(
            self._issuers.advise(line.user),
            named=metadata is not None,
            well=well,
            grants=metadata.grants if metadata is not None else (),
        )

    async def _ask_userinfo(self, line: _Line) -> Step:
        user, token = line.user, line.token
        assert token is not None
        if isinstance(user.credential, SystemKey):
            return skipped("not asked: a system user is no user of the instance")
        if line.metadata is None:
            return skipped("not asked, since its address comes from discovery")
        if line.metadata.userinfo_endpoint is None:
            return skipped("the issuer names no userinfo endpoint at its own address")
        try:
            answer = await self._show(line, line.metadata.userinfo_endpoint, again=True)
        except TokenError as error:
            return failed(no_answer(error, user.issuer))
        now = self._issuers.clocks.now(user.issuer)
        return userinfo_said(answer.status, answer.body, user, token, now)

    async def _ask_api(self, line: _Line) -> Step:
        user = line.user
        parts = urlsplit(user.issuer.url)
        meant = API_AUDIENCE in user.scopes  # else a 401 is no surprise
        try:
            answer = await self._show(line, f"{parts.scheme}://{parts.netloc}{MYSELF}", again=meant)
        except TokenError as error:
            return failed(no_answer(error, user.issuer))
        return api_said(answer.status, answer.body, user, line.reach.apis)

    async def _show(self, line: _Line, url: str, *, again: bool) -> Answer:
        """
        GET *url* with the token; if *again*, a fresh one that is refused is shown a second time.
        """
        token, line.asked = line.token, True
        assert token is not None
        answer = await self._issuers.line.ask(line.user.issuer, url, bearer=token.value)
        if answer.status != 401 or token.kind == "static" or not again:
            return answer
        await self._pause(YOUNG)
        return await self._issuers.line.ask(line.user.issuer, url, bearer=token.value)

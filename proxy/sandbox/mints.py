"""
Token requests and what came of them, kept for whoever wants to look.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.sandbox.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Iterator

# How many mints are kept one by one; the tallies count on.
MINT_LIMIT = 1_000


@dataclass(slots=True)
class Mint:
    """
    One token request and its outcome.

    Attributes:
        grant: The `grant_type` as sent, at most 100 characters.
        user: Name of the service user it was for, `unknown` if none is known by what was sent.
        status: HTTP status of the answer; 0 if there was none.
        error: OAuth error code or name of the fault; empty on success.
        reason: Why it was refused, more plainly than the answer says.
        client_auth: `basic`, `post`, `assertion` or `none`.
        scopes: Scopes as sent.
        audience: Every `audience` parameter, in order.
        resource: Every `resource` parameter, in order.
        header: JOSE header of the assertion (a client's too); empty if there was none.
        claims: Claims of the assertion; empty if there was none.
    """

    grant: str
    user: str = "unknown"
    status: int = 0
    error: str = ""
    reason: str = ""
    client_auth: str = "none"
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    header: dict[str, object] = field(default_factory=dict)
    claims: dict[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """
        Whether a token was given out.
        """
        return self.status == 200 and not self.error


class MintLog:
    """
    The latest mints, oldest first, and tallies of all of them.
    """

    def __init__(self) -> None:
        self._mints: deque[Mint] = deque(maxlen=MINT_LIMIT)
        self._arrivals = Arrivals()
        self._ends = Arrivals()
        self._tally: Counter[tuple[str, str, bool]] = Counter()

    def arrive(self) -> None:
        """
        Count a token request whose body has arrived.
        """
        self._arrivals.one_more()

    def finish(self, mint: Mint) -> None:
        """
        Record what came of a token request.
        """
        self._mints.append(mint)
        self._tally[mint.grant, mint.user, mint.ok] += 1
        self._ends.one_more()

    @property
    def requests(self) -> int:
        """
        Token requests that have arrived, answered or not.
        """
        return self._arrivals.total

    @property
    def successes(self) -> int:
        """
        Tokens given out.
        """
        return self.count(ok=True)

    def count(
        self, *, user: str | None = None, grant: str | None = None, ok: bool | None = None
    ) -> int:
        """
        Count the mints that were answered, all or some.

        Args:
            user: Of this service user only.
            grant: Of this grant type only.
            ok: Successes only, or failures only.
        """
        return sum(
            number
            for (each_grant, each_user, each_ok), number in self._tally.items()
            if user in {None, each_user} and grant in {None, each_grant} and ok in {None, each_ok}
        )

    async def until(self, total: int) -> None:
        """
        Wait until *total* token requests have arrived since the start.
        """
        await self._arrivals.until(total)

    async def until_ended(self, total: int) -> None:
        """
        Wait until *total* token requests have been answered or given up since the start.
        """
        await self._ends.until(total)

    def __len__(self) -> int:
        return len(self._mints)

    def __iter__(self) -> Iterator[Mint]:
        return iter(tuple(self._mints))

    def __getitem__(self, index: int) -> Mint:
        return self._mints[index]

"""
The kill switch: what becomes of a service user's tokens and requests when an operator revokes it.

Theory of operation
-------------------
Tokens go first, then the requests that bear one: whoever begins in between finds no token. Of these,
what has not reached its upstream yet never does. What has is left to end by itself, though nothing
sends it again; or it is cut as well, response or WebSocket, if the operator says so.

Who is revoked is the keeper's to remember (`tokens.revocation`). Nothing is told to the issuer: a
token that leaked stays good there until it ends or is taken back there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from proxy.errors import CredentialInvalid
from proxy.tokens.revocation import REVOKED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from proxy.core.token import Token
    from proxy.generation import Generation, Lane
    from proxy.tokens.state import UserState
    from proxy.wire.downstream import Downstream
    from proxy.wire.tunnel import Tunnel
    from proxy.wire.upstream import Upstream


class Going(Protocol):
    """
    A request in flight, as far as it matters here (see `gateway.Request`).
    """

    done: bool
    error: Any
    lane: Lane | None
    retried: bool
    token: Token | None
    tunnel: Tunnel | None
    upstream: Upstream | None

    def fail(self, error: CredentialInvalid) -> None:
        """
        Answer with the error, or break the response off.
        """


class Switch:
    """
    Revokes service users and allows them again.

    Args:
        generation: Returns the generation of the moment.
        callers: Every open connection.
        on_event: Told of what was done, by whom.
    """

    def __init__(
        self,
        generation: Callable[[], Generation],
        callers: Collection[Downstream],
        on_event: Callable[..., None],
    ) -> None:
        self._generation = generation
        self._callers = callers
        self._on_event = on_event

    def names(self) -> tuple[str, ...]:
        """
        Return the service users there are; those, too, that a reload has taken away while requests
        with their tokens go on.
        """
        users = [user.name for user in self._generation().keeper.users()]
        return tuple(dict.fromkeys([*users, *(self._user(each) for each in self._bearing())]))

    async def revoke(self, name: str, who: str, *, cut: bool) -> int:
        """
        Revoke a service user; again if it is revoked already. Return how many requests ended.

        Args:
            name: One of `names`.
            who: The operator's address.
            cut: Cut its open responses and WebSockets, too.
        """
        keeper = self._generation().keeper
        there = self._has(name)
        if there:
            await keeper.revoke(name)
        bearing = [each for each in self._bearing() if self._user(each) == name]
        ended = sum(stop(request, cut=cut) for request in bearing)
        facts = _label(keeper.state(name)) if there else {"service_user": name}
        self._on_event("service_user.revoked", **facts, who=who, requests_ended=ended)
        return ended

    def allow(self, name: str, who: str) -> None:
        """
        Undo it.
        """
        keeper = self._generation().keeper
        if self._has(name):
            keeper.allow(name)
            self._on_event("service_user.allowed", **_label(keeper.state(name)), who=who)

    def _has(self, name: str) -> bool:
        return any(user.name == name for user in self._generation().keeper.users())

    @staticmethod
    def _user(request: Going) -> str:
        return "" if request.lane is None else request.lane.plan.service_user

    def _bearing(self) -> Iterator[Going]:
        """
        Yield the requests in flight with a token.
        """
        for caller in tuple(self._callers):
            request = cast("Going | None", caller.exchange)
            if request is None or request.done or request.token is None:
                continue
            if request.lane is not None:
                yield request


def stop(request: Going, *, cut: bool) -> bool:
    """
    End a request that bears a revoked token, if it must end; say whether it did.
    """
    sent = request.upstream is not None
    if sent:
        request.retried = True  # nothing sends it again
        if not cut:
            return False
    error = CredentialInvalid(REVOKED)
    if request.tunnel is not None:
        request.error = error
        request.tunnel.go_away()
    else:
        request.fail(error)
    return True


def _label(state: UserState) -> dict[str, str]:
    return {"service_user": state.name, "issuer": state.issuer, "method": state.method}

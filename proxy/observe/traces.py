"""
What is told of requests and mints in traces, before any of it becomes OpenTelemetry's.

Theory of operation
-------------------
A request has a span on the caller's side and one for each time it was sent upstream, whose id goes
up in `traceparent`. They are put together when the request has ended: until then it carries a few
numbers. Whether it is told of is for the caller to say, by the flag in its `traceparent`; where it
says nothing, for chance, which looks at the trace's id as OpenTelemetry's ratio sampler does.

A mint belongs to nobody's request, so it is a trace of its own, and always told of: there are few.
A request that waited for one is linked to it, found by the fingerprint of the token it got.

State: the last mint of each service user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from proxy.observe.metrics import MINTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.core.clock import Clock
    from proxy.core.token import Token

Kind = Literal["server", "client", "internal"]

LOW: Final = 2**64 - 1
"""The part of a trace's id that chance looks at."""


class Spot(NamedTuple):
    """
    One span, as others refer to it.

    Attributes:
        trace: The trace's id, not 0.
        span: Its own, not 0.
    """

    trace: int
    span: int


@dataclass(frozen=True, slots=True)
class Span:
    """
    Something that took time.

    Attributes:
        name: What it is called.
        kind: Which side of a request it is.
        spot: Its ids.
        began: Seconds since the epoch.
        ended: Likewise.
        attributes: What is said of it; never a credential, never a query.
        parent: The id of the span it is part of; 0 for none.
        remote: That one is another process's.
        links: What else it has to do with.
        error: Why it failed, in a word; empty if it did not.
    """

    name: str
    kind: Kind
    spot: Spot
    began: float
    ended: float
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    parent: int = 0
    remote: bool = False
    links: tuple[Spot, ...] = ()
    error: str = ""


class Spans(Protocol):
    """
    Takes spans; `observe.spool.Spool` is the one that has them sent.
    """

    def put(self, spans: Sequence[Span]) -> None:
        """
        Take spans, at once.
        """
        ...


class Mint(NamedTuple):
    """
    The last mint of a service user.
    """

    spot: Spot
    ended: float
    fingerprint: str


class Traces:
    """
    Decides what is told of, and keeps what requests are linked to.

    Args:
        spans: Where spans go.
        clock: Wall and boot time.
        sample: The share of requests that are told of where their caller does not say, from 0 to 1.
        chance: Returns a number of so many random bits.
    """

    def __init__(
        self, spans: Spans, clock: Clock, sample: float, chance: Callable[[int], int]
    ) -> None:
        self._spans = spans
        self._clock = clock
        self._bound = round(sample * 2**64)
        self._chance = chance
        self._mints: dict[str, Mint] = {}

    def trace(self) -> int:
        """
        Return the id of a new trace.
        """
        return self._chance(128) or 1

    def span(self) -> int:
        """
        Return the id of a new span.
        """
        return self._chance(64) or 1

    def sampled(self, trace: int) -> bool:
        """
        Say whether a trace that begins here is told of.
        """
        return trace & LOW < self._bound

    def put(self, spans: Sequence[Span]) -> None:
        """
        Have spans told.
        """
        self._spans.put(spans)

    def wall(self, boot: float) -> float:
        """
        Return what the wall clock said, in seconds since the epoch, when the boot clock said *boot*.
        """
        return self._clock.wall() - (self._clock.boot() - boot)

    def on_token_event(self, event: str, **facts: Any) -> None:
        """
        Tell of a mint; other events than the keeper's about mints are none of ours.
        """
        if event == "token.minted":
            outcome = MINTED
        elif event in {"token.mint_failed", "token.renewal_failed"}:
            outcome = facts["code"]
        else:
            return
        user, ended = facts["service_user"], self._clock.wall()
        spot = Spot(self.trace(), self.span())
        fingerprint = facts.get("fingerprint", "")
        self._mints[user] = Mint(spot, self._clock.boot(), fingerprint)
        about = {
            "authproxy.service_user": user,
            "authproxy.issuer": facts["issuer"],
            "authproxy.method": facts["method"],
            "authproxy.outcome": outcome,
        }
        failed = "" if outcome == MINTED else outcome
        if failed:
            about["error.type"] = failed
        span = Span(
            f"mint {user}",
            "internal",
            spot,
            ended - facts["seconds"],
            ended,
            about,
            error=failed,
        )
        self._spans.put((span,))

    def minted(self, user: str, token: Token) -> Spot | None:
        """
        Return the mint that *token* came of; None if that is not known.
        """
        mint = self._mints.get(user)
        return mint.spot if mint is not None and mint.fingerprint == token.fingerprint else None

    def failed(self, user: str, since: float) -> Spot | None:
        """
        Return the mint for *user* that has failed since *since*, in boot-clock seconds; None if none
        has.
        """
        mint = self._mints.get(user)
        if mint is None or mint.fingerprint or mint.ended < since:
            return None
        return mint.spot

    def __repr__(self) -> str:
        return f"<Traces of {self._bound / 2**64:.0%}>"

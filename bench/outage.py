"""
What does an outage of the issuer cost the callers?

Theory of operation
-------------------
Callers ask 200 times a second, whatever the answers and however long they take. The issuer fails
for a while twice as long as a token lives, and comes back on its port. The upstream judges each
token by its true end. Until that, no caller should notice; from then on an honest refusal that says
when to come back is the best there is, a token that has ended the worst; and once the issuer is
back, the first good answer should follow at once. Meanwhile the issuer should be left in peace.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers.peer import ADMIN
from bench.stand.issuer import OUTAGES
from bench.stand.question import Measure, Plan, Question, Sample, Values
from bench.stand.rate import Outcome, call_at_rate
from bench.stand.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers import Peer
    from bench.stand.ground import Ground

EARLY = Measure("failed before expiry", ratio=False, more=False)
GAVE_UP = Measure("first s before it", 1, ratio=False, more=False)
REFUSED = Measure("401 after it", ratio=False, more=False)
UNAVAILABLE = Measure("503 after it", ratio=False, more=False)
OTHERWISE = Measure("other after it", ratio=False, more=False)
COME_BACK = Measure("with Retry-After %", ratio=False)
SLOWEST = Measure("slowest s", 1, ratio=False, more=False)
REQUESTS = Measure("token requests", ratio=False, more=False)
ATTEMPTS = Measure("attempts", ratio=False, more=False)
BACK = Measure("back in s", 2, ratio=False, more=False)

RATE = 200.0
"""Requests a second at each peer."""

SECONDS = 60
"""Length of an outage if nothing else is said."""

SHORTEST = 10
"""Seconds of an outage: shorter ones have no room for a token's end."""

LEAD = 2.0
"""Seconds of calling before it."""

SETTLED = 1.0
"""Seconds of calling after the first good answer."""

LONGEST_WAIT = 40.0
"""Seconds after the outage in which there has to be one."""


@dataclass(slots=True)
class Watch:
    """
    What is seen of one peer.

    Attributes:
        outcomes: Its callers' requests, in the order of their ends.
        attempts: The mints it says it has tried during the outage; None if it says nothing.
    """

    outcomes: list[Outcome]
    attempts: float | None = None


def run(ground: Ground, plan: Plan) -> Iterator[Sample]:
    """
    Let all peers suffer each kind of outage at the same time.
    """
    seconds = max(plan.seconds, SHORTEST)
    scene = Scene(token_life=seconds // 2, outages=True)
    for kind in plan.outages or OUTAGES:
        with ground.peers(plan.entries(QUESTION.kinds, scene)) as peers:
            began = time.monotonic()
            outage, watches = asyncio.run(_suffer(ground, peers, kind, seconds))
        for peer, watch in zip(peers, watches, strict=True):
            mints = [end for _, end in ground.mints(peer.name) if end < outage[0]]
            values = judged(watch.outcomes, outage, max(mints) + scene.token_life)
            came = sum(outage[0] <= at < outage[1] for at in ground.arrivals(peer.name))
            values[REQUESTS.name] = came
            if watch.attempts is not None:
                values[ATTEMPTS.name] = watch.attempts
            _print(peer.name, kind, watch.outcomes, began)
            yield Sample(f"{peer.name} {kind}", 0, values)


async def _suffer(
    ground: Ground, peers: Sequence[Peer], kind: str, seconds: int
) -> tuple[tuple[float, float], list[Watch]]:
    """
    Call all peers through an outage; return its begin and end, and what was seen.
    """
    watches = [Watch([]) for _ in peers]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for peer, watch in zip(peers, watches, strict=True):
            group.create_task(call_at_rate(peer, RATE, watch.outcomes, stop))
        await asyncio.sleep(LEAD)
        outage = await asyncio.to_thread(ground.outage, kind, seconds)
        before = [await _attempts(peer) for peer in peers]
        await asyncio.sleep(outage[1] - time.monotonic())
        for watch, peer, count in zip(watches, peers, before, strict=True):
            after = await _attempts(peer)
            watch.attempts = None if after is None or count is None else after - count
        until = outage[1] + LONGEST_WAIT
        while time.monotonic() < until:
            await asyncio.sleep(SETTLED)
            if all(_first_good(watch.outcomes, outage[1]) is not None for watch in watches):
                until = min(until, time.monotonic() + SETTLED)
        stop.set()
    return outage, watches


def judged(
    outcomes: Sequence[Outcome], outage: tuple[float, float], expiry: float
) -> dict[str, float]:
    """
    Return the measures that callers can take.

    Args:
        outcomes: All requests of one peer.
        outage: Begin and end.
        expiry: True end of the token that was at hand when it began.
    """
    failed = [each for each in outcomes if each.status != 200 and each.begin >= outage[0]]
    early = [each for each in failed if each.end < expiry]
    late = [each for each in failed if each.end >= expiry]
    kinds = Counter(each.status for each in late)
    values: Values = {
        EARLY.name: len(early),
        GAVE_UP.name: max((expiry - each.end for each in early), default=0.0),
        REFUSED.name: kinds[401],
        UNAVAILABLE.name: kinds[503],
        OTHERWISE.name: sum(kinds.values()) - kinds[401] - kinds[503],
        SLOWEST.name: max(each.end - each.begin for each in outcomes),
    }
    if late:
        values[COME_BACK.name] = 100 * sum(each.come_back for each in late) / len(late)
    good = _first_good(outcomes, outage[1])
    if good is not None:
        values[BACK.name] = good - outage[1]
    return values


def _first_good(outcomes: Sequence[Outcome], after: float) -> float | None:
    return next((each.end for each in outcomes if each.status == 200 and each.end > after), None)


async def _attempts(peer: Peer) -> float | None:
    """
    Return how many mints a peer says it has tried; None if it does not tell.
    """
    place = peer.work / ADMIN
    if not place.exists():
        return None
    reader, writer = await asyncio.open_unix_connection(place)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    said = (await reader.read()).decode()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return sum(
        float(value)
        for value in re.findall(r"^authproxy_mints_total\{.*\} (\S+)", said, re.MULTILINE)
    )


def _print(name: str, kind: str, outcomes: Sequence[Outcome], began: float) -> None:
    """
    Tell when which answers came, in seconds since the first call.
    """
    spans: list[tuple[int, float, float]] = []
    for each in outcomes:
        at = each.end - began
        if spans and spans[-1][0] == each.status:
            spans[-1] = (each.status, spans[-1][1], at)
        else:
            spans.append((each.status, at, at))
    told = ", ".join(f"{status} {first:.1f}-{last:.1f}" for status, first, last in spans[:12])
    print(f"  {name} {kind}: {told}{' …' if len(spans) > 12 else ''}")


QUESTION = Question(
    "outage",
    "What does an outage of the issuer cost the callers?",
    (
        EARLY,
        GAVE_UP,
        REFUSED,
        UNAVAILABLE,
        OTHERWISE,
        COME_BACK,
        SLOWEST,
        REQUESTS,
        ATTEMPTS,
        BACK,
    ),
    ("authproxy", "envoy"),
    run,
    notes=(
        f"{RATE:.0f} requests/s at each peer, all at once; tokens live half the outage, which is "
        f"{SECONDS} s unless --seconds says otherwise. Held if none fails before the token's expiry, "
        "none is 401, at most 15 attempts are made in a minute, and it is back in 2 s."
    ),
    seconds=SECONDS,
)

"""
The head an upstream gets, on paper: its lines, and how they differ from the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from proxy.core.decide import Plan, host_lines, id_line
from proxy.explanation.paper import PaperLane
from proxy.options import count_down

if TYPE_CHECKING:
    from proxy.explanation.question import Question
    from proxy.generation import Lane
    from proxy.known import Known
    from proxy.wire.request import RequestFields

SHOWN = "Authorization: Bearer ***"
BEARER = f"{SHOWN}\r\n".encode()


def lines(  # noqa: PLR0913 - what the gateway makes a head of
    plan: Plan,
    method: bytes,
    goal: bytes,
    known: Known,
    head: RequestFields,
    *,
    foreign: bool,
    discreet: bool = False,
) -> list[str]:
    """
    Return the lines of the upstream's head (`gateway.Request._head`).

    Args:
        plan: What the route does.
        method: As in the request line.
        goal: The request target of the upstream.
        known: What is known of the request.
        head: The caller's header section.
        foreign: The caller's own credential goes up, and none is attached.
        discreet: Hide the values that the configuration sets.
    """
    own = known.lines_for(cast("Lane", PaperLane(plan)), head)
    if method == b"OPTIONS":
        own = count_down(own, head)
    parts = (
        b"%b %b" % (method, goal),
        host_lines(plan),
        own,
        b"" if foreign else BEARER,
        _without_values(plan.set_lines) if discreet else plan.set_lines,
        b"" if known.names_itself else id_line("…"),
        known.last,
    )
    return [line for line in b"".join(parts).decode().split("\r\n") if line]


def _without_values(section: bytes) -> bytes:
    names = (line.partition(b":")[0] for line in section.splitlines())
    return b"".join(b"%b: ***\r\n" % name for name in names)


def added(question: Question, sent: tuple[str, ...]) -> list[str]:
    """
    Return the lines that are not the caller's, behind the request line and Host.
    """
    came = {b"%b: %b" % pair for pair in question.fields}
    return [line for line in sent[2:] if line.encode() not in came]


def removed(question: Question, sent: tuple[str, ...]) -> list[str]:
    """
    Return the names of the caller's headers that do not go up as they came; Host is another's.
    """
    left = {line.encode() for line in sent}
    names = [
        name.decode()
        for name, value in question.fields
        if name.lower() != b"host" and b"%b: %b" % (name, value) not in left
    ]
    return list(dict.fromkeys(names))


def hide(line: str) -> str:
    """
    Hide the credential of a line a caller may keep.
    """
    name = line.partition(":")[0]
    return f"{name}: ***" if name.lower() == "authorization" and line != SHOWN else line

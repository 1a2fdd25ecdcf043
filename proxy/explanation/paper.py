"""
As much of a generation as settings alone make: what becomes of a request on paper.

Its methods ask the functions that `Admission._pass_door`, `Generation.errand` and
`Generation.forwarded` ask, in their order; keep in step.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.door import doors, entrances
from proxy.config.network import TcpAddress
from proxy.core.decide import Plan, confine, decide, upstream_target
from proxy.core.forward import ForwardTable
from proxy.core.route import Table
from proxy.core.target import (
    PATHLESS,
    parse_authority,
    parse_host,
    parse_target,
    with_path,
)
from proxy.errors import BadRequest, CallerForbidden
from proxy.planning import plan_routes, request_roles

if TYPE_CHECKING:
    from proxy.config.model import Settings
    from proxy.config.network import Address
    from proxy.core.admit import Entrance
    from proxy.core.door import Door
    from proxy.core.route import Lost, Route
    from proxy.explanation.question import Question
    from proxy.known import Known
    from proxy.wire.request import RequestFields
    from proxy.wire.roles import Roles

VIA = "Via: 1.1 authproxy-…\r\n".encode()

LOOPBACK = b"127.0.0.1"


@dataclass(frozen=True, slots=True)
class PaperLane:
    """
    As much of a lane as is read of a header section.
    """

    plan: Plan


class Way(NamedTuple):
    """
    Where a request goes.

    Attributes:
        route: The route.
        goal: What the upstream is asked for, without the query.
    """

    route: Route[Plan]
    goal: bytes


@dataclass(frozen=True, slots=True)
class Paper:
    """
    Settings, as far as it matters to a request.

    Attributes:
        table: The routes.
        forward: What they are for in forward mode.
        roles: Which request headers the wire sets aside.
        addresses: Where each listener is, by its number.
        doors: What each listener asks of requests, likewise.
        entrances: Who may use each, likewise.
        via: The `Via` line that goes up.
        last: What the upstream's head ends with, of a request without chunks.
    """

    table: Table[Plan]
    forward: ForwardTable[Plan]
    roles: Roles
    addresses: tuple[Address, ...]
    doors: tuple[Door, ...]
    entrances: tuple[Entrance, ...]
    via: bytes = VIA
    last: bytes = VIA + b"\r\n"

    def pass_door(
        self, listener: int, question: Question, head: RequestFields, known: Known
    ) -> tuple[bytes, bool]:
        """
        Return what is asked for, and whether that is in forward mode.

        Raises:
            CallerForbidden: The listener does not take it.
        """
        door, unwelcome, target = self.doors[listener], known.unwelcome, question.target
        is_forward = False
        if question.method == b"CONNECT":
            return target, False
        if target[:1] != b"/":
            with suppress(BadRequest):
                asked = parse_authority(target)
                if head.host:
                    _ = parse_host(head.host)
                local = _local(self.addresses[listener])
                if door.is_own(asked, local, self.forward.names):
                    unwelcome = door.refusal(asked.host, head.aside)
                else:
                    unwelcome = door.unmannerly(head.aside)
                    is_forward, target = True, with_path(target)
        if unwelcome:
            raise CallerForbidden(unwelcome)
        return target, is_forward

    def way(self, method: bytes, target: bytes, head: RequestFields, *, is_forward: bool) -> Way:
        """
        Return where a request goes, by its target without the query.

        Raises:
            RequestRefused: Nowhere.
        """
        if not is_forward:
            route, asked = decide(self.table, method, target, head.host, head.field)
            confine(route.action, route.match.path, asked)
            return Way(route, upstream_target(route.action, route.match.path, asked))
        found = self.forward.decide(method, target, head.field)
        whole = method == b"OPTIONS" and found.goal == b"/" and target.count(b"/") == PATHLESS
        return Way(found.route, b"*" if whole else found.goal)

    def lost(
        self, question: Question, *, is_forward: bool, chosen: Route[Plan] | None = None
    ) -> tuple[Lost, ...]:
        """
        Say why each route but the chosen one was not taken, as far as the request can be read.
        """
        method, path = question.method, question.target.partition(b"?")[0]
        known: dict[bytes, bytes] = {}
        for name, value in question.fields:
            lower = name.lower()
            known[lower] = known[lower] + b", " + value if lower in known else value
        try:
            if is_forward:
                return tuple(self.forward.explain(method, path, known.get, chosen))
            asked = parse_target(path, known.get(b"host", b""))
        except BadRequest:
            return ()
        return tuple(self.table.explain(method, asked.host, asked.path, known.get))


def on_paper(settings: Settings) -> Paper:
    """
    Return what settings make.
    """
    routes, opened = plan_routes(settings), doors(settings)
    table = Table(routes)
    return Paper(
        table=table,
        forward=ForwardTable(table, lambda plan: plan),
        roles=request_roles(routes, opened),
        addresses=tuple(each.address for each in settings.listen),
        doors=opened,
        entrances=entrances(settings),
    )


def _local(address: Address) -> tuple[bytes, int] | None:
    """
    Return the proxy's end of the connection, as far as settings tell: whoever connects to a listener
    on all addresses does so by loopback.
    """
    if not isinstance(address, TcpAddress):
        return None
    anywhere = address.host in ("0.0.0.0", "::", "localhost")  # noqa: S104 - compared with
    return LOOPBACK if anywhere else address.host.encode(), address.port

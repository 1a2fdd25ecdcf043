"""
What is known of a caller's header section, whatever it asks for.

Callers repeat themselves: a connection's next header section mostly equals its last one. What follows
from it alone is worked out once and noted on it (`RequestFields.note`), for the generation and the
connection it was worked out for.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal

from proxy.callers.evidence import Evidence, shown
from proxy.callers.verifier import PENDING
from proxy.core.decide import last_lines, travelling
from proxy.core.headers import (
    AUTHORIZATION,
    REQUEST_ID,
    TRACE_PARENT,
    TRACE_STATE,
    VIA,
    names_hop,
    valid_request_id,
)
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from proxy.callers.registry import Identity
    from proxy.callers.verifier import Pending
    from proxy.generation import Generation, Lane
    from proxy.wire.downstream import Downstream
    from proxy.wire.request import RequestFields

# W3C Trace Context §3.2: version, trace-id, parent-id, flags; more after them in versions to come
TRACE = re.compile(
    rb"(?!ff|00.{53}.)[0-9a-f]{2}"
    rb"-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?\Z"
)

NOTHING: Final[frozenset[bytes]] = frozenset()
TRACE_CONTEXT: Final = frozenset((TRACE_PARENT, TRACE_STATE))
OWN_AUTHORIZATION: Final = frozenset((AUTHORIZATION,))


class Known:
    """
    What follows from a header section, whatever is asked for, on the connection it came by.

    Attributes:
        generation: Under which this is so.
        unwelcome: Why the listener does not take it; empty if it does.
        request_id: The caller's own; empty if it brings none worth keeping.
        names_itself: Its line with that id travels.
        trace: The trace it belongs to.
        parent: The traceparent that says so.
        astray: It has a trace context that says nothing, and that does not travel.
        loops: It has come through this very proxy before.
        caller: Who calls, by name; None for nobody known. Worked out only where it matters.
        until: Until when that is so, in boot-clock seconds; long ago if it is not worked out.
        ours: An Authorization it brings is meant for this proxy, and never goes up.
        brought: How many Authorization lines it brings.
        foreign: One of them may travel.
        bare: It is empty.
        last: What the upstream's head ends with.
        lane: The route whose requests were last made of it,
        lines: and the lines that travel on that route.
    """

    __slots__ = (
        "astray",
        "bare",
        "brought",
        "caller",
        "foreign",
        "generation",
        "lane",
        "last",
        "lines",
        "loops",
        "names_itself",
        "ours",
        "parent",
        "request_id",
        "trace",
        "until",
        "unwelcome",
    )

    def __init__(self, generation: Generation, fields: RequestFields, listener: int) -> None:
        self.generation = generation
        self.unwelcome = generation.doors[listener].refusal(fields.host, fields.aside)
        self.request_id = ""
        self.names_itself = False
        self.trace: str | None = None
        self.parent = b""
        self.caller: str | None = None
        self.until = -math.inf
        self.ours = generation.entrances[listener].takes_authorization
        self.brought = 0
        self.foreign = False
        self.bare = False
        self.loops = False
        self.last = generation.last
        if fields.chunked or fields.upgrade:
            self.last = last_lines(fields, generation.via)
        self.lane: Lane | None = None
        self.lines = b""
        ids = parents = states = 0
        for name, value, index in fields.aside:
            if name == AUTHORIZATION:
                self.brought += 1
                self.foreign = bool(value and fields.lines[index])
                self.bare = not value
            elif name == REQUEST_ID:
                ids += 1
                self.request_id = value.decode("ascii") if valid_request_id(value) else ""
                self.names_itself = bool(self.request_id and fields.lines[index])
            elif name == VIA:
                # RFC 9110 §7.6.3: the pseudonym is this process's own
                self.loops |= names_hop(value, generation.via)
            elif name == TRACE_PARENT:
                parents += 1
                self.parent = value
            elif name == TRACE_STATE:
                states += 1
        if parents == 1 and (found := TRACE.match(self.parent)):
            self.trace = found[1].decode("ascii")
        # W3C Trace Context §3.2.2 and §4.3: what cannot be read is not passed on, state and all
        self.astray = self.trace is None and bool(parents or states)
        if ids > 1:
            self.request_id = ""
            self.names_itself = False

    def lines_for(self, lane: Lane, fields: RequestFields) -> bytes:
        """
        Return the field lines that go up on this route.
        """
        if self.lane is not lane:
            also = OWN_AUTHORIZATION if self.ours else NOTHING
            if self.astray:
                also |= TRACE_CONTEXT
            self.lines = travelling(lane.plan, fields, keep_id=self.names_itself, also=also)
            self.lane = lane
        return self.lines

    def travels(self, policy: Literal["reject", "keep"]) -> bool:
        """
        Say whether the Authorization the caller brings goes up, by its route's *policy*.

        Raises:
            BadRequest: The route takes none, or there is more than one.
        """
        if self.ours:
            return False
        if policy == "reject":
            raise BadRequest("the request brings an Authorization that its route rejects")
        if self.brought > 1:
            raise BadRequest("the request brings more than one Authorization")
        if self.bare:  # it would go up beside the token, or without any credential
            raise BadRequest("the request brings an empty Authorization; leave it out")
        return self.foreign

    def evidence(self, fields: RequestFields, caller: Downstream) -> Evidence:
        """
        Return what the header section and its connection show of who calls.
        """
        return Evidence(caller.who(), shown(fields.field, authorization=self.ours))

    def identify(self, fields: RequestFields, caller: Downstream) -> Identity | Pending:
        """
        Return who calls; PENDING if somebody must be asked first.
        """
        identity = self.generation.callers.identify(self.evidence(fields, caller))
        if identity is not PENDING:
            self.note(identity)
        return identity

    def note(self, identity: Identity) -> None:
        """
        Keep who calls, for as long as that is so.
        """
        self.caller = identity.name
        self.until = identity.until

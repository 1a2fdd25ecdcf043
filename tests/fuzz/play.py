"""
What happens on the rig: a caller's bytes in pieces, an upstream that answers, in some order.

Theory of operation
-------------------
A play has moves: let the loop turn once, take what a link wrote, bring the caller's next piece, bring
an upstream's next piece. `choose` picks among those possible now, until none is left. With `FIRST`
everything that can happen happens before the caller's next piece; with chance anything may overtake
anything else that it could overtake on a network.

The upstream reads by the letter (`reference`), and answers the n-th request it has whole with the
n-th reply. What it cannot read is kept in `faults`: nothing this project sends may end there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.fuzz.link import Link
from tests.fuzz.reference import Message, Stream, read_requests
from tests.fuzz.rig import Rig

Cut = Callable[[bytes], list[bytes]]
Choose = Callable[[int], int]

MOVES = 200_000
"""Moves after which a play is taken to go on for ever."""


def whole(data: bytes) -> list[bytes]:
    """
    Do not cut.
    """
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    """
    Cut between any two bytes.
    """
    return [data[at : at + 1] for at in range(len(data))]


def first(_: int) -> int:
    """
    Choose what has precedence.
    """
    return 0


@dataclass(frozen=True)
class Reply:
    """
    How the upstream answers one request.

    Attributes:
        final: Sent once the whole request is there.
        early: Sent once its head is there.
        close: It then closes the connection.
    """

    final: bytes
    early: bytes = b""
    close: bool = False


@dataclass
class Server:
    """
    The other end of one link to the upstream.

    Attributes:
        link: The link.
        answered: Requests answered on it.
        outbox: Pieces to be brought; None for the end.
        seen: What it has read.
    """

    link: Link
    answered: int = 0
    outbox: deque[bytes | None] = field(default_factory=deque)
    seen: Stream = field(default_factory=Stream)
    _read: int = 0
    _early: int = 0

    def news(self) -> bool:
        """
        Read what came; return whether there was anything.
        """
        if len(self.link.taken) == self._read:
            return False
        self._read = len(self.link.taken)
        self.seen = read_requests(bytes(self.link.taken))
        return True

    def interim_due(self) -> bool:
        """
        Return, once per request, whether its head has just come.
        """
        heads = len(self.seen.messages) + (self.seen.partial is not None)
        due = heads > self._early
        self._early = heads
        return due


class Play:
    """
    One play on a rig.

    Args:
        rig: The rig.
        said: What the caller sends.
        replies: What the upstream answers, in order of arrival; the last one stands for all more.
        cut: How both sides' bytes are cut into pieces.
        choose: Picks a move.

    Attributes:
        caller: The caller's connection.
        servers: The other ends of the upstream's links, in the order they were dialled.
        arrived: Requests the upstream has read, in the order they were whole.
        faults: What the upstream could not read.
    """

    def __init__(
        self,
        rig: Rig,
        said: bytes,
        replies: Sequence[Reply],
        *,
        cut: Cut = whole,
        choose: Choose = first,
    ) -> None:
        self.rig = rig
        self.caller = rig.call()
        self.servers: list[Server] = []
        self.arrived: list[Message] = []
        self.faults: list[str] = []
        self._pieces: deque[bytes | None] = deque(cut(said) if said else [])
        self._replies = replies
        self._cut = cut
        self._choose = choose
        self.forgo()

    def forgo(self) -> None:
        """
        Leave what others have sent upstream by now unanswered.
        """
        self._meet()
        for server in self.servers:
            server.news()
            server.answered = len(server.seen.messages)
            server.interim_due()

    def run(self) -> None:
        """
        Make moves until none is possible.
        """
        for _ in range(MOVES):
            self._serve()
            moves = self._moves()
            if not moves:
                return
            moves[self._choose(len(moves))]()
        raise AssertionError("the play does not end")

    def _meet(self) -> None:
        known = {id(server.link) for server in self.servers}
        self.servers += [Server(link) for link in self.rig.loop.links if id(link) not in known]

    def _serve(self) -> None:
        self._meet()
        for server in self.servers:
            if server.news():
                self._answer(server)

    def _answer(self, server: Server) -> None:
        if server.seen.fault:
            self.faults.append(server.seen.fault)
        while server.answered < len(server.seen.messages):
            reply = self._replies[min(len(self.arrived), len(self._replies) - 1)]
            self.arrived.append(server.seen.messages[server.answered])
            server.answered += 1
            early = reply.early if server.interim_due() else b""
            server.outbox.extend(self._cut(early + reply.final) if early + reply.final else ())
            if reply.close:
                server.outbox.append(None)
        if server.seen.partial is not None and server.interim_due():
            reply = self._replies[min(len(self.arrived), len(self._replies) - 1)]
            server.outbox.extend(self._cut(reply.early) if reply.early else ())

    def _moves(self) -> list[Callable[[], object]]:
        moves: list[Callable[[], object]] = []
        if self.rig.loop.busy:
            moves.append(self.rig.loop.turn)
        links = (*self.rig.loop.links, self.caller)
        moves += [partial(self._take, link) for link in links if link.unsent]
        sources = [(server.link, server.outbox) for server in self.servers]
        moves += [
            partial(self._bring, link, pieces)
            for link, pieces in (*sources, (self.caller, self._pieces))
            if pieces and link.reading and not link.lost
        ]
        return moves

    def _take(self, link: Link) -> None:
        link.take(1 + self._choose(len(link.unsent)))

    def _bring(self, link: Link, pieces: deque[bytes | None]) -> None:
        piece = pieces.popleft()
        if piece is None:
            link.bring_end()
        else:
            link.bring(piece)

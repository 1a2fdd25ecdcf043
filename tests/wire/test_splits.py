"""
Packets mean nothing: however two byte streams are cut and interleaved, both ends get the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import judge
from tests.fuzz.corpus import TAIL
from tests.fuzz.grammar import Asked, exchanges
from tests.fuzz.play import Choose, Cut, Play, bytewise, first, whole
from tests.fuzz.reference import Message, Stream, read_requests, read_responses
from tests.fuzz.rig import Rig


@dataclass
class Outcome:
    """
    What both ends got.

    Attributes:
        arrived: The upstream's connection by number, and a request it has read on it.
        answers: What the caller has read.
        closed: Whether its connection closed.
        log: Status, error and bytes of each line of the access log.
    """

    arrived: list[tuple[int, Message]]
    answers: Stream
    closed: bool
    log: list[tuple[object, ...]]


def play(asked: list[Asked], cut: Cut = whole, choose: Choose = first, high: int = 0) -> Outcome:
    """
    Let a caller send it all and an upstream answer, and return what became of it.
    """
    with Rig(high=high) as rig:
        said = b"".join(each.request for each in asked)
        stage = Play(rig, said, [each.reply for each in asked], cut=cut, choose=choose)
        stage.run()
        methods = [each.request.split(b" ")[0] for each in asked]
        caller = stage.caller
        closed = caller.ended or caller.is_closing()
        outcome = Outcome(
            [(n, seen) for n, server in enumerate(stage.servers) for seen in server.seen.messages],
            read_responses(bytes(caller.taken), methods, ended=closed and not caller.aborted),
            closed,
            [
                (line["status"], line["error"], line["bytes_in"], line["path"], line["request_id"])
                for line in rig.records
            ],
        )
    assert not stage.faults, stage.faults
    return outcome


def cuts(rng: random.Random, sizes: list[int]) -> Cut:
    """
    Cut into pieces of these sizes, chosen by chance.
    """

    def cut(data: bytes) -> list[bytes]:
        pieces = []
        while data:
            size = rng.choice(sizes)
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    return cut


def as_asked(outcome: Outcome, asked: list[Asked]) -> None:
    """
    Assert that what arrived is what was said, and what came back is what was answered.
    """
    said = read_requests(b"".join(each.request for each in asked)).messages
    methods = [message.method for message in said]
    assert len(said) == len(asked) == len(outcome.arrived)
    for (_, arrived), message in zip(
        sorted(outcome.arrived, key=lambda pair: number(pair[1])), said, strict=True
    ):
        origin_form = message.target.removeprefix(b"http://A.example:80")
        assert (arrived.method, arrived.target) == (message.method, origin_form)
        assert (arrived.body, arrived.chunked) == (message.body, message.chunked)
        assert set(arrived.trailers) <= set(message.trailers)
    got = [message for message in outcome.answers.messages if message.status >= 200]
    assert not outcome.answers.fault
    assert outcome.answers.partial is None
    for answer, each, method in zip(got, asked, methods, strict=True):
        sent = read_responses(each.reply.final, [method], ended=True).messages[0]
        assert (answer.status, answer.body) == (sent.status, sent.body)


def number(message: Message) -> int:
    """
    Return which of the pipelined requests this is.
    """
    return int(message.target.split(b"/")[1].partition(b"?")[0])


@settings(max_examples=250, deadline=None)
@given(
    asked=exchanges(),
    seed=st.integers(0, 2**32),
    sizes=st.sampled_from(([1], [1, 2, 3], [1, 7, 40], [5, 300], [10_000])),
    high=st.sampled_from((0, 0, 1, 50)),
)
def test_cutting_and_overtaking_change_nothing(asked, seed, sizes, high):
    """
    Any packets, any order of events, any back-pressure: the same messages on both sides.
    """
    expected = play(asked)
    as_asked(expected, asked)
    rng = random.Random(seed)

    assert play(asked, cuts(rng, sizes), rng.randrange, high) == expected


@settings(max_examples=150, deadline=None)
@given(asked=exchanges(most=2))
def test_byte_by_byte_is_all_at_once(asked):
    """
    One byte at a time, each read on its own, gives what one packet gives.
    """
    assert play(asked, bytewise) == play(asked)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = CHUNKED + b"14000\r\n" + b"x" * 0x14000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (LARGE + TAIL, len(LARGE) + 9),
        (LARGE + CHUNKED + b"1\r\nx\r\n0\r\n\r\n", len(LARGE) + len(CHUNKED)),
        (LARGE.replace(b"Host", b"Connection: upgrade\r\nUpgrade: h2c\r\nHost"), 0),
    ],
    ids=["part of a head", "a head without its body", "a body behind an upgrade"],
)
def test_size_of_a_packet_is_not_the_size_of_a_head(said, at):
    """
    What else came in the same read, however much, is not counted towards a head or a trailer section.
    """
    heard = judge.hear(said, lambda data: [data[:at], data[at:]] if at else [data])

    assert heard.code == b""
    assert [seen.body for seen in heard.arrived] == [m.body for m in read_requests(said).messages]

"""
What may become of any bytes at all, from a caller or from an upstream.

Two rules, each for both directions:

to the letter
    What is passed on is what the letter of the RFC reads in those bytes, message for message; what is
    not passed on is refused in our own words, and the connection ends.
cutting changes nothing
    The same bytes in one packet (read as plain heads where they are), with the first byte alone (read
    by the parser), and byte by byte give the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.wire.limits import Limits
from tests.fuzz.grammar import Pick
from tests.fuzz.play import Cut, Play, Reply, bytewise, whole
from tests.fuzz.reference import Message, Stream, read_requests, read_responses
from tests.fuzz.rig import Rig

DONE = b"HTTP/1.1 204 No Content\r\n"
"""How the upstream answers what it has read: a head without a body, whatever the method."""

OWN = re.compile(
    rb"HTTP/1\.1 ([45]\d\d) [A-Za-z' -]+\r\n(?:[A-Za-z-]+: [ -~]+\r\n)+\r\n(?:\{[ -~\n]*\}\n?)?\Z"
)
"""An answer of ours: nothing in it was said by anybody else."""

REASON = re.compile(rb"[\t -~\x80-\xff]*\Z")

NO_TRAILERS = {b"host", b"authorization", b"content-length", b"transfer-encoding", b"connection"}
"""What would mean something in a head, RFC 9110 §6.5.1."""

LONG = 1500
"""Bytes beyond which byte by byte takes too long."""

OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
OTHERS = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nother's only"

Talk = Sequence[tuple[bytes, bytes]]
"""Methods asked for, and what the upstream sends for each."""

TOO_LARGE = {b"414", b"431"}

Line = tuple[object, ...]
"""Status and error code of a line of the access log; without an error, method, path and body bytes."""


def first_alone(data: bytes) -> list[bytes]:
    """
    Cut behind the first byte.
    """
    return [piece for piece in (data[:1], data[1:]) if piece]


def by_chance(pick: Pick) -> Cut:
    """
    Return what cuts into up to five pieces.
    """

    def cut(data: bytes) -> list[bytes]:
        edges = sorted({0, len(data), *(pick(len(data) + 1) for _ in range(4))})
        return [data[one:other] for one, other in itertools.pairwise(edges)]

    return cut


@dataclass
class Heard:
    """
    What became of a caller's bytes.

    Attributes:
        arrived: What the upstream has read whole.
        partial: What it has read of one more; None also where that one was refused.
        answers: What the caller was sent, without a refusal.
        closed: Its connection ended.
        log: The access log.
        code: The status of the refusal in the end; empty if there is none.
    """

    arrived: list[Message]
    partial: Message | None
    answers: bytes
    closed: bool
    log: list[Line]
    code: bytes = b""


@dataclass
class Passed:
    """
    What became of an upstream's bytes, followed by the connection's end.

    Attributes:
        failed: Of each answer that ended, whether the log calls it the upstream's fault.
        answers: What the caller has read.
        whole: The caller's connection did not end in a reset.
        log: The access log.
        kept: Of each connection to the upstream, whether it was still open in the end.
    """

    failed: list[bool]
    answers: Stream
    whole: bool
    log: list[Line]
    kept: list[bool]


def hear(said: bytes, cut: Cut = whole, limits: Limits = Limits()) -> Heard:  # noqa: B008 - frozen
    """
    Let a caller say something, and assert what holds whatever it is.
    """
    with Rig(limits) as rig:
        stage = Play(rig, said, [Reply(DONE + b"\r\n")], cut=cut)
        stage.run()
        partial = [s.seen.partial for s in stage.servers if s.seen.partial is not None]
        heard = Heard(
            stage.arrived,
            partial[0] if partial else None,
            bytes(stage.caller.taken),
            stage.caller.ended or stage.caller.is_closing(),
            [_line(record) for record in rig.records],
        )
    assert not stage.faults, f"sent upstream what is no request: {stage.faults}"
    assert len(partial) <= 1
    *done, last = heard.answers.split(DONE)
    refusal = last.partition(b"\r\n\r\n")[2] if done else last
    if refusal:
        heard.partial = None
        own = OWN.match(refusal)
        assert own is not None, "an answer of ours looks otherwise"
        # 501: a transfer coding, 505: a version; both are the caller's choice
        assert own[1][:1] == b"4" or own[1] in {b"501", b"505"}, "answered as our fault"
        assert b"\r\nConnection: close\r\n" in refusal
        assert heard.closed, "open after a refusal"
        # its id and its body depend on how much of the request was known
        heard.answers, heard.code = heard.answers[: -len(refusal)], own[1]
    assert bool(refusal) == any(line[1] for line in heard.log), "log and answers differ"
    return heard


def heard_to_the_letter(said: bytes, cut: Cut = whole) -> None:
    """
    Assert that what goes up is what the letter reads, one for one and in order.
    """
    heard = hear(said, cut)
    read = [message for message in read_requests(said).messages if not _ours(message)]
    compare(heard.arrived, read)


def compare(went_up: Sequence[Message], read: Sequence[Message]) -> None:
    """
    Assert that requests are the same ones, or the first few of them.
    """
    assert len(went_up) <= len(read), "more requests went up than came"
    for arrived, message in zip(went_up, read, strict=False):
        target = re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", message.target)
        target = target if target.startswith(b"/") else b"/" + target
        assert (arrived.method, arrived.target) == (message.method, target)
        assert (arrived.body, arrived.chunked) == (message.body, message.chunked)
        assert set(arrived.trailers) <= set(message.trailers)
        assert not {name.lower() for name, _ in arrived.trailers} & NO_TRAILERS


def _ours(message: Message) -> bool:
    """
    Return whether a request asks this proxy itself something (RFC 9110 §7.6.2, §9.3.7).
    """
    forwards = message.values(b"max-forwards")
    return message.method == b"OPTIONS" and (message.target == b"*" or forwards[:1] == [b"0"])


def pass_on(talk: Talk, cut: Cut = whole) -> Passed:
    """
    Let a caller ask and an upstream answer and close, and another caller's request follow; assert
    that the other caller gets what is its own.
    """
    with Rig() as rig:
        said = b"".join(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method for method, _ in talk)
        stage = Play(rig, said, [Reply(sent) for _, sent in talk], cut=cut)
        stage.run()
        kept = [not link.lost for link in rig.loop.links]
        others = []
        if len(rig.records) == len(talk):  # the first connection may be the one it is sent on
            others.append(_other(rig))
        stage.forgo()
        for _ in talk:
            for link in rig.loop.links:
                link.bring_end()
            stage.run()  # what could be sent once more was
        others.append(_other(rig))
        got, aborted = bytes(stage.caller.taken), stage.caller.aborted
        lines = [_line(record) for record in rig.records]
    for other in others:
        assert [each.body for each in other.messages] == [b"other's only"]
    assert not any(line[1] for line in lines[-len(others) :])
    answers = read_responses(got, [method for method, _ in talk], ended=not aborted)
    assert not answers.fault, f"sent down what is no response: {answers.fault}"
    assert all(REASON.match(answer.reason) for answer in answers.messages)
    mine = lines[: -len(others)]
    failed = [str(line[1] or "").startswith("upstream_") for line in mine]
    return Passed(failed, answers, not aborted, mine, kept)


def _other(rig: Rig) -> Stream:
    """
    Return what another caller gets.
    """
    other = Play(rig, OTHER, [Reply(OTHERS)])
    other.run()
    return read_responses(bytes(other.caller.taken), [b"GET"], ended=False)


def passed_to_the_letter(talk: Talk, cut: Cut = whole) -> None:
    """
    Assert that the caller reads what the letter reads, or sees that something failed.
    """
    passed = pass_on(talk, cut)
    finals = [answer for answer in passed.answers.messages if answer.status >= 200]
    assert len(finals) <= len(passed.failed) <= len(talk)
    for number, ((method, sent), failed) in enumerate(zip(talk, passed.failed, strict=False)):
        final = finals[number] if number < len(finals) else None
        if failed:
            assert final is None or final.status == 502, "a response cut short looks whole"
            continue
        letter = read_responses(sent, [method], ended=True).messages
        meant = [answer for answer in letter if answer.status >= 200]
        assert final is not None, "neither an answer nor a failure"
        assert meant, "what the letter does not read was passed on"
        assert (final.status, final.body) == (meant[0].status, meant[0].body)


def heard_alike(said: bytes, pick: Pick, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    """
    Assert that cutting a caller's bytes changes nothing.

    What is both malformed and too large may be refused for either.
    """
    outcomes = [hear(said, cut, limits) for cut in _cuts(pick, said)]
    if any(outcome.code in TOO_LARGE for outcome in outcomes):
        for outcome in outcomes:
            assert outcome.code, "too large for one cut, and not refused for another"
            outcome.code, outcome.log = b"", outcome.log[:-1]
    _alike(outcomes)


def passed_alike(talk: Talk, pick: Pick) -> None:
    """
    Assert that cutting an upstream's bytes changes nothing.

    Where it fails, a caller to whom nothing was sent yet is told so, and any other is cut off; which
    of the two depends on the packets.
    """
    # Line ends behind a message, and a body that HEAD does not have, the parser may swallow unseen
    swallowed = any(method == b"HEAD" or sent[-1:] in {b"\r", b"\n"} for method, sent in talk)
    outcomes: list[object] = []
    for cut in _cuts(pick, b"".join(sent for _, sent in talk)):
        passed = pass_on(talk, cut)
        count = len([failed for failed in passed.failed if not failed])
        answers = [answer for answer in passed.answers.messages if answer.status >= 200][:count]
        ending: tuple[object, ...] = (passed.whole, passed.log)
        if not swallowed:
            ending = (*ending, passed.kept)
        if any(passed.failed):
            ending = (passed.failed,)
        outcomes.append(([(answer.raw, answer.body) for answer in answers], ending))
    _alike(outcomes)


def _cuts(pick: Pick, data: bytes) -> Sequence[Cut]:
    cuts = (whole, first_alone, by_chance(pick))
    return (*cuts, bytewise) if len(data) < LONG else cuts


def _alike(outcomes: Sequence[object]) -> None:
    for outcome in outcomes[1:]:
        assert outcome == outcomes[0], f"otherwise when cut\n{outcomes[0]}\n{outcome}"


def _line(record: dict[str, object]) -> Line:
    error = str(record["error"]).partition(":")[0] if record["error"] else None
    if error:  # how much was known of a request when it was refused depends on the packets
        return record["status"], error
    return record["status"], error, record["method"], record["path"], record["bytes_in"]

"""
A fuzz target for heads and framing: `python tests/fuzz/head.py [--seconds N] [--seed N]`.

Each round takes a valid message or an odd one, damages it, and asks the judge whether the wire reads
it to the letter, and the same however it is cut. The first that fails is made as small as it goes on
failing, and printed with what repeats it; exit code 1. Where atheris is installed it takes the
decisions, guided by coverage, and the options are its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from proxy.wire.limits import Limits
from tests.fuzz import judge
from tests.fuzz.corpus import REQUESTS, RESPONSES, TAIL
from tests.fuzz.grammar import Grammar, Pick
from tests.fuzz.mutation import damaged
from tests.fuzz.reference import read_responses

Question = Callable[[bytes], None]
"""Fails with an AssertionError."""

SMALL = Limits(target=40, head=200, headers=5)

METHODS = (b"GET", b"GET", b"HEAD")

TRIES = 500
"""How often a failing example is tried with less."""


@dataclass(frozen=True)
class Round:
    """
    Something to ask.

    Attributes:
        name: What the bytes are.
        data: The bytes.
        ask: The question.
    """

    name: str
    data: bytes
    ask: Question

    def wrong(self, data: bytes) -> str:
        """
        Ask of these bytes, and return what was wrong; empty if nothing was.
        """
        try:
            self.ask(data)
        except AssertionError as wrong:
            return str(wrong) or "an assertion failed"
        return ""

    def smaller(self) -> bytes:
        """
        Return fewer bytes that break the same rule.
        """
        data, tries = self.data, 0
        size = len(data) // 2
        while size:
            at = 0
            while at < len(data) and tries < TRIES:
                tries += 1
                without = data[:at] + data[at + size :]
                if self.wrong(without):
                    data = without
                else:
                    at += size
            size //= 2
        return data


def make_round(pick: Pick) -> Round:
    """
    Return something to ask.
    """
    return _request(pick) if pick(2) else _response(pick)


def _request(pick: Pick) -> Round:
    limits = Limits()
    if not pick(8):
        data, limits = Grammar(pick).request(0, last=True), SMALL
    elif pick(2):
        data = damaged(REQUESTS[pick(len(REQUESTS))] + (TAIL if pick(2) else b""), pick)
    else:
        data = b"".join(_pipelined(pick))
        data = damaged(data, pick) if pick(8) else data
    seed = pick(1 << 16)

    def ask(data: bytes) -> None:
        judge.heard_to_the_letter(data)
        judge.heard_alike(data, random.Random(seed).randrange, limits)

    return Round("request", data, ask)


def _pipelined(pick: Pick) -> list[bytes]:
    """
    Return requests for one connection, which often repeats its header section.
    """
    count = 1 + pick(3)
    made = [Grammar(pick).request(number, last=number == count - 1) for number in range(count)]
    if pick(2):
        section = made[0].partition(b"\r\n")[2]
        made[1:] = [each.partition(b"\r\n")[0] + b"\r\n" + section for each in made[1:]]
    return made


def _response(pick: Pick) -> Round:
    """
    Return a response to be damaged, often behind one with the same head.
    """
    methods = [METHODS[pick(3)] for _ in range(1 + pick(3))]
    if pick(2):
        data = RESPONSES[pick(len(RESPONSES))]
    else:
        reply = Grammar(pick).reply(methods[0])
        data = reply.early + reply.final
    before = [(method, _for(method, data)) for method in methods[1:]]
    before = [pair for pair in before if _is_whole(*pair)]
    method = methods[0]
    if pick(8):
        data = damaged(data, pick)
    seed = pick(1 << 16)

    def ask(data: bytes) -> None:
        talk = [*before, (method, data)]
        judge.passed_to_the_letter(talk)
        judge.passed_alike(talk, random.Random(seed).randrange)

    return Round(f"response to {method.decode()} behind {before}", data, ask)


def _is_whole(method: bytes, response: bytes) -> bool:
    stream = read_responses(response, [method], ended=False)
    rest = stream.partial or stream.rest or stream.fault
    return not rest and [each.status >= 200 for each in stream.messages] == [True]


def _for(method: bytes, response: bytes) -> bytes:
    """
    Return a response as the answer to a request of this method.
    """
    head, end, _ = response.partition(b"\r\n\r\n")
    return head + end if method == b"HEAD" else response


def hunt(seconds: float, seed: int, *, most: int = sys.maxsize) -> tuple[int, str]:
    """
    Ask for so long, or so often; return how often it was, and what was found.
    """
    until = time.monotonic() + seconds
    number = 0
    while number < most and time.monotonic() < until:
        this = numbered(seed, number)
        if this.wrong(this.data):
            return number, report(this, f"--seed {seed} --only {number}")
        number += 1
    return number, ""


def numbered(seed: int, number: int) -> Round:
    """
    Return the same round for the same numbers.
    """
    return make_round(random.Random(f"{seed}/{number}").randrange)


def report(this: Round, repeat: str) -> str:
    """
    Return what there is to say of a round that failed.
    """
    data = this.smaller()
    wrong = this.wrong(data)
    return f"{this.name}: {this.data!r}\nsmaller: {data!r}\nrepeat: {repeat}\n{wrong}"


def guided(atheris: Any) -> None:
    """
    Let atheris decide.
    """

    def target(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        this = make_round(lambda count: int(provider.ConsumeIntInRange(0, count - 1)))
        this.ask(this.data)

    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


def main() -> int:
    """
    Hunt for as long as the command line says.
    """
    if importlib.util.find_spec("atheris") is not None:
        guided(importlib.import_module("atheris"))
    parser = argparse.ArgumentParser(description="Look for bytes that are read wrongly.")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins (default: 0)")
    parser.add_argument("--only", type=int, help="repeat one round")
    arguments = parser.parse_args()
    if arguments.only is not None:
        this = numbered(arguments.seed, arguments.only)
        this.ask(this.data)
        return 0
    count, found = hunt(arguments.seconds, arguments.seed)
    print(found or f"{count} rounds, nothing found")  # noqa: T201 - it is what this program is for
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""
The command line: `python -m bench QUESTION [--cycles N] [--seconds N] [--peers A,B] [--json FILE]`,
and `--outages A,B` for the question of that name.

Exit codes: 0 measured · 1 a peer failed · 2 something has to be installed first, or the command line
is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.stand import machine
from bench.stand.machine import Missing
from bench.stand.process import Failed

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from bench.stand.question import Question

QUESTIONS = (
    "small_get",
    "varied",
    "routes_and_keys",
    "latency",
    "post",
    "bodies",
    "tls",
    "idle",
    "renewal",
    "outage",
    "many_routes",
    "reload",
    "soak",
)
"""The scripts, in the order of `all`."""

LIMIT = 1500
"""Seconds after which a run is stopped, whatever it does."""


def main() -> int:
    """
    Measure what the command line asks for, and print it.
    """
    arguments = _arguments()
    _bound(arguments.limit)
    try:
        machine.need("nginx", "wrk", "setpriv", "taskset")
        return _measure(arguments)
    except Missing as error:
        print(f"install first:\n{error}", file=sys.stderr)
        return 2
    except Failed as error:
        print(error, file=sys.stderr)
        return 1


def _measure(arguments: argparse.Namespace) -> int:
    from bench.peers import KINDS
    from bench.stand.ground import open_ground
    from bench.stand.issuer import OUTAGES
    from bench.stand.question import Plan
    from bench.stand.table import as_json, as_text

    names = QUESTIONS if arguments.question == "all" else (arguments.question,)
    questions: list[Question] = [import_module(f"bench.{name}").QUESTION for name in names]
    wanted = tuple(filter(None, arguments.peers.split(",")))
    unknown = [name for name in wanted if name not in KINDS]
    if unknown:
        raise Missing(f"no peer {unknown[0]!r}; there are: {', '.join(KINDS)}")
    kinds = dict.fromkeys(kind for each in questions for kind in wanted or each.kinds)
    versions = {kind: KINDS[kind].version() for kind in kinds}
    outages = tuple(filter(None, arguments.outages.split(",")))
    if set(outages) - set(OUTAGES):
        raise Missing(f"no such outage; there are: {', '.join(OUTAGES)}")
    seconds = arguments.seconds or (questions[0].seconds if len(questions) == 1 else 1)
    plan = Plan(arguments.cycles, seconds, wanted, outages)
    cores = machine.cores()
    os.sched_setaffinity(
        0, {cores[1]}
    )  # for us, and for what we start unless it is bound elsewhere
    results: list[dict[str, Any]] = []
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as work,
        open_ground(Path(work), cores) as ground,
    ):
        for question in questions:
            samples = list(question.run(ground, plan))
            results.append(as_json(question, samples))
            print(as_text(question, samples), end="\n\n", flush=True)
    facts = machine.facts(versions)
    took = time.monotonic() - began
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    print(f"{plan.cycles} cycles, {plan.seconds} s a visit; took {took:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"facts": facts, "results": results}, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Answer with a number.")
    parser.add_argument("question", choices=[*QUESTIONS, "all"])
    parser.add_argument("--cycles", type=_count, default=5, help="rounds (default: 5)")
    parser.add_argument(
        "--seconds", type=_count, default=0, help="length of a visit (default: 1; of an outage 60)"
    )
    parser.add_argument("--peers", default="", help="whom, with commas (default: as the question)")
    parser.add_argument("--outages", default="", help="of which kinds, with commas (default: all)")
    parser.add_argument("--json", type=Path, help="a file for the same as JSON, with every sample")
    parser.add_argument("--limit", type=_count, default=LIMIT, help="stop after so many seconds")
    return parser.parse_args()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _bound(limit: int) -> None:
    """
    End in time and in order, with enough descriptors for idle callers.
    """

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(limit)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())

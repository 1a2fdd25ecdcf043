from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import head, judge
from tests.fuzz.corpus import REQUESTS, RESPONSES, TAIL
from tests.fuzz.play import bytewise, whole
from tests.fuzz.reference import read_requests

ROUNDS = 400
"""How many rounds of the fuzz target belong to the tests; it is meant to run for hours elsewhere."""


def test_fuzz_target_finds_nothing():
    """
    The same few hundred rounds each time: read to the letter, and the same however it is cut.
    """
    count, found = head.hunt(50, seed=1, most=ROUNDS)

    assert found == ""
    assert count


@pytest.mark.parametrize("data", REQUESTS, ids=range(len(REQUESTS)))
def test_odd_requests_are_read_to_the_letter(data):
    """
    Each odd request, alone and with another one behind it, in one packet and byte by byte.
    """
    for cut in (whole, judge.first_alone, bytewise)[: 3 if len(data) < judge.LONG else 2]:
        judge.heard_to_the_letter(data, cut)
        judge.heard_to_the_letter(data + TAIL, cut)


@pytest.mark.parametrize("data", RESPONSES, ids=range(len(RESPONSES)))
def test_odd_responses_are_read_to_the_letter(data):
    """
    Each odd response, to GET and to HEAD, in one packet and byte by byte.
    """
    for cut in (whole, bytewise):
        for method in (b"GET", b"HEAD"):
            judge.passed_to_the_letter([(method, data)], cut)


def test_judge_notices_what_was_let_in():
    """
    The judge itself fails where more goes up than the letter reads.
    """
    with pytest.raises(AssertionError, match="more requests went up"):
        judge.compare(read_requests(TAIL).messages, [])


def test_standalone_program_repeats_a_round():
    """
    `python tests/fuzz/head.py` works by itself and says what it did.
    """
    program = Path(head.__file__)
    said = subprocess.run(
        [sys.executable, str(program), "--seconds", "1", "--seed", "5"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert said.stdout.endswith("rounds, nothing found\n"), said.stdout + said.stderr
    assert said.returncode == 0

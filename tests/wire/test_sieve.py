"""
A body in pieces goes through a sieve: what is held back, what is blotted out, and nothing else.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.echo import SHOWN, Sieve, blot, longest_beginning

LETTERS = st.sampled_from(b"ab")
WORDS = st.one_of(
    st.lists(LETTERS, min_size=SHOWN + 1, max_size=24).map(bytes),
    st.builds(
        lambda part, times, end: bytes(part) * times + end,
        st.lists(LETTERS, min_size=1, max_size=4),
        st.integers(5, 60),
        st.sampled_from((b"", b"a", b"b", b"ba")),
    ),
)


@st.composite
def streams(draw, most=1):
    """
    Return words, and pieces made of them, of their beginnings and ends, and of anything.
    """
    words = tuple(draw(st.lists(WORDS, min_size=1, max_size=most)))
    part = st.one_of(
        st.sampled_from(words),
        st.builds(lambda word, n: word[:n], st.sampled_from(words), st.integers(0, 60)),
        st.builds(lambda word, n: word[n:], st.sampled_from(words), st.integers(0, 60)),
        st.lists(st.sampled_from(b"ab-"), max_size=9).map(bytes),
    )
    data = b"".join(draw(st.lists(part, max_size=8)))
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    borders = [0, *places, len(data)]
    return words, [data[a:b] for a, b in pairwise(borders)]


@settings(max_examples=250, deadline=None)
@given(streams())
def test_a_sieve_passes_what_is_passed_whole(stream):
    """
    However a body is cut, what gets through is what would if it came at once, but for the first four
    characters of a word; and never is more held back than the beginning of a word.
    """
    words, pieces = stream
    word = words[0]
    sieve = Sieve(words)
    passed, came, found = b"", b"", False
    for piece in pieces:
        came += piece
        passed += sieve.take(piece)
        found |= sieve.found
        kept = len(came) - len(passed)
        begun = max(n for n in range(len(word)) if came.endswith(word[:n]))
        assert kept == 0 or SHOWN < begun >= kept
    passed += sieve.rest()

    expected = blot(words, came)
    assert len(passed) == len(expected)
    assert found == (expected is not came)
    masked = expected
    for place in starts(came, word):
        seen = passed[place : place + SHOWN]
        masked = masked[:place] + seen + masked[place + SHOWN :]
        assert all(a in (b, ord("*")) for a, b in zip(seen, word, strict=False))
    assert passed == masked


def starts(data: bytes, word: bytes) -> list[int]:
    """
    Return where the word stands, from the left, without overlaps.
    """
    found, place = [], data.find(word)
    while place >= 0:
        found.append(place)
        place = data.find(word, place + len(word))
    return found


@settings(max_examples=250, deadline=None)
@given(streams(most=3))
def test_no_word_gets_through_a_sieve(stream):
    """
    Of several words none gets through, and as many bytes come out as went in.
    """
    words, pieces = stream
    sieve = Sieve(words)
    passed = b"".join([*map(sieve.take, pieces), sieve.rest()])

    assert len(passed) == sum(map(len, pieces))
    assert not any(word in passed for word in words)
    if not any(word in b"".join(pieces) for word in words):
        assert passed == b"".join(pieces)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.lists(LETTERS, max_size=300).map(bytes), st.integers(0, 400))
def test_the_longest_beginning_is_found(word, data, size):
    """
    However often a word begins near the end, the longest beginning that lasts to the end is found.
    """
    data += word[:size]
    brute = max(
        (n for n in range(SHOWN + 1, len(word)) if data.endswith(word[:n])),
        default=0,
    )

    assert longest_beginning(word, data) == brute


@pytest.mark.parametrize(
    "tail", [b"a" * 500 + b"c", b"a" * 900 + b"b" + b"a" * 100, b"b" + b"a" * 90]
)
def test_beginnings_beyond_number_are_searched_in_one_pass(tail):
    """
    A word that begins at every place of the end costs one pass over it, with the same outcome.
    """
    word = b"a" * 600 + b"b" + b"a" * 400
    brute = max((n for n in range(SHOWN + 1, len(word)) if tail.endswith(word[:n])), default=0)

    assert longest_beginning(word, tail) == brute

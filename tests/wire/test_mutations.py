"""
Damaged messages: refused, or read as the letter of the RFC reads them; never anything between.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.grammar import Grammar, below
from tests.fuzz.judge import heard_to_the_letter, passed_to_the_letter
from tests.fuzz.mutation import damaged
from tests.fuzz.play import bytewise, whole

CUTS = st.sampled_from((whole, bytewise))


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    """
    One to three pipelined requests with up to three things wrong.
    """

    def pick(count: int) -> int:
        return draw(below(count))

    grammar, count = Grammar(pick), 1 + pick(3)
    said = b"".join(grammar.request(n, last=n == count - 1) for n in range(count))
    return damaged(said, pick)


@st.composite
def damaged_replies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """
    A method, and a reply to it with up to three things wrong.
    """

    def pick(count: int) -> int:
        return draw(below(count))

    method = (b"GET", b"GET", b"HEAD")[pick(3)]
    reply = Grammar(pick).reply(method)
    return method, damaged(reply.early + reply.final, pick)


@settings(max_examples=400, deadline=None)
@given(said=damaged_requests(), cut=CUTS)
def test_damaged_requests_are_refused_or_read_to_the_letter(said, cut):
    """
    What goes up is what the letter reads, one for one; the rest gets a 4xx of ours, and the
    connection closes.
    """
    heard_to_the_letter(said, cut)


@settings(max_examples=400, deadline=None)
@given(reply=damaged_replies(), cut=CUTS)
def test_damaged_responses_reach_nobody_else(reply, cut):
    """
    A damaged response is passed on as the letter reads it, or is a 502, or is cut; other callers'
    responses are their own.
    """
    passed_to_the_letter([reply], cut)

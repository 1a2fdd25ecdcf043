from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable
from proxy.tokens.backoff import (
    LONGEST_RETRY,
    LONGEST_WAIT,
    Backoff,
    again,
)


@pytest.mark.parametrize("kind", [MintRejected, CredentialInvalid])
def test_a_permanent_refusal_is_held_longer_each_time(kind):
    """
    2, 4, 8 … 60 s: callers meanwhile get the same answer without asking the issuer.
    """
    backoff, holds, now = Backoff(), [], 0.0
    for _ in range(8):
        backoff.failed(kind("no"), now, 0.5)
        standing = backoff.standing(now)
        assert standing is not None
        assert standing.retry_after is not None
        assert type(standing) is kind
        holds.append(standing.retry_after)
        now += standing.retry_after
        assert backoff.standing(now) is None

    assert holds == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("kind", [MintUnavailable, MintTimeout])
def test_a_passing_failure_is_held_for_a_random_moment(kind):
    """
    A burst must not hammer the issuer, and many proxies must not come back as one.
    """
    backoff = Backoff()
    backoff.failed(kind("down"), 10.0, 0.5)

    assert backoff.standing(10.7) is not None
    assert backoff.standing(10.75) is None


def test_a_passing_failure_can_be_forgiven_and_a_refusal_cannot():
    """
    Once the issuer is well, what it refused is still refused; with another credential it need not be.
    """
    backoff = Backoff()
    backoff.failed(MintUnavailable("down"), 10.0, 0.9)
    backoff.forgive()
    assert backoff.standing(10.0) is None

    backoff.failed(MintRejected("no"), 10.0, 0.9)
    backoff.forgive()
    assert backoff.standing(10.0) is not None
    backoff.forgive(final=True)
    assert backoff.standing(10.0) is None


def test_retry_after_holds_callers_and_background_alike():
    """
    The issuer said how long to leave it alone, and the remaining time is passed on.
    """
    backoff = Backoff()
    backoff.failed(MintUnavailable("busy", retry_after=30.0), 10.0, 0.5)

    standing = backoff.standing(25.0)
    assert standing is not None
    assert standing.retry_after == 15.0
    assert backoff.retry_at == 40.0
    assert backoff.standing(40.0) is None


def test_a_success_forgets_everything():
    """
    The next failure is the first again.
    """
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(MintRejected("no"), 0.0, 0.5)
    backoff.succeeded()

    assert backoff.standing(0.0) is None
    assert (backoff.failures, backoff.error) == (0, None)
    backoff.failed(MintRejected("no"), 0.0, 0.5)
    assert backoff.standing(1.9) is not None
    assert backoff.standing(2.0) is None


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=80))
def test_waits_grow_with_jitter_to_a_cap(chances):
    """
    The n-th wait lies anywhere between half of 2ⁿ⁻¹ s and all of it: at most ten seconds if there is no
    token to go on with, a minute if there is.
    """
    for urgent, longest in ((True, LONGEST_WAIT), (False, LONGEST_RETRY)):
        backoff = Backoff()
        for count, chance in enumerate(chances):
            backoff.failed(MintUnavailable("down"), 0.0, chance, urgent=urgent)
            ceiling = min(2.0 ** min(count, 16), longest)
            assert backoff.retry_at == (0.5 + 0.5 * chance) * ceiling


def test_a_failure_is_kept_without_its_traceback():
    """
    Frames would keep the request, and its secrets, alive.
    """
    backoff = Backoff()
    with pytest.raises(MintRejected) as caught:
        raise MintRejected("no", retry_after=1.0)
    backoff.failed(caught.value, 0.0, 0.5)

    assert backoff.error is not None
    assert backoff.error.__traceback__ is None
    assert (backoff.error.reason, backoff.error.retry_after) == ("no", 1.0)
    assert again(caught.value, retry_after=3.0).retry_after == 3.0


def test_replacing_refused_tokens_cools_down():
    """
    Once at once, then after 5, 10, 20 … 300 s: a missing scope does not cost a mint per request.
    """
    backoff = Backoff()

    replaced = [second for second in range(1300) if backoff.may_replace(float(second))]

    assert replaced == [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]


def test_a_refusal_long_after_the_last_starts_anew():
    """
    A token revoked every few hours is replaced at once each time.
    """
    backoff = Backoff()
    assert backoff.may_replace(0.0)
    assert backoff.may_replace(5.0)
    assert not backoff.may_replace(14.9)
    assert backoff.may_replace(1000.0)
    assert not backoff.may_replace(1004.9)
    assert backoff.may_replace(1005.0)

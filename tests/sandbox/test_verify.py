from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sandbox.clients import parse_client
from proxy.sandbox.verify import AssertionRefusedError, Terms, verify_assertion

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
times = (
    st.sampled_from([1_000, 10**400, -1, 0, 1e308, float("nan"), True, "1000", None]) | json_values
)


def part(value: object) -> str:
    """
    Encode one part of a JWS.
    """
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@given(
    header=st.fixed_dictionaries(
        {"alg": st.sampled_from(["RS256", "none", "PS256"]) | json_values, "kid": json_values},
        optional={"crit": json_values, "b64": json_values, "typ": json_values},
    ),
    claims=st.fixed_dictionaries(
        {},
        optional={
            "aud": st.sampled_from(["i", ["i"]]) | json_values,
            "exp": times,
            "iat": times,
            "iss": st.just("u") | json_values,
            "sub": st.just("u") | json_values,
        },
    ),
    tail=st.sampled_from(["", "AAAA", "!", "é"]),
)
def test_hostile_assertions_are_refused_and_nothing_else(keys, header, claims, tail):
    """
    Whatever an unsigned assertion says, it is refused by the one exception there is for that.
    """
    text = f"{part(header)}.{part(claims)}.{tail}"

    terms = Terms(audiences=("i",), now=900.0, key_of=lambda _kid, _iss: keys.provisioner.public)

    with pytest.raises(AssertionRefusedError):
        verify_assertion(text, terms)


@given(value=st.text(max_size=40))
def test_any_basic_header_is_read_or_ignored(value):
    """
    No Basic value, however odd, does more than fail to name a client.
    """
    raw = base64.b64encode(f"a:{value.replace('%', '')}".encode()).decode()

    auth = parse_client(f"basic {raw}", {})

    assert (auth.how, auth.client_id) == ("basic", "a")
    assert repr(auth.secret) == "***"

from __future__ import annotations

import contextlib
import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.secret import Secret
from proxy.core.token import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    MAX_TOKEN_CHARS,
    Token,
    read_token_response,
    static_token,
)
from proxy.errors import CredentialInvalid, MintUnavailable


def answer(**fields) -> bytes:
    """
    Return a token answer with these fields.
    """
    return json.dumps({"access_token": "sesame", "token_type": "Bearer"} | fields).encode()


def token(lifetime: float, born: float = 1000.0) -> Token:
    """
    Return a token of this life.
    """
    return Token(Secret("sesame"), born, lifetime, "minted")


def test_a_token_holds_its_finished_header_line():
    """
    The data path writes `header` as it is.
    """
    assert token(60).header == b"Authorization: Bearer sesame\r\n"


def test_a_token_shows_nothing_of_itself():
    """
    Neither repr, str nor pickle give the token away; the fingerprint tells it from others.
    """
    shown = token(43199)

    assert repr(shown) == "<Token minted, lives 43199 s>"
    assert "sesame" not in f"{shown} {shown!s}"
    assert shown.fingerprint == Secret("sesame").fingerprint()
    with pytest.raises(TypeError):
        pickle.dumps(shown)


def test_a_static_token_has_no_end_unless_one_is_stated():
    """
    A personal access token is served for ever, or to its stated expiry, and never renewed.
    """
    endless = static_token(Secret("pat"), born=5.0)
    stated = static_token(Secret("pat"), born=5.0, lifetime=100.0)

    assert repr(endless) == "<Token static, no stated end>"
    assert endless.usable(1e12)
    assert stated.usable(99.9)
    assert not stated.usable(105.0)
    assert endless.renew_at(0.5) == stated.renew_at(0.5) == math.inf


@pytest.mark.parametrize("text", ["", "a b", "pat\n", "a\r\nX-Evil: 1", "é", "a\x00", "a\x7f"])
def test_a_static_token_that_cannot_stand_in_a_header_is_refused(text):
    """
    A badly pasted token is named as such and not shown.
    """
    with pytest.raises(CredentialInvalid, match="paste the token alone"):
        static_token(Secret(text), born=0.0)


def test_a_token_cannot_be_made_of_anything_else():
    """
    Whoever makes one has to look first; the value holds either way.
    """
    with pytest.raises(ValueError, match="not a text that can stand"):
        Token(Secret("a\r\nX-Evil: 1"), 0.0, 1.0, "minted")


@pytest.mark.parametrize(
    ("lifetime", "skew"),
    [(43199.0, 5.0), (60.0, 5.0), (50.0, 5.0), (20.0, 2.0), (5.0, 0.5), (1.0, 0.1)],
)
def test_the_skew_is_small_and_a_fraction_of_a_short_life(lifetime, skew):
    """
    A token is served to its true end less 5 s, or less a tenth of a life below 50 s.
    """
    assert token(lifetime).serve_until == pytest.approx(1000.0 + lifetime - skew)


@given(
    st.floats(min_value=1.0, max_value=MAX_LIFETIME),
    st.floats(min_value=0.0, max_value=1.0, exclude_max=True),
    st.floats(min_value=0.0, max_value=1e9),
)
def test_renewal_starts_between_75_and_85_percent_and_before_the_end(lifetime, chance, born):
    """
    For every lifetime: asked for < renewed < no longer served < ended.
    """
    one = Token(Secret("x"), born, lifetime, "minted")

    assert 0.749 * lifetime < one.renew_at(chance) - born < 0.851 * lifetime
    assert born < one.renew_at(chance) < one.serve_until < born + lifetime
    assert one.usable(one.renew_at(chance))
    assert not one.usable(one.serve_until)


def test_a_plain_answer_is_read():
    """
    ZITADEL's answer gives a token that lives as long as it says, counted from the asking.
    """
    minted = read_token_response(answer(expires_in=43199, id_token="ignored"), born=7.0)

    assert minted.token.value == Secret("sesame")
    assert (minted.token.born, minted.token.lifetime) == (7.0, 43199.0)
    assert minted.token.kind == "minted"
    assert minted.note == ""


EXPIRES_IN = {
    "one": ("1", 1.0, ""),
    "integral float": ("3600.0", 3600.0, ""),
    "a day": ("86400", 86400.0, ""),
    "above a day": ("86401", MAX_LIFETIME, "longer than a day"),
    "absurd": ("1e12", MAX_LIFETIME, "longer than a day"),
    "zero": ("0", DEFAULT_LIFETIME, "zero or negative"),
    "negative": ("-5", DEFAULT_LIFETIME, "zero or negative"),
    "null": ("null", DEFAULT_LIFETIME, "is null"),
    "true": ("true", DEFAULT_LIFETIME, "is true or false"),
    "false": ("false", DEFAULT_LIFETIME, "is true or false"),
    "digits in a text": ('"3600"', DEFAULT_LIFETIME, "is a text"),
    "few digits in a text": ('"60"', 60.0, "is a text"),
    "words": ('"abc"', DEFAULT_LIFETIME, "is a text"),
    "empty text": ('""', DEFAULT_LIFETIME, "is a text"),
    "other digits": ('"٣٦٠٠"', DEFAULT_LIFETIME, "is a text"),
    "fraction": ("3600.5", DEFAULT_LIFETIME, "not a whole number"),
    "small fraction": ("60.5", 60.5, "not a whole number"),
    "tiny fraction": ("0.001", DEFAULT_LIFETIME, "not a whole number"),
    "overflow": ("1e999", DEFAULT_LIFETIME, "not a whole number"),
    "many digits": ("9" * 400, MAX_LIFETIME, "longer than a day"),
    "array": ("[3600]", DEFAULT_LIFETIME, "not a number"),
    "object": ("{}", DEFAULT_LIFETIME, "not a number"),
}


@pytest.mark.parametrize(("text", "lifetime", "note"), EXPIRES_IN.values(), ids=EXPIRES_IN.keys())
def test_an_odd_expires_in_gives_a_cautious_life_and_a_note(text, lifetime, note):
    """
    Whatever is not a positive number of seconds gives at most 300 s; nothing gives more than a day.
    """
    body = b'{"access_token":"t","token_type":"Bearer","expires_in":' + text.encode() + b"}"

    minted = read_token_response(body, born=0.0)

    assert minted.token.lifetime == lifetime
    assert note in minted.note
    assert bool(note) == bool(minted.note)


def test_a_missing_expires_in_gives_the_default():
    """
    ZITADEL leaves the field out when it is 0; authlib would take that for "never".
    """
    minted = read_token_response(answer(), born=0.0)

    assert minted.token.lifetime == DEFAULT_LIFETIME
    assert minted.note == "expires_in is missing; taken as 300 s"


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_the_token_type_is_read_in_any_case(kind):
    """
    RFC 6749 §5.1: the token type is case-insensitive.
    """
    assert read_token_response(answer(token_type=kind), born=0.0).token.kind == "minted"


REFUSED = {
    "other type": (answer(token_type="DPoP"), r"another token_type than Bearer \(DPoP\)"),
    "no type": (b'{"access_token":"sesame"}', r"another token_type than Bearer \(none\)"),
    "type no text": (answer(token_type=["Bearer"]), "another token_type"),
    "no token": (b'{"token_type":"Bearer"}', "no access_token"),
    "empty token": (answer(access_token=""), "no access_token"),
    "token no text": (answer(access_token={"a": 1}), "no access_token"),
    "header injection": (answer(access_token="sesame\r\nX-Evil: 1"), "cannot stand in a header"),
    "space": (answer(access_token="ses ame"), "cannot stand in a header"),
    "final line feed": (answer(access_token="sesame\n"), "cannot stand in a header"),
    "NUL": (answer(access_token="sesame\0"), "cannot stand in a header"),
    "not ASCII": (answer(access_token="sésame"), "cannot stand in a header"),
    "surrogate": (answer(access_token="sesame\ud800"), "cannot stand in a header"),
    "too long": (answer(access_token="x" * (MAX_TOKEN_CHARS + 1)), "cannot stand in a header"),
    "error in a 200": (answer(error="invalid_grant"), "200 with an error: invalid_grant"),
    "odd error in a 200": (answer(error={"a": 1}), "200 with an error: no error code"),
    "hostile error": (answer(error="a\r\nb sesame"), r"with an error: a b \*\*\*$"),
    "not JSON": (b"<html>", "token answer is not JSON"),
    "array": (b"[]", "token answer is not a JSON object"),
}


@pytest.mark.parametrize(("body", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_token_answer_is_refused_in_words(body, words):
    """
    A body without a sendable Bearer token is a MintUnavailable whose reason shows no secret.
    """
    with pytest.raises(MintUnavailable, match=words) as caught:
        read_token_response(body, born=0.0, hide=(Secret("sesame"),))

    assert "same" not in caught.value.reason
    assert caught.value.reason.isprintable()


@given(st.text(max_size=50))
def test_no_token_text_can_break_a_header_line(text):
    """
    Whatever an issuer sends as access_token is refused or stands in one header line.
    """
    try:
        line = read_token_response(answer(access_token=text), born=0.0).token.header
    except MintUnavailable:
        return
    assert line.startswith(b"Authorization: Bearer ")
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert line.count(b" ") == 2


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_mint_unavailable(body):
    """
    Reading never fails in any other way.
    """
    with contextlib.suppress(MintUnavailable):
        assert read_token_response(body, born=0.0).token.usable(0.0)

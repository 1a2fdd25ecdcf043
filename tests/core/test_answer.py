from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import MAX_ANSWER, MAX_QUOTE, quoted, read_object
from proxy.core.secret import Secret

HOSTILE = {
    "empty": (b"", "is empty"),
    "white space": (b" \n", "is empty"),
    "html": (b"<html>token</html>", "is not JSON"),
    "cut short": (b'{"access_token":"sesame', "is not JSON"),
    "trailing garbage": (b'{"access_token":"sesame"} x', "is not JSON"),
    "two values": (b'{"access_token":"sesame"}{}', "is not JSON"),
    "array": (b'["sesame"]', "is not a JSON object"),
    "text": (b'"sesame"', "is not a JSON object"),
    "null": (b"null", "is not a JSON object"),
    "duplicate names": (b'{"a":"sesame","a":"other"}', "repeats a name"),
    "nested duplicates": (b'{"a":{"b":1,"b":"sesame"}}', "repeats a name"),
    "NaN": (b'{"a":NaN}', "NaN or Infinity"),
    "Infinity": (b'{"a":-Infinity}', "NaN or Infinity"),
    "byte order mark": (b'\xef\xbb\xbf{"a":"sesame"}', "is not JSON"),
    "UTF-16": ('{"a":"sesame"}'.encode("utf-16"), "is not UTF-8"),
    "invalid UTF-8": (b'{"a":"sesame\xff"}', "is not UTF-8"),
    "deep array": (b'{"a":' + b"[" * 100_000, "nests too deeply"),
    "deep object": (b'{"a":' * 20_000, "nests too deeply"),
    "5000 digits": (b'{"a":' + b"9" * 5000 + b"}", "is not JSON"),
    "gzip": (b"\x1f\x8b\x08\x00sesame", "is not UTF-8"),
    "control in a text": (b'{"a":"sesame\x00"}', "is not JSON"),
    "too large": (b'{"a":"' + b"x" * MAX_ANSWER + b'"}', "is larger than 262144 bytes"),
}


@pytest.mark.parametrize(("body", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_anything_but_a_plain_json_object_is_refused(body, words):
    """
    A body that two readers could understand differently is refused, in words without its content.
    """
    with pytest.raises(ValueError, match=words.replace("(", r"\(")) as caught:
        read_object(body)

    assert "sesame" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_plain_object_is_read():
    """
    Names and values come as they stand.
    """
    assert read_object(b' {"a": [1, {"b": null}], "c": "\xc3\xa9"}\n') == {
        "a": [1, {"b": None}],
        "c": "é",
    }


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(body):
    """
    Whatever comes is an object or a ValueError.
    """
    with contextlib.suppress(ValueError):
        assert isinstance(read_object(body), dict)


QUOTED = {
    "plain": ("Errors.User.NotActive", "Errors.User.NotActive"),
    "longest known key": (
        "Errors.User.Machine.Secret.NotExisting",
        "Errors.User.Machine.Secret.NotExisting",
    ),
    "a grant name": (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer not supported",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer not supported",
    ),
    "line breaks": ("a\r\nlevel=error\tb", "a level=error b"),
    "escape sequences": ("a\x1b[31mred", "a [31mred"),
    "text direction": ("a\u202eb", "a b"),
    "lone surrogate": ("a\ud800b", "a b"),
    "token-like": ("got " + "A1" * 20, "got ***"),
    "an assertion": (".".join(["eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9"] * 3), "***.***.***"),
    "hidden": ("wrong secret pa55 given", "wrong secret *** given"),
    "long": ("word " * 100, ("word " * 100)[: MAX_QUOTE - 1] + "…"),
    "no text": (17, ""),
    "nothing": (None, ""),
}


@pytest.mark.parametrize(("text", "expected"), QUOTED.values(), ids=QUOTED.keys())
def test_a_quote_is_short_printable_and_without_secrets(text, expected):
    """
    What enters a log line from outside can neither break it nor carry a secret.
    """
    assert quoted(text, hide=(Secret("pa55"), Secret(""))) == expected


@given(st.text(max_size=2000))
def test_a_quote_is_always_one_short_printable_line(text):
    """
    No text is long or unprintable once quoted.
    """
    line = quoted(text)

    assert len(line) <= MAX_QUOTE
    assert line.isprintable()

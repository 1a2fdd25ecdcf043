from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.document import MAX_BYTES, parse
from proxy.config.draft import Mark, dotted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("no", "no"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2027-01-31", "2027-01-31"),
        (".inf", ".inf"),
        ("9" * 19, "9" * 19),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|\n  x\n", "x\n"),
        ("1", 1),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        (r'"\ud83d\ude00"', "😀"),
        ("[a, [b]]", ["a", ["b"]]),
        ("{x: {y: z}}", {"x": {"y": "z"}}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_scalars_are_read_as_json_would(text, value):
    """
    Only true, false, null and plain numbers are more than text; YAML 1.1's other words stay text.
    """
    document = parse(f"v: {text}".encode())

    assert document.data == {"v": value}
    assert document.findings == ()


def test_names_are_text_whatever_they_look_like():
    """
    A name is never a number, a truth or nothing.
    """
    assert parse(b"1: a\ntrue: b\n~: c\n").data == {"1": "a", "true": "b", "~": "c"}


def test_every_place_has_its_line_and_column():
    """
    An entry stands where its name does, a list's item where its value does, both from 1.
    """
    marks = parse(b"a: 1\nb:\n  - x\n  - c: 2\n    d: {e: 3}\n").marks

    assert marks == {
        (): Mark(1, 1),
        ("a",): Mark(1, 1),
        ("b",): Mark(2, 1),
        ("b", 0): Mark(3, 5),
        ("b", 1): Mark(4, 5),
        ("b", 1, "c"): Mark(4, 5),
        ("b", 1, "d"): Mark(5, 5),
        ("b", 1, "d", "e"): Mark(5, 9),
    }


def test_a_byte_order_mark_and_tabs_in_brackets_are_no_trouble():
    """
    JSON from other programs works: its byte order mark, its tabs, its escaped slashes.
    """
    assert parse(b'\xef\xbb\xbf{\n\t"a":\t[1,\t2],\n\t"b": "\\/"\n}').data == {
        "a": [1, 2],
        "b": "/",
    }


@pytest.mark.parametrize(
    ("content", "mark", "what"),
    [
        (b"a" * (MAX_BYTES + 1), Mark(1, 1), "is larger than 1 MiB"),
        (b"a: b\nc: \xff", Mark(2, 4), "is not UTF-8 text"),
        (b"a: b\n c\x00", Mark(2, 3), "holds a control character"),
        (b"[" * 33, Mark(1, 33), "is nested deeper than 32 levels"),
        (b'a: "\\U00FFFFFF"', Mark(1, 7), "is not valid YAML from here on"),
        (b"%YAML 1." + b"1" * 5000, Mark(1, 9), "is not valid YAML from here on"),
        (b"a: 1\n---\nb: 2\n", Mark(2, 1), "holds more than one document"),
        (b'a: "\\q"', Mark(1, 6), "an unknown escape stands in double quotes"),
        (b"a:\n  b: 1\n c: 2\n", Mark(3, 2), "the indentation does not fit the lines above"),
        (b"a: 1\nb\nc: 2\n", Mark(3, 1), 'a ":" is missing after a name'),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_cannot_be_read_is_said_with_its_position(content, mark, what):
    """
    Whatever ends the reading has a position and a reason of ours.
    """
    document = parse(content)

    assert document.data is None
    assert [(finding.what, document.marks[()]) for finding in document.findings] == [(what, mark)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &x 1", "an anchor (&) is not read"),
        ("a: *x", "an alias (*) is not read"),
        ("a: !!int 1", "a tag (!) is not read"),
        ("a: ! 1", "a tag (!) is not read"),
        ("<<: {a: 1}", "a merge key (<<) is not read"),
        ("? [a]\n: 1", "a name must be plain text"),
        ("&x a: 1", "an anchor (&) is not read"),
        ("a: 1\na: 2", "is written twice, first on line 1"),
        ('a: "\\0"', "holds a control character"),
        ('a: "\\ud800"', "holds a control character"),
        ('"\\0": 1', "a name holds a control character"),
    ],
    ids=lambda value: value[:16],
)
def test_what_is_not_read_is_found_and_the_reading_goes_on(text, what):
    """
    Each is a finding; what stands behind it is still read.
    """
    document = parse(f"{text}\nz: 1\n".encode())

    assert [finding.what for finding in document.findings] == [what]
    assert isinstance(document.data, dict)
    assert document.data["z"] == 1


def test_aliases_do_not_make_a_document_grow():
    """
    Nine levels of nine aliases are eighty-one findings, not a billion items.
    """
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    document = parse("\n".join(lines).encode())

    assert len(document.findings) == 10 + 81


@given(
    st.binary(max_size=200) | st.text("-:[]{}&*!|>'\"%@#,?\\ \n\tax0", max_size=60).map(str.encode)
)
def test_any_bytes_are_read_or_refused(content):
    """
    No input raises, and data without a finding holds nothing a terminal or a header would trip on.
    """
    document = parse(content)

    assert document.findings or document.data is None or "\x1b" not in repr(document.data)
    assert all(dotted(finding.place) for finding in document.findings)

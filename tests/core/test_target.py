from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.target import (
    STEPS,
    Authority,
    Target,
    below,
    join,
    parse_authority,
    parse_host,
    parse_target,
    readings,
    shown_path,
    stem,
    with_path,
)
from proxy.errors import BadRequest


@pytest.mark.parametrize(
    ("raw", "host", "expected"),
    [
        (b"/", b"a", Target(b"/", b"", b"a")),
        (b"/p?", b"A.B:80", Target(b"/p", b"?", b"a.b")),
        (b"/p?a?b", b"a.", Target(b"/p", b"?a?b", b"a")),
        (b'/%2F|"{}', b"[::1]:8080", Target(b'/%2F|"{}', b"", b"[::1]")),
        (b"//evil/p", b"a", Target(b"//evil/p", b"", b"a")),
        (b"http://B:1", b"a", Target(b"/", b"", b"b")),
        (b"HTTPS://b?x", b"a", Target(b"/", b"?x", b"b")),
        (b"http://b/p?x", b"", Target(b"/p", b"?x", b"b")),
        (b"/", b"", Target(b"/", b"", b"")),
    ],
)
def test_target_is_taken_apart(raw, host, expected):
    """
    Path and query stay as they came; the host is what matching sees.
    """
    assert parse_target(raw, host) == expected


@pytest.mark.parametrize(
    "raw",
    [b"", b"a", b"*", b"a:80", b"?x", b"/ ", b"/\x00", b"/\x7f", b"/\x80", b"/#", b"/?#", b"/%", b"/%1",
     b"/%zz", b"ftp://a/", b"http:///p", b"http://u@a/", b"http://a b/", b"http://a/#", b"/\n", b"/a\n"],
)  # fmt: skip
def test_target_that_is_none(raw):
    """
    Any other form, and bytes no URL holds, are refused.
    """
    with pytest.raises(BadRequest):
        parse_target(raw, b"a")


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"u@a",
        b"a/b",
        b"a?b",
        b"a:b",
        b"a:999999",
        b"[::1",
        b"[g]",
        b"\xc3\xa9",
        b"a\n",
        b":80",
    ],
)
def test_host_that_is_none(host):
    """
    Host is a name or address with an optional port and nothing else.
    """
    with pytest.raises(BadRequest):
        parse_host(host)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"http://B.example/x", Authority(b"http", b"b.example", 80)),
        (b"HTTPS://b.example.?x", Authority(b"https", b"b.example", 443)),
        (b"http://b:8080", Authority(b"http", b"b", 8080)),
        (b"http://b:", Authority(b"http", b"b", 80)),
        (b"http://b:00080/", Authority(b"http", b"b", 80)),
        (b"https://[::1]:1/", Authority(b"https", b"[::1]", 1)),
    ],
)
def test_authority_of_an_absolute_form(raw, expected):
    """
    Whom it asks for, in one spelling.
    """
    assert parse_authority(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [b"/", b"*", b"a:80", b"ftp://a/", b"http://u@a/", b"http://a:0/", b"http://a:65536/", b"http://",
     b"http:///x", b"http://[::g]/", b"http://a:b/"],
)  # fmt: skip
def test_authority_that_is_none(raw):
    """
    Another form, userinfo or a port that is none; as a target it is none either.
    """
    with pytest.raises(BadRequest):
        parse_authority(raw)
    if raw != b"/":
        with pytest.raises(BadRequest):
            parse_target(raw, b"a")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"http://a?x?y", b"http://a/?x?y"),
        (b"http://a?", b"http://a/?"),
        (b"http://a", b"http://a"),
        (b"http://a/?x", b"http://a/?x"),
        (b"http://a/b?x//", b"http://a/b?x//"),
    ],
)
def test_a_query_has_a_path_before_it(raw, expected):
    """
    An absolute-form may leave it out.
    """
    assert with_path(raw) == expected


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/a?secret", "/a"),
        (b"http://a/b?secret", "/b"),
        (b"https://a", "/"),
        (b"http://a?secret", "/"),
        (b"http://user:secret@a/b", None),
        (b"/a#secret", None),
        (b"http://a/b#secret", None),
        (b"secret", None),
    ],
)
def test_path_for_the_log(raw, shown):
    """
    Nothing of what may be a secret.
    """
    assert shown_path(raw) == shown


@pytest.mark.parametrize("path", [b"/", b"/a/b", b"/a/b-_~!$&'()*+,=:@|"])
def test_plain_path_has_one_reading(path):
    """
    What no server changes costs no second look.
    """
    assert readings(path) == ()


@pytest.mark.parametrize(
    ("path", "reading"),
    [
        (b"/a/../b", b"/b"), (b"/a/%2e%2E/b", b"/b"), (b"/a/.%2e/b", b"/b"), (b"/a/./b", b"/a/b"),
        (b"/a/..%2fb", b"/b"), (b"/a%2fb", b"/a/b"), (b"/a//b", b"/a/b"), (b"/a//../b", b"/b"),
        (b"/a//../b", b"/a/b"), (b"/a\\..\\b", b"/b"), (b"/a/%5c../b", b"/a/b"), (b"/a/..;x/b", b"/b"),
        (b"/a;x=1/b", b"/a/b"), (b"/a/%252e%252e/b", b"/b"), (b"/%61", b"/a"), (b"/a%3fb", b"/a"),
        (b"/a/..", b"/"), (b"/a/.", b"/a/"), (b"/../../x", b"/x"), (b"/b/x/%2e%2e/../a", b"/b/x/a"),
        (b"/b/x/%2e%2e/../a", b"/a"), (b"/a/../b//../a/y", b"/b/a/y"), (b"/a%2", b"/a%2"),
    ],
)  # fmt: skip
def test_path_is_read_in_all_ways(path, reading):
    """
    Whatever a row of servers may make of the path is among its readings.
    """
    assert reading in (*readings(path), path)


def test_too_many_readings_are_refused_quickly():
    """
    A path made to be read in very many ways is refused, not worked out.
    """
    with pytest.raises(BadRequest):
        readings(b"/%252e%252e%252f;//\\" * 300)


PIECES = st.sampled_from(
    [b"/", b"//", b"..", b".", b"%2e", b"%2E%2e", b"%2f", b"%5c", b"\\", b";x", b";", b"%252e", b"%25",
     b"a", b"b", b"%61", b"%62", b"%3f", b"c", b"%3b", b"%23"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=9), st.lists(st.sampled_from(STEPS), max_size=12))
def test_matched_prefix_cannot_be_escaped(pieces, servers):
    """
    If all readings lie below a prefix, no row of normalising servers brings the path out of it.
    """
    path = b"/a/" + b"".join(pieces)
    try:
        confined = all(below(reading, b"/a") for reading in readings(path))
    except BadRequest:
        return
    for server in servers:
        path = server(path)
    assert below(path, b"/a") or not confined


@given(st.binary(max_size=40))
def test_any_bytes_are_a_target_or_refused(raw):
    """
    No bytes bring the grammar down, and what passes is printable ASCII.
    """
    try:
        target = parse_target(b"/" + raw, b"a")
    except BadRequest:
        return
    assert target.path + target.query == b"/" + raw
    assert all(0x21 <= byte <= 0x7E for byte in raw)


@pytest.mark.parametrize(
    ("base", "rewrite", "prefix", "target", "expected"),
    [
        (b"", None, b"/x", Target(b"/x/y", b"?q", b""), b"/x/y?q"),
        (b"/b", None, b"", Target(b"/y", b"", b""), b"/b/y"),
        (b"/b", b"/v2", b"/x", Target(b"/x/y", b"?", b""), b"/b/v2/y?"),
        (b"", b"/v2", b"/x", Target(b"/x", b"", b""), b"/v2"),
        (b"", b"", b"/x", Target(b"/x", b"?q", b""), b"/?q"),
        (b"", b"", b"/x", Target(b"/x/", b"", b""), b"/"),
    ],
)
def test_join_keeps_every_byte(base, rewrite, prefix, target, expected):
    """
    Base path and rewritten prefix come before the rest as it came, all within the route's part.
    """
    assert join(base, rewrite, prefix, target) == expected
    assert below(expected.partition(b"?")[0], stem(base, rewrite, prefix))


@pytest.mark.parametrize(
    ("path", "prefix", "is_below"),
    [
        (b"/a", b"/a", True),
        (b"/a/b", b"/a", True),
        (b"/ab", b"/a", False),
        (b"/", b"", True),
        (b"/b", b"/a", False),
    ],
)
def test_below_ends_on_borders_of_segments(path, prefix, is_below):
    """
    A prefix covers itself and what lies below it.
    """
    assert below(path, prefix) is is_below

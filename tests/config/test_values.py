from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from proxy.config.network import (
    TcpAddress,
    UnixAddress,
    is_loopback,
    parse_address,
    parse_admin,
    parse_path,
    parse_url,
)
from proxy.config.secret_source import (
    SecretCredential,
    SecretEnv,
    SecretFile,
    parse_source,
)
from proxy.config.values import parse_date, parse_duration, parse_file
from proxy.core.secret import Secret

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("1ms", 0.001),
        ("24h", 86400),
    ],
)
def test_a_duration_is_seconds(text, seconds):
    """
    A number with ms, s, m or h, from 1ms to 24h.
    """
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [5, 0.5, "5", "", "5 s", "-1s", "1d", "0s", "25h", "\u0665s", True, None, ["5s"]]
)
def test_what_is_no_duration_is_refused(value):
    """
    A bare number has no unit; nothing is guessed.
    """
    with pytest.raises(PydanticCustomError):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080), True),
        ("127.9.9.9:0", TcpAddress("127.9.9.9", 0), True),
        ("localhost:80", TcpAddress("localhost", 80), True),
        ("[::1]:8080", TcpAddress("::1", 8080), True),
        ("[::ffff:127.0.0.1]:1", TcpAddress("::ffff:127.0.0.1", 1), True),
        ("0.0.0.0:8080", TcpAddress("0.0.0.0", 8080), False),
        ("[::]:8080", TcpAddress("::", 8080), False),
        ("proxy.internal:65535", TcpAddress("proxy.internal", 65535), False),
        ("unix:/run/p.sock", UnixAddress(Path("/run/p.sock")), True),
    ],
)
def test_an_address_is_a_host_and_port_or_a_socket(text, address, loopback):
    """
    It is written back as it was read, and it is known whether other machines can reach it.
    """
    assert parse_address(text) == address
    assert str(address) == text
    assert address.loopback is loopback


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":80",
        "*:80",
        "host",
        "host:",
        "host:70000",
        "::1:80",
        "1.2.3:80",
        "[::g]:80",
        "unix:",
        "unix:p",
        "unix:/p/",
        80,
    ],
)
def test_what_is_no_address_is_refused(value):
    """
    No host is guessed, and no port.
    """
    with pytest.raises(PydanticCustomError):
        parse_address(value)


def test_the_admin_listener_can_be_off():
    """
    The word off, and only it.
    """
    assert parse_admin("off") is None
    with pytest.raises(PydanticCustomError):
        parse_admin(False)


@pytest.mark.parametrize(
    "host", ["localhost.example", "128.0.0.1", "", "loopback", "::2", "localhost."]
)
def test_only_names_and_addresses_of_this_machine_are_loopback(host):
    """
    A name that merely resembles localhost may lead anywhere.
    """
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("text", "origin", "path", "authority"),
    [
        ("https://A.example", "https://a.example", "", "a.example"),
        ("https://a.example:443/", "https://a.example", "/", "a.example"),
        ("HTTP://a.example:8080/x%2Fy/", "http://a.example:8080", "/x%2Fy/", "a.example:8080"),
        ("http://[::1]:80/x", "http://[::1]", "/x", "[::1]"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443", "", "10.0.0.1:8443"),
    ],
)
def test_a_url_keeps_its_text_and_knows_its_parts(text, origin, path, authority):
    """
    The text stays byte for byte; origin and authority are spelled one way.
    """
    url = parse_url(text)

    assert (str(url), url.origin, url.path, url.authority) == (text, origin, path, authority)


@pytest.mark.parametrize(
    "value",
    [
        "a.example", "//a.example", "ftp://a", "https://", "https://:80", "https://a:0", "https://u@a", "https://u:p@a/x",
        "https://a?x", "https://a/?", "https://a#", "https://a b", "https://a\n", "https://a/\t", "https://[::g]",
        "https://1.2.3.4.5", "https://a\\@b", "https://a/../b", "https://a/%2E%2e", "https://a/%zz", 5, None,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(value):
    """
    No userinfo, query, fragment, blank or dot segment gets into a URL.
    """
    with pytest.raises(PydanticCustomError):
        parse_url(value)


@pytest.mark.parametrize(
    "value", ["", "a", "a/b", "/a?b", "/a#b", "/a b", "/./a", "/a/..", "/ü", "/%2", 5]
)
def test_what_is_no_path_is_refused(value):
    """
    A path starts with / and needs no guess about its encoding.
    """
    with pytest.raises(PydanticCustomError):
        parse_path(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31", 1801353600),
        ("2027-01-31T12:00:00Z", 1801396800),
        ("2027-01-31T12:00:00+02:00", 1801389600),
    ],
)
def test_a_date_is_its_first_instant_in_utc(text, moment):
    """
    Seconds since the epoch, the same on every machine.
    """
    assert parse_date(text) == moment


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ({"file": "/a"}, SecretFile(Path("/a"))),
        ({"env": "A_B"}, SecretEnv("A_B")),
        ({"credential": "a.b"}, SecretCredential("a.b")),
        ("text", Secret("text")),
    ],
)
def test_a_secret_comes_from_one_of_four_places(value, source):
    """
    File, variable, systemd's credential, or the text itself.
    """
    assert parse_source(value) == source


@given(anything)
def test_no_value_of_any_kind_breaks_a_parser(value):
    """
    Whatever a file holds, a parser returns or refuses.
    """
    for parser in (
        parse_duration,
        parse_admin,
        parse_url,
        parse_path,
        parse_date,
        parse_file,
        parse_source,
    ):
        with suppress(PydanticCustomError):
            assert parser(value) or value == "off"

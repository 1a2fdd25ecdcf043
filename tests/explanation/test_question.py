"""
A request as somebody describes it.
"""

from __future__ import annotations

import pytest

from proxy.explanation.question import Unclear, ask


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("/a?b=%20", b"/a?b=%20", b"localhost"),
        ("http://api.acme.com/a", b"/a", b"api.acme.com"),
        ("http://api.acme.com:81/a//b/../c?x#part", b"/a//b/../c?x", b"api.acme.com:81"),
        ("https://api.acme.com", b"/", b"api.acme.com"),
        ("http://[::1]:8080/a", b"/a", b"[::1]:8080"),
        ("http://bücher.example/a", b"/a", b"xn--bcher-kva.example"),
        ("*", b"*", b"localhost"),
    ],
    ids=str,
)
def test_a_url_is_asked_for_byte_by_byte(url, target, host):
    """
    Host and target as a client sends them: without the fragment, and nothing is normalised.
    """
    question = ask("GET", url, (), None)

    assert (question.target, question.fields) == (target, ((b"Host", host),))


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("http://api.acme.com/a?b=%20#part", b"http://api.acme.com/a?b=%20", b"api.acme.com"),
        ("https://api.acme.com:81", b"https://api.acme.com:81", b"api.acme.com:81"),
        ("http://bücher.example/a", b"http://xn--bcher-kva.example/a", b"xn--bcher-kva.example"),
    ],
    ids=str,
)
def test_in_forward_mode_the_whole_url_is_asked_for(url, target, host):
    """
    As clients do that know the proxy by `http_proxy`.
    """
    question = ask("GET", url, (), None, forward=True)

    assert (question.target, question.fields) == (target, ((b"Host", host),))


@pytest.mark.parametrize("url", ["/a", "*", "api.acme.com"])
def test_a_path_is_no_url_for_forward_mode(url):
    """
    Nobody asks a proxy for a path.
    """
    with pytest.raises(Unclear):
        ask("GET", url, (), None, forward=True)


def test_headers_and_caller_are_taken_as_told():
    """
    Also a Host; anonymous is nobody known.
    """
    question = ask("POST", "/a", ("Host: b", "X-A:  1 ", "x-a:2"), "anonymous")

    assert question.fields == ((b"Host", b"b"), (b"X-A", b"1"), (b"x-a", b"2"))
    assert question.caller is None


@pytest.mark.parametrize(
    ("method", "url", "header"),
    [
        ("GET", "nonsense", None),
        ("GET", "http://[/a", None),
        ("GET", "/ä", None),
        ("GET", "http://" + "ä" * 300 + "/", None),
        ("GÄT", "/a", None),
        ("CONNECT", "ä:443", None),
        ("GET", "/a", "no colon"),
        ("GET", "/a", ": empty"),
        ("GET", "/a", "a b: c"),
        ("GET", "/a", "a: b\r\nAuthorization: c"),
        ("GET", "/a", "a: \x00"),
        ("GET", "/a", "a: ä"),
    ],
    ids=repr,
)
def test_what_is_no_request_is_said_to_be_none(method, url, header):
    """
    Rather than explained as something else.
    """
    with pytest.raises(Unclear):
        ask(method, url, () if header is None else (header,), None)

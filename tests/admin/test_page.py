"""
The status page as a document.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import pytest

from proxy.admin.page import page

STATE = {"summary": "All is well.", "troubles": []}


def digests(directive):
    """
    Return the digests a directive of the page's policy allows.
    """
    (value,) = re.findall(rf"{directive} ([^;]*)", page().policy)
    return re.findall(r"'(sha256-[^']+)'", value)


@pytest.mark.parametrize("name", ["status.html", "status.css", "status.js"])
def test_the_parts_are_package_data(name):
    """
    They lie in the package, where an installed one has them too.
    """
    assert files("proxy.admin").joinpath(name).is_file()


@pytest.mark.parametrize(
    ("directive", "element"), [("script-src", 'script type="module"'), ("style-src", "style")]
)
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(directive, element):
    """
    By the digest of the very bytes; no other source, no `unsafe-inline`.
    """
    document = page().showing(STATE)
    found = re.findall(rf"<{element}>(.*?)</{element.split()[0]}>", document, re.DOTALL)
    expected = [f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}" for text in found]

    assert digests(directive) == expected
    assert len(found) == 1
    assert page().policy.startswith("default-src 'none';")
    assert "unsafe" not in page().policy


def test_the_page_needs_nothing_from_elsewhere():
    """
    No address of another origin, no handler in an attribute, and no text is put in as HTML.
    """
    document = page().showing(STATE)

    assert not re.search(r"https?://", document)
    assert not re.search(r"\son[a-z]+\s*=", document)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", document
    )


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "&lt;b&gt;", "\u2028\x00\x1b"]
)
def test_a_state_is_data_whatever_is_in_it(hostile):
    """
    It comes out as it went in, and leaves neither its element nor the text's.
    """
    state = {"summary": hostile, "troubles": [hostile], "name": hostile}
    document = page().showing(state)
    data = re.findall(
        r'<script type="application/json" id="state">(.*?)</script>', document, re.DOTALL
    )

    assert len(data) == 1
    assert json.loads(data[0]) == state
    assert document.count("<script") == page().showing(STATE).count("<script")
    assert document.count("<!--") == 0

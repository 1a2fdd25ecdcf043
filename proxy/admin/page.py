"""
The status page: one document with its style, its script and the state of the moment in it.

The three lie beside this file and are put together once. What may run is said to the browser by
digest (CSP level 3), so nothing that finds its way into a name or an error can: the script puts texts in
as text, and the state is data, in which no `<` is left.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLE, SCRIPT = "/* style */", "/* script */"
SUMMARY, TROUBLES, STATE = "{/* summary */}", "{/* troubles */}", "{/* state */}"
"""What the document has where these belong."""


class Page(NamedTuple):
    """
    The page without a state.

    Attributes:
        parts: What stands around the summary, the troubles and the state.
        policy: Its Content-Security-Policy.
    """

    parts: tuple[str, str, str, str]
    policy: str

    def showing(self, state: Mapping[str, Any]) -> str:
        """
        Return the page with a state in it; its summary and its troubles can be read without scripts.
        """
        data = json.dumps(state)
        for character in "<>&":
            data = data.replace(character, f"\\u{ord(character):04x}")
        troubles = "".join(f"<li>{escape(trouble)}</li>" for trouble in state["troubles"])
        start, then, after, end = self.parts
        return "".join((start, escape(state["summary"]), then, troubles, after, data, end))


@cache
def page() -> Page:
    """
    Return the page.
    """
    folder = files("proxy.admin")
    document, style, script = (
        folder.joinpath(name).read_text("utf-8")
        for name in ("status.html", "status.css", "status.js")
    )
    start, rest = document.replace(STYLE, style).replace(SCRIPT, script).split(SUMMARY)
    then, rest = rest.split(TROUBLES)
    after, end = rest.split(STATE)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)};"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    )
    return Page((start, then, after, end), policy)


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

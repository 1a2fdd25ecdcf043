"""
errors.md: every code, what it means, and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core import forward_errors
from proxy.core.problem import PROXY_STATUS
from proxy.errors import ProxyError
from tools.reference.advice import ADVICE
from tools.reference.page import page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRO: Final = """\
What a caller gets when the answer is not the upstream's, and what to do about it. Such an answer is `application/problem+json` (RFC 9457) and has three marks the
upstream's own answers cannot have: a `code` in its body, `Proxy-Status: authproxy; …` (RFC 9209), and the same `X-Request-Id` as the line in the log that says why.

```json
{"type": "urn:zitadel-authproxy:problem:mint_rejected", "title": "Issuer refused a token", "status": 502, "detail": "The issuer refused a token for this route's service user; its operator must act.", "code": "mint_rejected", "request_id": "e5f837ba1c48-00000001"}
```

Begin with the code, then find the request's line by its `request_id`: its `error` has the reason in words. Token trouble is never a 401, which clients read as "log in".
A 401 or 403 *without* these marks is the upstream's: see [an upstream says no](../troubleshooting.md#the-upstream-answers-401-or-403)."""


OTHERWISE: Final = forward_errors.__name__
"""Imported so that the classes there are found, too: they have a status of their own."""


def codes() -> dict[str, type[ProxyError]]:
    """
    Return every code with the class it stands for, in the order of the tree.
    """
    found: dict[str, type[ProxyError]] = {}
    for each in _tree(ProxyError):
        if each.code not in found or issubclass(found[each.code], each):
            found[each.code] = each
    last = found.pop(ProxyError.code)  # the root's code is that of a bug
    return {code: each for code, each in found.items() if "code" in vars(each)} | {last.code: last}


def _tree(top: type[ProxyError]) -> Iterator[type[ProxyError]]:
    yield top
    for below in top.__subclasses__():
        yield from _tree(below)


def render() -> str:
    """
    Return the page.
    """
    found = codes()
    rows = [
        (f"[`{code}`](#{code})", _status(each), _blame(each), each.title)
        for code, each in found.items()
    ]
    parts = [INTRO, table(("code", "status", "whose it is to mend", "in short"), rows)]
    for code, each in found.items():
        advice = ADVICE[code]
        parts.append(f"## {code}")
        parts.append(f"{_head(each)} {advice.meaning}")
        if advice.caller:
            parts.append(f"**The caller:** {advice.caller}")
        parts.append(f"**The operator:** {advice.operator}")
    return page("Error codes", *parts)


def _head(error: type[ProxyError]) -> str:
    if error.code not in PROXY_STATUS:
        return "*Exit code 2.*"
    return f"*{_status(error)}, `Proxy-Status: authproxy; error={PROXY_STATUS[error.code]}`.*"


def _status(error: type[ProxyError]) -> str:
    """
    Return the status of a code, and those it has in other circumstances.
    """
    if error.code not in PROXY_STATUS:
        return "exit code 2"
    same = [each.status for each in _tree(error) if each.code == error.code]
    return " or ".join(map(str, sorted(set(same))))


def _blame(error: type[ProxyError]) -> str:
    return f"the {error.blame}"

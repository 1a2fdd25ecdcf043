"""
A `TokenError`'s reason, taken apart.

It says what happened and often what to do, in the form
`what; what to do (answered STATUS code: description)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.errors import TokenError

_ANSWERED = re.compile(r" \(answered (\d{3})(?: ([^\s:)]+))?(?:: .*)?\)$")

TROUBLE = (
    "this is the issuer's trouble, or of something in front of it, not the configuration's: look"
    " at its log, and check again later"
)

NO_ANSWER = "is the address right, and does a firewall drop the way there?"


@dataclass(frozen=True, slots=True)
class Words:
    """
    What happened, and what to do about it.

    Attributes:
        said: What happened.
        instead: What to do; empty if nobody knows.
    """

    said: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """
    A reason in its parts.

    Attributes:
        what: What happened, with what was answered.
        todo: What to do about it; empty if the reason does not say.
        answered: What was answered, as it stands at the end of `what`; empty if nothing was.
        status: The answer's status; 0 if nothing was answered.
        code: The OAuth error in it; empty if there was none.
    """

    what: str
    todo: str
    answered: str = ""
    status: int = 0
    code: str = ""


def parts_of(error: TokenError) -> Parts:
    """
    Take an error's reason apart.
    """
    match = _ANSWERED.search(error.reason)
    if match is None:
        what, _, todo = error.reason.partition("; ")
        return Parts(what, todo)
    what, _, todo = error.reason.removesuffix(match[0]).partition("; ")
    return Parts(what + match[0], todo, match[0], int(match[1]), match[2] or "")

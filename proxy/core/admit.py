"""
May this caller use this route?

Who calls has been found out elsewhere (`proxy.callers`). A rule stands on a listener or on a route;
whoever calls must be on the list of both. In report mode a rule denies nobody: what it would have
denied is said, so that a list can be tried out before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import CallerForbidden, CallerUnauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

ANONYMOUS = "anonymous"
"""What `callers` must say where anybody may call a listener that is not loopback."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Who may use a listener or a route.

    Attributes:
        names: The callers that may; `anonymous` for whoever calls.
        enforced: Whoever is not among them is denied, and not just reported.
    """

    names: frozenset[str]
    enforced: bool = True

    def denial(self, caller: str | None) -> CallerUnauthenticated | CallerForbidden | None:
        """
        Return why the caller is not on this list; None if it is.

        Args:
            caller: Its name; None for nobody known.
        """
        if caller in self.names or ANONYMOUS in self.names:
            return None
        if caller is None:
            return CallerUnauthenticated("no known caller credential came with the request")
        return CallerForbidden(f"caller {caller} is not on the list")


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    A listener, as far as it matters who calls.

    Attributes:
        name: What the log calls it.
        rule: Who may use it; None if it lists nobody.
        takes_authorization: Callers may show what they have in `Authorization`, which so is meant
            for this proxy and never goes up.
    """

    name: str
    rule: Rule | None = None
    takes_authorization: bool = False


CLOSED = Entrance("closed", Rule(frozenset()))
"""What a listener that is no more has become: nobody may use it."""


def rule(names: Iterable[str] | None, mode: str) -> Rule | None:
    """
    Return the rule that `callers` and `mode` of a listener or route make; None without callers.
    """
    return None if names is None else Rule(frozenset(names), mode != "report")


def admit(caller: str | None, *rules: Rule | None) -> None:
    """
    Let the caller pass, or say why not.

    Args:
        caller: Its name; None for nobody known.
        rules: Those of the listener and of the route; None where nothing is listed.

    Raises:
        CallerUnauthenticated: Somebody must be named, and nobody was.
        CallerForbidden: Somebody was, who is not on the list.
    """
    for each in rules:
        if each is not None and each.enforced and (denial := each.denial(caller)) is not None:
            raise denial

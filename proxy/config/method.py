"""
A method that is misspelt: it is said, and the rest is judged as if it were right.

Without this one letter would hide every other mistake of a service user, since what settings it
may have hangs on its method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.draft import Finding, near
from proxy.config.service_user import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping


def assume(data: Mapping[str, object]) -> tuple[dict[str, object], list[Finding]]:
    """
    Return *data* with the methods that were probably meant, and a finding for each slip.
    """
    users = data.get("service_users")
    if not isinstance(users, dict):
        return dict(data), []
    judged: dict[object, object] = {}
    slips: list[Finding] = []
    for name, user in users.items():
        method = user.get("method") if isinstance(user, dict) else None
        meant = near(method, METHODS) if isinstance(method, str) else ""
        if meant and meant != method:
            place = ("service_users", name, "method")
            slips.append(Finding(place, "has an unknown method", f'did you mean "{meant}"?'))
            judged[name] = {**user, "method": meant}
        else:
            judged[name] = user
    return {**data, "service_users": judged}, slips

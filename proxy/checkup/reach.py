"""
Where the routes of a service user lead: what its token must be good for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.lint import reaches_apis, reaches_issuer

if TYPE_CHECKING:
    from proxy.config.model import Settings


@dataclass(frozen=True, slots=True)
class Reach:
    """
    Where the routes of one service user lead, by the routes' names.

    Attributes:
        apis: Those to ZITADEL's own APIs at its issuer.
        elsewhere: Those to other origins than its issuer's.
    """

    apis: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


def reach(settings: Settings, user: str) -> Reach:
    """
    Return where the routes of *user* lead.
    """
    routes = [route for route in settings.routes if route.service_user == user]
    return Reach(
        tuple(route.name for route in routes if reaches_apis(settings, route)),
        tuple(route.name for route in routes if not reaches_issuer(settings, route)),
    )

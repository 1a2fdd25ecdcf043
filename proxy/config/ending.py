"""
Credentials that have ended or will soon: a warning each, never a reason to refuse, since one dead
credential must not take the other routes down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from proxy.config.draft import Finding, Place
from proxy.config.key_user import PrivateKeyJwt
from proxy.config.service_user import PersonalAccessToken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.model import Settings

DAY: Final = 86_400.0

SOON: Final = 30
"""Days before its end from which a credential is warned about (rule of ours)."""


@dataclass(frozen=True, slots=True)
class _Dated:
    """
    One credential of a service user.

    Attributes:
        noun: What it is called.
        renew: How to get another.
        place: Where its end is known from.
        expires: Seconds since the epoch; None if it never ends or nobody says.
    """

    noun: str
    renew: str
    place: Place
    expires: float | None


def endings(settings: Settings, keys: Mapping[Place, float], now: float) -> Iterator[Finding]:
    """
    Yield what has ended by *now*, and what ends within `SOON` days.

    Args:
        settings: The checked settings.
        keys: When the key files end, by place; those that never do are left out.
        now: Seconds since the epoch.
    """
    for name in settings.service_users:
        dated = _credentials(settings, name, keys)
        over = [each for each in dated if each.expires is not None and each.expires <= now]
        for each in over:
            what = f"the {each.noun} ended on {_day(each.expires)}"
            if len(over) < len(dated):
                yield Finding(
                    each.place, f"{what}; another one is used", f"replace it: {each.renew}"
                )
            else:
                what += ", and this service user has no other: its requests are answered 503"
                yield Finding(each.place, what, each.renew)
        for each in dated:
            if each.expires is not None and now < each.expires < now + SOON * DAY:
                left = _days(each.expires - now)
                what = f"the {each.noun} ends on {_day(each.expires)}, in {left}"
                yield Finding(each.place, what, f"{each.renew} before")


def _credentials(settings: Settings, name: str, keys: Mapping[Place, float]) -> list[_Dated]:
    """
    Return the credentials of a service user that may have an end, in the order they are used.
    """
    user = settings.service_users[name]
    place = ("service_users", name)
    if isinstance(user, PersonalAccessToken):
        renew = "make a new one in the console"
        return [
            _Dated("token", renew, (*place, "expires", index), expires)
            for index, expires in enumerate(user.expires or ())
        ]
    renew = "download a new one in the console"
    files = (user.key_file or ()) if isinstance(user, PrivateKeyJwt) else ()
    spots: list[Place] = [(*place, "key_file", index) for index in range(len(files))]
    return [_Dated("key", renew, spot, keys.get(spot)) for spot in spots]


def _day(moment: float | None) -> str:
    return datetime.fromtimestamp(moment or 0.0, UTC).date().isoformat()


def _days(seconds: float) -> str:
    days = int(seconds // DAY)
    if days == 0:
        return "less than a day"
    return "1 day" if days == 1 else f"{days} days"

"""
Likely causes of an issuer's no, as far as they can be seen from here.

ZITADEL says little of why it refuses an assertion, and some of its versions answer it like an
outage. What can be checked without the issuer is checked, for the log and for `check --online`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from proxy.core.credential import (
    ClientKey,
    ClientSecret,
    Exchange,
    FixedToken,
    PrivateKey,
    SystemKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.credential import Credential, ServiceUser

_DAY = 86_400.0


def likely_causes(user: ServiceUser, *, now: float, behind: float) -> tuple[str, ...]:
    """
    Name what may be wrong with *user*'s credential, most likely first.

    Args:
        user: The service user with the credential that was refused.
        now: Seconds since the epoch, by the issuer's clock as far as it is known.
        behind: Seconds this host's clock is behind the issuer's, negative if ahead; 0.0 if they
            agree or it is not known.
    """
    return (*_time(user.credential, now, behind), *_name(user), *_elsewhere(user.credential))


def _time(credential: Credential, now: float, behind: float) -> Iterator[str]:
    if credential.expires is not None and credential.expires <= now:
        days = (now - credential.expires) / _DAY
        yield f"the credential ended {days:.1f} days ago; create a new one"
    if behind:
        which = "behind" if behind > 0 else "ahead of"
        yield (
            f"this host's clock is {abs(behind):.0f} s {which} the issuer's, which is allowed for;"
            " set it right all the same"
        )


def _name(user: ServiceUser) -> Iterator[str]:
    if user.issuer.url.endswith("/"):
        yield "the issuer's url ends with a slash, which ZITADEL's never does: aud would differ"


def _elsewhere(credential: Credential) -> Iterator[str]:
    """
    Yield what only the issuer's side can tell.
    """
    match credential:
        case PrivateKey():
            yield (
                f"the issuer does not know key {credential.key_id} of user {credential.user_id}:"
                " deleted, of another user or instance, or made seconds ago"
            )
        case ClientSecret() | ClientKey():
            yield (
                "the client_id is not the login name (it may need its @domain suffix), or the"
                " credential has been replaced"
            )
        case Exchange():
            yield "the client may not exchange tokens, or the subject's token is not accepted"
        case FixedToken() | SystemKey():
            return
        case _:
            assert_never(credential)

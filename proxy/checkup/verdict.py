"""
What an answer to a check means: a step that passed, failed or was skipped, in words.

This file asks nobody and reads no clock. Texts of an issuer enter by `core.answer.quoted` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from proxy.checkup.claims import audience, claims_of, dropped
from proxy.checkup.diagnosis import refused_at_apis, refused_at_userinfo, throttled
from proxy.checkup.words import TROUBLE, Words
from proxy.config.minted import API_AUDIENCE
from proxy.core.answer import quoted, read_object
from proxy.core.credential import Exchange, PrivateKey, SystemKey

if TYPE_CHECKING:
    from proxy.core.credential import ServiceUser
    from proxy.core.token import Minted, Token

# ZITADEL asks no role for it: any token that is meant for its APIs will do.
MYSELF = "/auth/v1/users/me"

# Ours: as many names as fit on a line.
MOST_SHOWN = 3

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Step:
    """
    How one step ended.

    Attributes:
        name: `discovery`, `clock`, `mint`, `userinfo` or `api`.
        ok: Whether it is well; None if it was skipped or not tried.
        said: What was found, or why it was skipped.
        instead: What to do about it; empty if there is nothing to do.
        took: Seconds; None if nothing was asked.
        warns: Whether `instead` should be heeded although it is well.
    """

    name: str
    ok: bool | None
    said: str
    instead: str = ""
    took: float | None = None
    warns: bool = False


def passed(said: str, todo: str = "", *, warns: bool = False) -> Step:
    """
    Return a step that is well; its name and time are to be filled in.
    """
    return Step("", ok=True, said=said, instead=todo, warns=warns)


def failed(words: Words) -> Step:
    """
    Return a step that is not well.
    """
    return Step("", ok=False, said=words.said, instead=words.instead)


def skipped(why: str) -> Step:
    """
    Return a step that was left out.
    """
    return Step("", ok=None, said=why)


def token_said(minted: Minted, user: ServiceUser, elsewhere: tuple[str, ...]) -> Step:
    """
    Say what a new token is.

    Args:
        minted: The token.
        user: Whose it is.
        elsewhere: Names of the routes that lead to other origins than the issuer's.
    """
    claims = claims_of(minted.token)
    said = f"new token: lives {span(minted.token.lifetime)}"
    if minted.note:
        todo = "it is renewed by that life; see to the issuer's answer"
        return passed(f"{said}, since {minted.note}", todo, warns=True)
    if claims is None:
        said += ", opaque"
        if not elsewhere:
            return passed(said)
        return passed(
            said,
            f"right for a backend that introspects ({_few(elsewhere)}); one that verifies JWTs itself"
            " needs the service user's access token type to be JWT",
        )
    named = audience(claims)
    said += f", JWT for {_few(named)}" if named else ", JWT"
    lost = dropped(user.scopes, claims)
    if lost:
        what = f"{said}; the issuer has dropped {_few(lost)} without a word"
        return passed(what, "check the scopes' spelling and that the project exists", warns=True)
    return passed(said)


def userinfo_said(status: int, body: bytes, user: ServiceUser, token: Token, now: float) -> Step:
    """
    Say what userinfo's answer means.

    Args:
        status: The answer's status.
        body: Its body; hostile.
        user: Whose token was shown.
        token: The token that was shown.
        now: Seconds since the epoch, by the issuer's clock.
    """
    match status:
        case 200:
            return _who(body, user, token)
        case 401:
            ends = user.credential.expires
            ended = "" if ends is None or ends > now else day(ends)
            return failed(refused_at_userinfo(user, ended=ended))
        case 429:
            return failed(throttled())
        case _ if status >= 500:
            return failed(Words(f"userinfo fails (answered {status})", TROUBLE))
        case _:
            return skipped(f"userinfo is not for such tokens here (answered {status})")


def _who(body: bytes, user: ServiceUser, token: Token) -> Step:
    try:
        answer = read_object(body)
    except ValueError:
        return passed("the issuer takes the token; its answer names nobody")
    hide = (token.value,)
    who = quoted(answer.get("sub"), hide=hide, limit=64)
    name = quoted(answer.get("preferred_username", answer.get("name")), hide=hide, limit=64)
    if not who:
        return passed("the issuer takes the token; its answer names nobody")
    said = f"it is user {who}" + (f" ({name})" if name and name != who else "")
    key = user.credential
    if isinstance(key, PrivateKey) and who != key.user_id:
        return passed(
            said, f"the key is of user {quoted(key.user_id)}: see why they differ", warns=True
        )
    return passed(said)


def api_said(status: int, body: bytes, user: ServiceUser, routes: tuple[str, ...]) -> Step:
    """
    Say what the answer of one of ZITADEL's own APIs means.

    Args:
        status: The answer's status.
        body: Its body; hostile.
        user: Whose token was shown.
        routes: Names of the routes that lead there.
    """
    # A system user has a token that is good, and no self to be asked about.
    selfless = isinstance(user.credential, SystemKey) and status in {403, 404}
    if status == 404 and b"unable to set instance" in body[:1024]:
        todo = "url must be the instance's own domain, and connect_to where to dial it"
        return failed(Words("the issuer does not know the host it was asked as (404)", todo))
    if status == 200 or selfless:
        return passed("ZITADEL's APIs take the token" + (f": {_few(routes)}" if routes else ""))
    if status == 404:
        return skipped(f"there is no {MYSELF} here (answered 404): not ZITADEL's APIs")
    return failed(_refusal(status, user, routes))


def _refusal(status: int, user: ServiceUser, routes: tuple[str, ...]) -> Words:
    match status:
        case 401:
            return refused_at_apis(user, API_AUDIENCE, routes)
        case 403 if isinstance(user.credential, Exchange):
            what = "ZITADEL's APIs refuse tokens that name an actor (answered 403)"
            return Words(what, f"take another service user for {_few(routes)}")
        case 429:
            return throttled("ZITADEL's APIs throttle (answered 429)")
        case _:
            return Words(f"ZITADEL's APIs fail (answered {status})", TROUBLE)


def span(seconds: float) -> str:
    """
    Return a length of time in its largest unit, such as `45 s`, `5 min`, `12 h` or `70 days`.
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * _DAY else f"{seconds // _DAY:.0f} days"


def day(moment: float) -> str:
    """
    Return the date of a moment in seconds since the epoch, in UTC.
    """
    last = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()
    return datetime.fromtimestamp(min(max(moment, 0.0), last), UTC).date().isoformat()


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_SHOWN
    return ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")

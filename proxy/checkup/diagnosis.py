"""
Why a service user has no token, or one that is not taken, and what to do about it.

Here is put in what only somebody knows who has looked at several answers: that an issuer which is
otherwise well must mean the assertion, or what a token was good for before.

This file asks nobody and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.checkup.way import no_answer
from proxy.checkup.words import NO_ANSWER, TROUBLE, Words, parts_of
from proxy.core.answer import quoted
from proxy.core.credential import ClientSecret, FixedToken, SystemKey
from proxy.errors import CredentialInvalid, MintTimeout, MintUnavailable
from proxy.tokens.mint import signs

if TYPE_CHECKING:
    from proxy.checkup.words import Parts
    from proxy.core.credential import ServiceUser
    from proxy.errors import TokenError

# RFC 6749 §5.2: what issuers call a refusal of the credential itself. ZITADEL up to 2.42 called a
# bad assertion server_error, with a status below 500.
_REFUSED = frozenset({"invalid_client", "invalid_grant"})

NO_PARTY = "no token to exchange: "
"""How the reason begins when the token of another service user could not be had."""

_AFTER_ALL = (
    "discovery was answered a moment ago, so it is the token endpoint or what is in front of it:"
    " look at their logs"
)

_SLOW = "discovery answers, so it is the mint that is slow: look at the issuer's load and log"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """
    What is known when a token could not be had.

    Attributes:
        causes: Likely ones that can be seen from here (`core.advice`).
        named: Whether the issuer has said that its url is what it calls itself.
        well: Whether it answers other requests; None if that was not asked.
        grants: Those it says it offers; empty if it does not say.
    """

    causes: tuple[str, ...] = ()
    named: bool = False
    well: bool | None = None
    grants: tuple[str, ...] = ()


def no_token(error: TokenError, user: ServiceUser, seen: Circumstances) -> Words:
    """
    Say why a service user got no token.
    """
    parts = parts_of(error)
    if error.reason.startswith(NO_PARTY):
        what, _, name = error.reason.partition(": ")
        return Words(what, f"{name} must get its own first: see its steps")
    match error:
        case MintTimeout():
            return Words(parts.what, _SLOW if seen.named else NO_ANSWER)
        case CredentialInvalid():
            return Words(parts.what, parts.todo or "replace the credential")
        case _ if _about_assertion(error, user, parts):
            return _assertion(parts, user, seen)
        case MintUnavailable() if parts.status == 0 and "token answer" not in parts.what:
            words = no_answer(error, user.issuer)
            return Words(words.said, _AFTER_ALL) if seen.named else words
        case _:
            return _other_no(parts, user, seen)


def _other_no(parts: Parts, user: ServiceUser, seen: Circumstances) -> Words:
    if isinstance(user.credential, ClientSecret):
        special = _client(parts, user.credential)
        if special is not None:
            return special
    if 300 <= parts.status < 400:
        return Words(parts.what, "write its final address as token_endpoint, or correct url")
    if parts.status == 429:
        return throttled(parts.what)
    if parts.code in {"unsupported_grant_type", "unauthorized_client"} and seen.grants:
        return Words(parts.what, f"{parts.todo}; it says it offers {_offer(seen.grants)}")
    if parts.todo or not 400 <= parts.status < 500:
        return Words(parts.what, parts.todo or TROUBLE)
    return Words(parts.what, "; or ".join(seen.causes) or "look at the issuer's log for the reason")


def _about_assertion(error: TokenError, user: ServiceUser, parts: Parts) -> bool:
    refused = parts.code in _REFUSED or (parts.code == "server_error" and parts.status < 500)
    return signs(user.credential) and (error.doubtful or refused)


def _offer(grants: tuple[str, ...]) -> str:
    return quoted(", ".join(grant.rpartition(":")[2] for grant in grants))


def _assertion(parts: Parts, user: ServiceUser, seen: Circumstances) -> Words:
    """
    Say what is wrong with an assertion, by excluding what is known to be right.
    """
    said = f"the issuer refuses the signed assertion{parts.answered}"
    if parts.status >= 500 and seen.well is False:
        return Words(
            f"the issuer failed{parts.answered}, on userinfo too",
            "this looks like an outage of the issuer: look at its log, and check again later",
        )
    if parts.status >= 500:
        said += ", though otherwise well" if seen.well else ", or is in trouble itself"
        said += ": older versions refuse one so"
    if seen.named and any("clock" in cause for cause in seen.causes):
        known = "aud (url) is right, as seen above. Likely: "
    elif seen.named:
        known = "aud (url) and time are right, as seen above, so it is the key. Likely: "
    else:
        known = f"likely: url {user.issuer.url} is not byte for byte what the issuer calls itself, so aud is wrong; or "
    todo = ". See its keys in the console; if it is not there make one, and store its file"
    return Words(said, known + "; or ".join(seen.causes) + todo)


def _client(parts: Parts, client: ClientSecret) -> Words | None:
    """
    Say what is wrong with a client id or its secret; None if it is something else.
    """
    name = quoted(client.client_id)
    if "Secret.Invalid" in parts.what:
        todo = (
            "was it rotated? A new secret ends the old one at once: store the newest, or make one"
        )
    elif "Secret.NotExisting" in parts.what:
        todo = f'generate one for service user "{name}"; if that is a person, name a service user'
    elif parts.code == "invalid_client":
        todo = (
            f'client_id "{name}" must be the login name the console shows for the service user,'
            " with its @domain suffix if it has one"
        )
        if name.isdigit():
            todo += "; this one looks like a user id, which is not it"
        elif "@" not in name:
            todo += "; this one has none"
    else:
        return None
    return Words(parts.what, todo)


def throttled(what: str = "the issuer throttles (answered 429)") -> Words:
    """
    Say what a 429 means.
    """
    return Words(what, "wait a little and check again; if it stays so, see quotas and rate limits")


def refused_at_userinfo(user: ServiceUser, *, ended: str = "") -> Words:
    """
    Say why an issuer does not know a token.

    Args:
        user: Whose token it is.
        ended: The day it ended, as the configuration says; empty if it did not or nobody says.
    """
    if isinstance(user.credential, FixedToken):
        if ended:
            return Words(
                f"the issuer does not take the token, which ended on {ended}",
                "make a new one in the console and store it, with its new date in expires",
            )
        return Words(
            "the issuer does not know the token (answered 401)",
            "it has expired, was removed, is another instance's, was pasted in part, or its user"
            " is locked: make a new one in the console and store it",
        )
    return Words(
        "the issuer does not take the token it has just given (answered 401)",
        "perhaps a read replica lags behind, or the user was locked this moment: check again; if"
        " it stays so, look at the issuer's log",
    )


def refused_at_apis(user: ServiceUser, audience: str, routes: tuple[str, ...]) -> Words:
    """
    Say why ZITADEL's APIs answer 401 to a token its issuer knows.

    Args:
        user: Whose token it is.
        audience: The scope that makes a token good for them.
        routes: Names of the routes that lead there.
    """
    said = "ZITADEL's APIs do not take the token (answered 401)"
    if isinstance(user.credential, SystemKey):
        return Words(
            said,
            f'the server must know system user "{quoted(user.credential.user)}" with this key'
            " (SystemAPIUsers in its own settings), and be reached from outside as"
            f" {user.issuer.url}, byte for byte: that is aud",
        )
    if isinstance(user.credential, FixedToken):
        return Words(said, "userinfo takes it, so this should pass: check again")
    if audience not in user.scopes:
        where = f"route{'s' if len(routes) > 1 else ''} {', '.join(routes)}"
        return Words(
            f"{said}: it is alive, but not meant for them",
            f"add the scope {audience} to {user.name}, since {where} lead"
            f"{'' if len(routes) > 1 else 's'} there",
        )
    return Words(
        said,
        f"the scope {audience} was asked for, so perhaps the token is too young, or what answers"
        " is not this issuer's API: check again",
    )

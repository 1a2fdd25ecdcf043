"""
The story of a request as facts for programs, and as rows for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.load import Loaded
    from proxy.explanation.story import Story

Tone: TypeAlias = Literal["plain", "good", "doubtful", "bad"]

MOST_LOST = 5
"""Routes that were not taken named to a person in one row; the others are counted."""

KEY_ENDS = 4
"""Characters shown of a key id's start and end."""


class Row(NamedTuple):
    """
    One row of what a person reads.

    Attributes:
        label: What it is about.
        main: What matters most.
        aside: What else there is to say.
        tone: How it is meant.
    """

    label: str
    main: str
    aside: str = ""
    tone: Tone = "plain"


def facts(story: Story, loaded: Loaded, key_id: str | None = None) -> dict[str, Any]:
    """
    Return a story as JSON has it: always the same keys, null where there is nothing to say.

    Args:
        story: The story.
        loaded: The configuration it was told by.
        key_id: What the issuer calls the service user's key; None if that is not known.
    """
    route, refused = story.route, story.refused
    told: dict[str, Any] = {
        "route": None,
        "file": None,
        "lost": [{"route": lost.route, "why": lost.why} for lost in story.lost],
        "service_user": None,
        "method": None,
        "issuer": None,
        "key_id": key_id,
        "upstream": None,
        "forward": story.forward,
        "url": story.url or None,
        "listener": story.listener,
        "caller": "allowed" if refused is None else _of_the_caller(story),
        "reported": story.reported or None,
        "refused": None,
        "hint": story.hint or None,
        "answered": story.answered or None,
        "request": list(story.sent) or None,
        "added": list(story.added),
        "removed": list(story.removed),
    }
    if refused is not None:
        told["refused"] = {
            "status": refused.status,
            "code": refused.code,
            "reason": refused.reason,
        }
    if route is not None:
        settings = loaded.settings
        names = [entry.name for entry in settings.routes]
        user = settings.service_users[route.action.service_user]
        told |= {
            "route": route.name,
            "file": loaded.where(("routes", names.index(route.name))),
            "service_user": route.action.service_user,
            "method": user.method,
            "issuer": user.issuer,
            "upstream": route.action.upstream,
        }
    return told


def _of_the_caller(story: Story) -> str | None:
    error = story.refused
    if error is None or not error.code.startswith("caller_"):
        return None
    return f"{error.code}: {error.reason}"


def rows(told: Mapping[str, Any]) -> Iterator[Row]:
    """
    Yield what a person reads of the facts; the request's head is left out.
    """
    refused = told["refused"]
    if refused is not None:
        yield Row(
            "refused",
            f"{refused['status']} {refused['code']}",
            refused["reason"],
            tone="bad",
        )
    if told["hint"]:
        yield Row("hint", told["hint"])
    if told["answered"]:
        yield Row("answered", told["answered"], tone="good")
    lost = _tried(told["lost"])
    if told["route"] is None:
        if lost:
            yield Row("route", "none", f"tried: {lost}")
        return
    tried = f"{told['file']}" + (f"    tried first: {lost}" if lost else "")
    yield Row("route", told["route"], tried, tone="good" if refused is None else "plain")
    yield Row("user", told["service_user"], _identity(told))
    token = told.get("token")
    if token is not None:
        yield Row("token", *_token(token))
    if told["reported"]:
        yield Row("caller", "let through by mode: report", told["reported"], tone="doubtful")
    mode = "in forward mode" if told["forward"] else ""
    yield Row("upstream", told["url"] or told["upstream"], mode)
    if told["request"]:
        added = ", ".join(told["added"])
        removed = ", ".join(told["removed"])
        yield Row("headers", f"+ {added}", f"- {removed} (caller's)" if removed else "")


def text(told: Mapping[str, Any]) -> str:
    """
    Return the facts as plain text.
    """
    lines = [
        f"{row.label:<10}{row.main}{'   ' if row.aside else ''}{row.aside}" for row in rows(told)
    ]
    return "\n".join((*lines, *head(told))) + "\n"


def head(told: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the lines that show the head an upstream gets; none if it gets nothing.
    """
    if told["request"]:
        yield "request"
        yield from (f"    {line}" for line in told["request"])


def _tried(lost: list[dict[str, str]]) -> str:
    named = ", ".join(f"{each['route']} ({each['why']})" for each in lost[:MOST_LOST])
    more = len(lost) - MOST_LOST
    return f"{named}, and {more} more" if more > 0 else named


def _identity(told: Mapping[str, Any]) -> str:
    key = told["key_id"]
    if key is None:
        return f"{told['method']} at {told['issuer']}"
    if len(key) > 3 * KEY_ENDS:
        key = f"{key[:KEY_ENDS]}…{key[-KEY_ENDS:]}"
    return f"{told['method']} at {told['issuer']}, key {key}"


def _token(token: Mapping[str, Any]) -> tuple[str, str, Tone]:
    """
    Return what there is to say of the token at hand.
    """
    times = []
    if token["expires_in"] is not None:
        times.append(f"expires in {token['expires_in']:.0f} s")
    if token["renews_in"] is not None:
        overdue = token["renews_in"] < 0
        times.append("renewal is due" if overdue else f"replaced in {token['renews_in']:.0f} s")
    tone: Tone = "plain" if token["condition"] in ("ready", "idle", "cold") else "doubtful"
    return token["condition"], ", ".join(times), tone

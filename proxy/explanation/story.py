"""
What the gateway would do with a request, told without sending anything.

It asks the functions the gateway asks, in the gateway's order (`wire.request_parser`, then
`gateway.Request`, keep in step); who calls is taken as told. What depends on the moment is left
out: limits on rates and on requests at once, and whether a token can be had.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from proxy.config.route import METHODS
from proxy.core.admit import admit
from proxy.core.forward_errors import ForwardUnauthenticated
from proxy.core.target import check_query
from proxy.errors import (
    BadRequest,
    BodyTooLarge,
    CallerUnauthenticated,
    HeadersTooLarge,
    NoRoute,
    ProxyError,
    UpstreamConnect,
    UriTooLong,
)
from proxy.explanation.head import added, hide, lines, removed
from proxy.explanation.paper import on_paper
from proxy.known import Known
from proxy.options import for_the_gateway
from proxy.wire.message import LENGTH_FORM
from proxy.wire.request import read_request

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.config.model import Settings
    from proxy.core.admit import Entrance
    from proxy.core.decide import Plan
    from proxy.core.route import Lost, Route
    from proxy.explanation.paper import Paper
    from proxy.explanation.question import Question
    from proxy.generation import Generation
    from proxy.wire.request import RequestFields

BLANK = re.compile(rb"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Story:
    """
    What would happen to a request.

    Attributes:
        lost: Why the routes that were not taken were not.
        listener: At which listener it is told.
        route: The route that matches; None if none does, or it did not come so far.
        refused: Why the request is refused; None if it is not.
        reported: What its caller would be told if `mode: report` were not; empty if the same.
        answered: What the proxy answers by itself; empty if it does not.
        url: What is asked for at the upstream; empty if nothing is.
        sent: The head the upstream gets, a line each, credentials hidden.
        added: Lines of it that the proxy adds.
        removed: The caller's headers that do not go up.
        forward: It is told in forward mode.
        hint: What else may have been meant; empty if nothing.
    """

    lost: tuple[Lost, ...] = ()
    listener: str = ""
    route: Route[Plan] | None = None
    refused: ProxyError | None = None
    reported: str = ""
    answered: str = ""
    url: str = ""
    sent: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    forward: bool = False
    hint: str = ""


def tell(loaded: Loaded, question: Question, *, discreet: bool = False) -> Story:
    """
    Work out what would happen to a request, at the first listener that takes it; at the first of
    all if none does.

    What is refused, but would not be in forward mode, is told with a hint at that.

    Args:
        loaded: The configuration.
        question: The request.
        discreet: Hide the values that `request_headers` sets from whoever may ask and not read the
            configuration: some are keys.
    """
    paper = on_paper(loaded.settings)
    story = _tell(loaded.settings, paper, question, discreet=discreet)
    if story.refused is None or not question.url:
        return story
    other = _tell(loaded.settings, paper, replace(question, target=question.url, url=b""))
    if other.route is None or not other.forward or other.refused is not None:
        return story
    hint = f"asked for through http_proxy (forward mode) it takes the route {other.route.name}"
    return replace(story, hint=f"{hint}: ask with --forward, on the admin listener with forward=1")


def _tell(settings: Settings, paper: Paper, question: Question, *, discreet: bool = False) -> Story:
    forward = question.target[:1] not in (b"/", b"*") and question.method != b"CONNECT"
    unread = Story(paper.lost(question, is_forward=forward), paper.entrances[0].name)
    try:
        _measure(question, settings)
        head = read_request([b"%b: %b" % pair for pair in question.fields], paper.roles)
    except ProxyError as error:
        return replace(unread, refused=error, forward=forward)
    assert head is not None
    listeners = range(len(settings.listen))
    told = [_at(index, paper, question, head, discreet=discreet) for index in listeners]
    story = next((each for each in told if each.refused is None), told[0])
    if story.refused is None and head.length and 0 < settings.limits.body < head.length:
        too_large = BodyTooLarge(f"the body is larger than {settings.limits.body} bytes")
        return Story(
            story.lost, story.listener, story.route, refused=too_large, forward=story.forward
        )
    return story


def _measure(question: Question, settings: Settings) -> None:
    """
    Refuse what the parser would refuse.
    """
    limits, fields = settings.limits, question.fields
    if question.method.decode() not in METHODS | {"CONNECT", "TRACE"}:
        raise BadRequest("the method is none that HTTP parsers know; methods are in capitals")
    if BLANK.search(question.target):
        raise BadRequest("the request target holds a blank")
    if len(question.target) > limits.target:
        raise UriTooLong(f"the request target is longer than {limits.target} bytes")
    if len(fields) > limits.headers:
        raise HeadersTooLarge(f"there are more than {limits.headers} header lines")
    if sum(len(name) + len(value) + 4 for name, value in fields) > limits.head:
        raise HeadersTooLarge(f"the header section is larger than {limits.head} bytes")
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    if len(lengths) > 1 or not all(map(LENGTH_FORM.match, lengths)):
        raise BadRequest("Content-Length must be one number")


def _at(
    index: int, paper: Paper, question: Question, head: RequestFields, *, discreet: bool
) -> Story:
    """
    Tell it at one listener (`gateway.Request._decide`).
    """
    entrance = paper.entrances[index]
    story, forward = Story(listener=entrance.name), False
    known = Known(cast("Generation", paper), head, index)
    try:
        target, forward = paper.pass_door(index, question, head, known)
        if question.method == b"OPTIONS" and for_the_gateway(target, head):
            admit(question.caller, entrance.rule)
            lost = paper.lost(question, is_forward=forward)
            return replace(story, lost=lost, answered="204 No Content, by the proxy itself")
        path, mark, query = target.partition(b"?")
        try:
            route, goal = paper.way(question.method, path, head, is_forward=forward)
        except (NoRoute, BadRequest):
            admit(question.caller, entrance.rule)
            raise
        plan = route.action
        story = replace(story, route=route)
        if mark:
            check_query(query)
            goal += mark + query
        admit(question.caller, entrance.rule, plan.callers)
        if known.loops:
            raise UpstreamConnect("the upstream leads back to this proxy")
        foreign = False
        if known.brought and plan.authorization != "replace":
            foreign = known.travels(plan.authorization)
    except ProxyError as error:
        if forward and isinstance(error, CallerUnauthenticated):
            error = ForwardUnauthenticated(error.reason)
        lost = paper.lost(question, is_forward=forward, chosen=story.route)
        return replace(story, lost=lost, refused=error, forward=forward)
    sent = tuple(
        lines(plan, question.method, goal, known, head, foreign=foreign, discreet=discreet)
    )
    return replace(
        story,
        lost=paper.lost(question, is_forward=forward, chosen=route),
        forward=forward,
        reported=_reported(question.caller, entrance, plan),
        url=plan.upstream + goal.decode(),
        sent=tuple(hide(line) for line in sent),
        added=tuple(hide(line) for line in added(question, sent)),
        removed=tuple(removed(question, sent)),
    )


def _reported(caller: str | None, entrance: Entrance, plan: Plan) -> str:
    """
    Say what the log would say of a caller that only report mode lets in; empty if nothing.
    """
    rules = (each for each in (entrance.rule, plan.callers) if each is not None)
    denials = [denial for each in rules if (denial := each.denial(caller)) is not None]
    return f"{denials[0].code}: {denials[0].reason}" if denials else ""

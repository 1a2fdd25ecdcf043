"""
`/explain`: what would happen to a request at the running proxy, and how its token fares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.label import key_id
from proxy.explanation.question import Unclear, ask, check_caller
from proxy.explanation.story import tell
from proxy.explanation.words import facts

if TYPE_CHECKING:
    from multidict import MultiMapping

    from proxy.config.load import Loaded
    from proxy.generation import Generation

PARAMETERS = ("method", "url", "caller", "header", "forward")


def explain(loaded: Loaded, generation: Generation, query: MultiMapping[str]) -> dict[str, Any]:
    """
    Answer a question. Values that the configuration adds to requests are hidden: the listener may
    ask for no key, and `authproxy explain` shows them to whoever can read the file.

    Args:
        loaded: The configuration that serves.
        generation: What was made of it.
        query: `url`; `method`, which is GET if it is left out; `caller`, a name; `header`, as
            `NAME: VALUE`, any number of them; `forward`, 1 for forward mode, else 0.

    Raises:
        Unclear: It is no question.
    """
    if not set(PARAMETERS).issuperset(query):
        raise Unclear(f"there is a parameter that is none of {', '.join(PARAMETERS)}")
    if not query.get("url"):
        raise Unclear("ask /explain?method=GET&url=/path, with caller=NAME and header=NAME:VALUE")
    forward = query.get("forward", "0")
    if forward not in {"0", "1"}:
        raise Unclear("forward is none of 0 and 1")
    caller = query.get("caller") or None
    check_caller(caller, loaded)
    question = ask(
        query.get("method") or "GET",
        query["url"],
        query.getall("header", []),
        caller,
        forward=forward == "1",
    )
    story = tell(loaded, question, discreet=True)
    if story.route is None:
        return {**facts(story, loaded), "token": None}
    name = story.route.action.service_user
    keeper = generation.keeper
    state = keeper.state(name)
    told = facts(story, loaded, key_id(keeper.slot(name).credential))
    token = {
        "condition": state.condition,
        "expires_in": state.expires_in,
        "renews_in": state.renews_in,
    }
    return {**told, "token": token}

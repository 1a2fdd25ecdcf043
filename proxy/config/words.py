"""
What pydantic says about the shape of settings, in the words of proxy.yaml.

Keep `SECTIONS` in step with the models and `EXAMPLES` with their required settings; tests hold both
against the models. No message repeats a value; a name is repeated only if it resembles a known one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.audit import Audit
from proxy.config.caller import (
    Caller,
    IntrospectedCaller,
    Introspection,
    JwtCaller,
    UnixCaller,
)
from proxy.config.door import RequiredHeader
from proxy.config.draft import Finding, Place, look, near
from proxy.config.exchange_user import ExchangeParty
from proxy.config.limits import Limits, Pools
from proxy.config.log import Log
from proxy.config.model import (
    Issuer,
    Listener,
    ListenerCertificate,
    ListenerTls,
    Settings,
)
from proxy.config.rate import RateLimits
from proxy.config.route import Match, RequestHeaders, Route, Timeouts
from proxy.config.service_user import METHODS
from proxy.config.shutdown import Shutdown
from proxy.config.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from proxy.config.nodes import Flaw
    from proxy.config.section import Section

SECTIONS: Final[Mapping[tuple[str, ...], type[Section]]] = {
    (): Settings,
    ("log",): Log,
    ("traces",): Traces,
    ("audit",): Audit,
    ("listen", "*"): Listener,
    ("listen", "*", "tls"): ListenerTls,
    ("listen", "*", "tls", "certificates", "*"): ListenerCertificate,
    ("listen", "*", "require_header"): RequiredHeader,
    ("listen", "*", "limits"): RateLimits,
    ("issuers", "*"): Issuer,
    ("issuers", "*", "introspection"): Introspection,
    ("service_users", "*", "subject"): ExchangeParty,
    ("service_users", "*", "actor"): ExchangeParty,
    ("callers", "*"): Caller,
    ("callers", "*", "jwt"): JwtCaller,
    ("callers", "*", "introspection"): IntrospectedCaller,
    ("callers", "*", "unix"): UnixCaller,
    ("callers", "*", "limits"): RateLimits,
    ("limits",): Limits,
    ("pools",): Pools,
    ("shutdown",): Shutdown,
    ("upstreams", "*"): RateLimits,
    ("routes", "*"): Route,
    ("routes", "*", "match"): Match,
    ("routes", "*", "request_headers"): RequestHeaders,
    ("routes", "*", "timeouts"): Timeouts,
}
"""The model behind each group of settings, `*` for a name or index; service users: `METHODS`."""

EXAMPLES: Final[Mapping[str, str]] = {
    "address": "address: 127.0.0.1:8080",
    "audience": "audience: ID",
    "cert_file": "cert_file: PATH",
    "client_id": "client_id: NAME",
    "issuer": "issuer: NAME",
    "issuers": 'issuers: {zitadel: {url: "https://…"}}',
    "key_file": "key_file: PATH",
    "key_pem_file": "key_pem_file: PATH",
    "method": f"method: one of {', '.join(METHODS)}",
    "name": "name: NAME",
    "routes": "routes: a list with at least one route",
    "service_user": "service_user: NAME",
    "service_users": "service_users: {NAME: {issuer: …, method: …}}",
    "subject": "subject: {service_user: NAME}",
    "token": "token: {file: PATH}",
    "upstream": "upstream: https://HOST",
    "url": "url: https://HOST",
    "user": "user: NAME",
    "value": "value: TEXT",
    "version": "version: 1",
}
"""How each required setting is written."""

_OTHER: Final = ("is not what can stand here", "see the reference")
_GROUP: Final = ("is no group of settings", 'write "name: value" lines under it')
_LIST: Final = ("is no list", "write [one, two], or a line with a dash for each")
_TYPES: Final[Mapping[str, Flaw]] = {
    "model_type": _GROUP,
    "model_attributes_type": _GROUP,
    "dict_type": _GROUP,
    "mapping_type": _GROUP,
    "tuple_type": _LIST,
    "string_type": ("is no text", "write one line of text"),
    "too_short": ("is empty", "write at least one"),
    "bool_type": ("is neither true nor false", "write true or false"),
    "int_type": ("is no whole number", "write digits without quotes"),
}


def translate(error: ValidationError, data: object) -> Iterator[Finding]:
    """
    Yield what *error* says about *data*, one finding per error, without repeating a value.
    """
    misspelt: set[Place] = set()
    details = error.errors(include_url=False, include_input=False)
    for detail in sorted(details, key=lambda each: each["type"] != "extra_forbidden"):
        place, name_itself = _place(detail["loc"])
        raw = look(data, place)
        if detail["type"] == "extra_forbidden":
            finding, meant = _unknown(place, data)
            misspelt.add((*place[:-1], meant))
            yield finding
        elif detail["type"] == "missing" and place in misspelt:
            continue  # it is there under a misspelt name, which has its own finding
        elif detail["type"] == "too_short" and not _empty(detail, raw):
            continue  # the items are there and wrong; each has its own finding
        elif name_itself:
            what, instead = _said(detail, raw)
            yield Finding(place, f"the name {what}", instead)
        elif detail["type"] == "union_tag_invalid":
            yield Finding((*place, "method"), *_said(detail, raw))
        else:
            yield Finding(place, *_said(detail, raw))


def _place(loc: tuple[int | str, ...]) -> tuple[Place, bool]:
    """
    Return pydantic's *loc* as a place in the file, and whether it is about the name itself.

    Leaves out the method, which pydantic puts behind a service user's name.
    """
    name_itself = bool(loc) and loc[-1] == "[key]"
    place = tuple(loc[:-1] if name_itself else loc)
    if place[:1] == ("service_users",) and len(place) > 2:
        place = (*place[:2], *place[3:])
    return place, name_itself


def _empty(detail: ErrorDetails, raw: object) -> bool:
    """
    Tell whether nothing was written where there must be something; where a list is wanted, an
    empty group is one wrong item.
    """
    return raw == [] or (raw == {} and detail["ctx"].get("field_type") != "Tuple")


def _said(detail: ErrorDetails, raw: object) -> Flaw:
    """
    Return what is wrong and what to write instead.
    """
    context = detail.get("ctx", {})
    said: Flaw = _OTHER
    match detail["type"]:
        case "wrong":
            said = str(context["what"]), str(context["instead"])
        case "missing":
            name = str(detail["loc"][-1])
            said = "is missing", f"write {EXAMPLES.get(name, name)}"
        case "union_tag_not_found":
            said = "has no method", f"write {EXAMPLES['method']}"
        case "union_tag_invalid":
            method = raw.get("method") if isinstance(raw, dict) else None
            said = _choice("has an unknown method", tuple(METHODS), method)
        case "literal_error":
            options = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            said = _choice("is none of the possible values", tuple(options), raw)
        case "string_type" if isinstance(raw, (int, float)):
            said = "is no text", "put it in quotes"
        case kind:
            said = _TYPES.get(kind, said)
    return said


def _choice(what: str, options: tuple[str, ...], raw: object) -> Flaw:
    close = near(raw, options) if isinstance(raw, str) and len(options) > 1 else ""
    if close:
        return what, f'did you mean "{close}"?'
    return what, f"write {'one of ' if len(options) > 1 else ''}{', '.join(options)}"


def _unknown(place: Place, data: object) -> tuple[Finding, str]:
    """
    Say that there is no such setting, and return the one that was probably meant, or "".
    """
    name, above = str(place[-1]), place[:-1]
    model = _model(above, data)
    known = tuple(model.model_fields) if model else ()
    meant = near(name, known)
    if not above and name in Route.model_fields and not (meant and _is_group(data, place)):
        return Finding(place, "belongs to a route", "write it under routes[…]"), ""
    if meant:
        return Finding(place, f'unknown setting "{name[:40]}"', f'did you mean "{meant}"?'), meant
    if (
        above[:1] == ("service_users",)
        and len(above) == 2
        and any(name in other.model_fields for other in METHODS.values())
    ):
        what, instead = "is no setting of this method", "remove it, or change the method"
        return Finding(place, what, instead), ""
    listed = f"known here: {', '.join(sorted(known))}"
    return Finding(place, "unknown setting", listed), ""


def _is_group(data: object, place: Place) -> bool:
    """
    Tell whether there are settings by name, as under `upstreams` and not at a route's `upstream`.
    """
    return isinstance(look(data, place), dict)


def _model(place: Place, data: object) -> type[Section] | None:
    if place[:1] == ("service_users",) and len(place) == 2:
        user = look(data, place)
        return METHODS.get(str(user.get("method"))) if isinstance(user, dict) else None
    head = tuple(str(part) for part in place)
    return SECTIONS.get((head[0], "*", *head[2:]) if len(head) > 1 else head)

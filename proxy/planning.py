"""
What each route does with a request: settings in, plans out.

It takes nothing but settings, no key and no socket, so what only explains may use it as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.core.admit import rule
from proxy.core.decide import Plan
from proxy.core.headers import AUTHORIZATION, CALLER_CREDENTIALS, is_forwarding, looked_at
from proxy.core.location import WayBack, longer
from proxy.core.route import Route
from proxy.wire.roles import REQUEST_ROLES, Roles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config import model, route
    from proxy.core.door import Door


def plan_routes(settings: model.Settings) -> tuple[Route[Plan], ...]:
    """
    Return the routes of *settings*, in the file's order.
    """
    prefixes = sorted({entry.match.compiled().path + b"/" for entry in settings.routes})
    return tuple(_route(entry, settings, prefixes) for entry in settings.routes)


def _route(entry: route.Route, settings: model.Settings, prefixes: list[bytes]) -> Route[Plan]:
    headers = entry.request_headers
    hidden = {name.encode() for name in (*headers.set, *headers.remove)}
    hidden |= {name for name in map(str.encode, entry.match.headers) if is_forwarding(name)}
    marks = (listener.require_header for listener in settings.listen)
    hidden |= {mark.name.encode() for mark in marks if mark is not None}
    if entry.authorization != "keep":
        hidden.add(AUTHORIZATION)
    issuer = settings.issuers[settings.service_users[entry.service_user].issuer]
    plan = Plan(
        upstream=entry.upstream.origin,
        host_line=f"Host: {entry.upstream.authority}\r\n".encode(),
        base=entry.upstream.path.rstrip("/").encode(),
        rewrite=None if entry.rewrite_path is None else entry.rewrite_path.rstrip("/").encode(),
        service_user=entry.service_user,
        callers=rule(entry.callers, entry.mode),
        authorization=entry.authorization,
        replay=entry.replay,
        own_api=entry.upstream.origin == issuer.url.origin,
        strip=frozenset(hidden | CALLER_CREDENTIALS),
        set_lines="".join(f"{name}: {value}\r\n" for name, value in headers.set.items()).encode(),
        token_echo=entry.token_echo,
        server_timing=entry.server_timing,
    )
    match = entry.match.compiled()
    if entry.redirects == "rewrite":
        taken = longer(match.path, prefixes)
        way_back = WayBack(plan.upstream.encode(), plan.base, plan.rewrite, match.path, taken)
        plan = replace(plan, way_back=way_back)
    return Route(entry.name, match, plan)


def request_roles(routes: Iterable[Route[Plan]], opened: Iterable[Door]) -> Roles:
    """
    Return which role each request header plays: the wire's own, and those the routes and the
    listeners' doors look at.
    """
    names = {door.required[0] for door in opened if door.required is not None}
    for entry in routes:
        names |= entry.action.strip
        names.update(name for name, _ in entry.match.headers)
    return Roles(REQUEST_ROLES, looked_at(frozenset(names)), drop=is_forwarding)

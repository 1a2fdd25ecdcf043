"""
The parameters of a request to one of the OAuth endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.sandbox.hits import KEPT_BODY, Hit, read_body
from proxy.sandbox.replies import OAuthRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    Pairs = list[tuple[str, str]]


async def read_form(request: web.Request, hit: Hit) -> dict[str, str]:
    """
    Return the parameters of a request: of a form body, then of the query; the first one counts.
    """
    return first_of(await read_pairs(request, hit))


async def read_pairs(request: web.Request, hit: Hit) -> Pairs:
    """
    Return all parameters in order: of a form body, then of the query.

    A body that is not declared as a form is not looked into.
    """
    body = await read_body(request, hit)
    if hit.body_length > KEPT_BODY:
        raise OAuthRefusedError("invalid_request", "error parsing form")
    pairs: Pairs = []
    if request.content_type == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return pairs + parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)


def first_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """
    Return each parameter with the first value it was sent with.
    """
    form: dict[str, str] = {}
    for name, value in pairs:
        form.setdefault(name, value)
    return form


def all_of(pairs: Iterable[tuple[str, str]], name: str) -> tuple[str, ...]:
    """
    Return every value of a parameter that may be repeated, without empty ones.
    """
    return tuple(value for each, value in pairs if each == name and value)

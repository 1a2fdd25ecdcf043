"""
How the admin application answers: what every answer tells a browser, and JSON that people can read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# Take it for what it says it is, keep it nowhere, show it nowhere
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def protect(headers: MutableMapping[str, str]) -> None:
    """
    Add what every answer tells a browser, where it does not say otherwise.
    """
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def facts(told: dict[str, Any], status: int = 200) -> web.Response:
    """
    Answer with JSON.
    """
    return web.json_response(
        told, status=status, dumps=lambda value: json.dumps(value, indent=2) + "\n"
    )


def pages(app: web.Application) -> str:
    """
    Return the answer to whoever asks for something that is not there.
    """
    there = [
        f"{route.method:<5}{route.resource.canonical.replace('{name}', 'NAME')}\n"
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    ]
    return f"there is no such page; there are:\n{''.join(there)}"

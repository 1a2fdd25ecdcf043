"""
From the URLs on curl's command line to those its private proxy is asked for.

A URL of an upstream, or of a route's host, is asked for in forward mode: all that changes is `https`
to `http`, for the first piece of the way is the private proxy, which goes on as its route says. A
path alone is asked of the proxy itself. What no route leads to is refused before anything is sent.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from proxy.core.decide import decide
from proxy.core.forward import ForwardTable
from proxy.core.route import Table
from proxy.errors import ProxyError
from proxy.planning import plan_routes
from proxy.private.settings import OWN_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.config.model import Settings
    from proxy.config.route import Route
    from proxy.core.decide import Plan

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# curl(1), URL: {one,two}, [1-100], [a-z:2]
_GLOB: Final = re.compile(r"[{\[]")

# An IPv6 address in brackets, which curl does not take for a pattern: it has no -
_LITERAL: Final = re.compile(r"\[[0-9A-Fa-f:.]+(?:%[^\]]*)?\]")

# curl(1), -K: an option at a line's start, dashes or not, then blanks, = or :
_FILE_URL: Final = r"(?m)^([ \t]*(?:--)?url[ \t]*[ \t=:][ \t]*\"?)"
_FILE_LINE: Final = re.compile(_FILE_URL + "https://")
_FILE_PATH: Final = re.compile(_FILE_URL + r"(/[^\s\"]*)")
_FILE_NEXT: Final = re.compile(r"(?m)^[ \t]*(?:--)?next[ \t]*$")


MOST: Final = 20
"""Routes that are listed where none leads to a URL; those of a gateway would fill screens."""


class NoWayError(click.ClickException):
    """
    Ends the verb with code 2, before anything was sent.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What curl is to ask for.

    Attributes:
        url: A URL, with or without scheme, or a path.
        method: The method.
        headers: Those on the command line, by lower-case name.
        globbing: Whether braces and brackets are patterns.
    """

    url: str
    method: str = "GET"
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    globbing: bool = True


class Finder:
    """
    Finds routes for URLs.

    Args:
        settings: The private proxy's.

    Attributes:
        users: The service users of the routes found so far.
    """

    def __init__(self, settings: Settings) -> None:
        self._routes = settings.routes
        self._table: Table[Plan] = Table(plan_routes(settings))
        self._forward: ForwardTable[Plan] = ForwardTable(self._table, lambda plan: plan)
        self.users: set[str] = set()

    def rewritten(self, asked: Asked) -> str:
        """
        Return the URL to ask the private proxy for.

        Raises:
            NoWayError: No route leads there.
        """
        url = asked.url
        if url.startswith("/"):
            return self._of_path(asked)
        scheme = _SCHEME.match(url)
        if scheme is None:
            url = f"http://{url}"  # where no port is written it stands for https:// as well
        elif scheme[1].lower() not in {"http", "https"}:
            raise NoWayError(f"{scheme[1]}:// is not HTTP, and no route leads there")
        authority, path = _halves(url)
        if asked.globbing and _GLOB.search(_LITERAL.sub("", authority)):
            self.users.update(entry.service_user for entry in self._routes)
        else:
            host = authority.rpartition("@")[2]
            self._find(asked, f"{url.partition('://')[0]}://{host}", path)
        return f"http://{url.partition('://')[2]}"

    def _of_path(self, asked: Asked) -> str:
        """
        Return the URL for a path alone: of routes for any host, else of one host's.
        """
        named = (entry.match.host for entry in self._routes)
        for host in dict.fromkeys((OWN_HOST, *(each for each in named if each and each[0] != "*"))):
            try:
                found = decide(
                    self._table,
                    asked.method.encode(),
                    self._target(asked, asked.url),
                    host.encode(),
                    asked.headers.get,
                )
            except ProxyError:
                continue
            self.users.add(found.route.action.service_user)
            return f"http://{host}{asked.url}"
        raise self._nobody(asked, "")

    def _find(self, asked: Asked, origin: str, path: str) -> None:
        try:
            named = origin.encode() if origin.isascii() else origin.encode("idna")
        except UnicodeError:
            raise NoWayError(f"{_shown(asked.url)} holds no host name") from None
        target = named + self._target(asked, path)
        try:
            found = self._forward.decide(asked.method.encode(), target, asked.headers.get)
        except ProxyError as error:
            raise self._nobody(asked, self._why(asked, target, error)) from error
        self.users.add(found.route.action.service_user)

    def _why(self, asked: Asked, target: bytes, error: ProxyError) -> str:
        """
        Return why no route is for a URL: most often its scheme is not the upstream's.
        """
        scheme, colon, rest = target.partition(b":")
        if scheme.lower() == b"https":
            plain = b"http" + colon + rest
            with suppress(ProxyError):
                self._forward.decide(asked.method.encode(), plain, asked.headers.get)
                return "the upstream there is an http:// one; write http://"
        return error.reason.removesuffix(" in forward mode")  # which is what other clients do

    def _target(self, asked: Asked, path: str) -> bytes:
        """
        Return the target of a path; of a pattern, that of the part before it.
        """
        path = path.partition("#")[0]
        pattern = _GLOB.search(path) if asked.globbing else None
        if pattern is not None:
            path = path[: pattern.start()].partition("?")[0]
        return quote(path, safe="%/?:@!$&'()*+,;=[]{}|~-._\"<>^`\\").encode()

    def _nobody(self, asked: Asked, reason: str) -> NoWayError:
        why = f": {reason}" if reason else ""
        lines = [f"no route leads to {asked.method} {_shown(asked.url)}{why}", "The routes are:"]
        rows = [(entry.name, *route_ends(entry)) for entry in self._routes[:MOST]]
        wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines += (f"  {name:<{wide[0]}}  {what:<{wide[1]}}  → {to}" for name, what, to in rows)
        if len(self._routes) > MOST:
            lines.append(f"and {len(self._routes) - MOST} more")
        return NoWayError("\n".join(lines))


def route_ends(entry: Route) -> tuple[str, str]:
    """
    Return what a route matches, and where it leads as whom.
    """
    match = entry.match
    methods = f"{','.join(match.methods)} " if match.methods else ""
    asked = " ".join(f"{name}: {value}" for name, value in match.headers.items())
    what = f"{methods}{match.host or ''}{match.path}{f' with {asked}' if asked else ''}"
    return what, f"{entry.upstream} as {entry.service_user}"


def _halves(url: str) -> tuple[str, str]:
    """
    Return the authority and what follows it of a URL with a scheme, whatever it holds.
    """
    rest = url.partition("://")[2]
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    return authority, path if path.startswith("/") else f"/{path}"


def rewritten_file(text: str, own: Sequence[tuple[str, str]]) -> str:
    """
    Return curl's options in a file (`-K`), with its URLs for the private proxy.

    Args:
        text: The file.
        own: Names and values of the options that lead to the proxy; `next` forgets them.
    """
    again = "".join(f'\n{name} = "{value}"' for name, value in own)
    text = _FILE_PATH.sub(rf"\1http://{OWN_HOST}\2", _FILE_LINE.sub(r"\1http://", text))
    return _FILE_NEXT.sub(f"next{again}", text)


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:200])

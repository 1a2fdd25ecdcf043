"""
A request as somebody describes it: a method, a URL or path, headers, who calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.core.admit import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proxy.config.load import Loaded

# RFC 9110 §5.6.2 token; §5.5 field-value
NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
VALUE: Final = re.compile(r"[\t -~]*")

LONGEST_SHOWN: Final = 100
"""Characters of what somebody asked that an answer repeats."""


class Unclear(ValueError):
    """
    What was asked is no request; the text says what to write.
    """


@dataclass(frozen=True, slots=True)
class Question:
    """
    A request that is not sent.

    Attributes:
        method: As in the request line.
        target: As in the request line.
        fields: The request's header fields, in order.
        caller: Who calls; None for nobody known.
        url: The whole URL, if the same may have been meant in forward mode; else empty.
    """

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    caller: str | None = None
    url: bytes = b""


def ask(
    method: str, url: str, headers: Iterable[str], caller: str | None, *, forward: bool = False
) -> Question:
    """
    Return the question.

    Args:
        method: As in a request line.
        url: What the caller would ask for, or a path alone.
        headers: Each `Name: value`.
        caller: A name under `callers`, or `anonymous`; None for nobody known.
        forward: The caller has been told of the proxy (`http_proxy`) and so asks it for the whole
            URL; else its host is taken for a name of the proxy's own, which is what it connects to.

    Raises:
        Unclear: It is none.
    """
    known = None if caller == ANONYMOUS else caller
    url = url.partition("#")[0]  # no client sends a fragment (RFC 9110 §4.2.5)
    if not method.isascii():
        raise Unclear("the method holds characters that no method has")
    if method.upper() == "CONNECT":
        if not url.isascii():
            raise Unclear("CONNECT wants host:port")
        return Question(method.encode(), url.encode(), ((b"Host", url.encode()),), known)
    target, fields = _target(url), tuple(_fields(url, headers))
    whole = _whole(url)
    if not forward:
        return Question(method.encode(), target, fields, known, whole)
    if not whole:
        raise Unclear("in forward mode URL must be an absolute URL (http://…)")
    return Question(method.encode(), whole, fields, known)


def check_caller(caller: str | None, loaded: Loaded) -> None:
    """
    See that a caller is one the configuration knows.

    Raises:
        Unclear: It is not.
    """
    callers: Collection[str] = loaded.settings.callers
    if caller is not None and caller != ANONYMOUS and caller not in callers:
        known = ", ".join(callers) or "none"
        raise Unclear(
            f"no caller {caller[:LONGEST_SHOWN]!r} in the configuration; there are: {known}"
        )


def _target(url: str) -> bytes:
    if url == "*":
        return b"*"
    path = url if url.startswith("/") else _split(url)[1]
    if path and not path.isascii():
        raise Unclear("the URL holds characters that must be written as %XX")
    return (path if path.startswith("/") else f"/{path}").encode()


def _whole(url: str) -> bytes:
    """
    Return a URL as a client asks a proxy for it; empty if it is a path alone.
    """
    scheme, mark, _ = url.partition("://")
    host, path = ("", "") if url.startswith("/") or not mark else _split(url)
    return f"{scheme}://".encode() + _encoded(host) + path.encode() if host else b""


def _fields(url: str, headers: Iterable[str]) -> list[tuple[bytes, bytes]]:
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not colon or NAME.fullmatch(name) is None or VALUE.fullmatch(value) is None:
            raise Unclear(f"-H wants 'Name: value', not {header[:LONGEST_SHOWN]!r}")
        fields.append((name.encode(), value.encode()))
    if not any(name.lower() == b"host" for name, _ in fields):
        host = "localhost" if url.startswith("/") or url == "*" else _split(url)[0]
        if not host:
            raise Unclear("URL must be a path (/…) or an absolute URL (http://…)")
        fields.insert(0, (b"Host", _encoded(host)))
    return fields


def _encoded(host: str) -> bytes:
    try:
        return host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        raise Unclear("the URL's host is no host name") from None


def _split(url: str) -> tuple[str, str]:
    """
    Return a URL's host and port, and the rest as it stands.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unclear("that is no URL") from None
    if not parts.netloc:
        return "", parts.path
    return parts.netloc, url[url.index(parts.netloc) + len(parts.netloc) :]

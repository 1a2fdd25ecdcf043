"""
Why there is no way to an issuer, or none to be believed, and what to do about it.

This file asks nobody and reads no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.checkup.words import NO_ANSWER, TROUBLE, Words, parts_of
from proxy.errors import MintRejected, MintTimeout
from proxy.tokens.metadata import addresses

if TYPE_CHECKING:
    from proxy.core.credential import Issuer
    from proxy.errors import TokenError

_CALLS_ITSELF = " calls itself "


def no_discovery(error: TokenError, issuer: Issuer) -> Words:
    """
    Say why an issuer's discovery document cannot be had or believed.
    """
    parts = parts_of(error)
    if isinstance(error, MintRejected) and _CALLS_ITSELF in parts.what:
        return _another_name(parts.what.partition(_CALLS_ITSELF)[2], issuer)
    document = addresses(issuer)[0]
    if 300 <= parts.status < 400:
        return Words(
            parts.what.replace("there is no discovery document", "there is a redirect"),
            f"redirects are not followed; see where it leads with `curl -sI {document}` and write"
            " that origin as url",
        )
    if "discovery document of" in parts.what and not parts.todo:
        return Words(
            parts.what,
            "something else answers there, such as a login page or a proxy; look at it with"
            f" `curl {document}`, and check url",
        )
    if parts.status == 0:
        return no_answer(error, issuer)
    return Words(parts.what, parts.todo or TROUBLE)


def _another_name(name: str, issuer: Issuer) -> Words:
    """
    Say which part of an issuer's url is not as the issuer has it.
    """
    said = f"the issuer calls itself {name}, and url is {issuer.url}"
    if name == "nothing":
        return Words(said, "what answers there is no issuer's document; check url")
    try:
        ours, theirs = urlsplit(issuer.url), urlsplit(name)
    except ValueError:
        return Words(said, "check url")
    write = f"write url: {name}"
    if ours.netloc != theirs.netloc:
        part = "port" if ours.hostname == theirs.hostname else "host"
        dial = f"{ours.scheme}://{ours.netloc}"
        todo = f"{write} (the {part} differs); if it must be dialled where it is now, add connect_to: {dial}"
    elif ours.scheme != theirs.scheme:
        todo = f"{write} (http and https differ)"
        if theirs.scheme == "http":
            todo += "; if it is behind https, tell it so (ZITADEL: ExternalSecure: true)"
    elif issuer.url.rstrip("/") == name.rstrip("/"):
        todo = f"{write} (the slash at the end differs)"
    else:
        todo = f"{write} (the path differs)"
    return Words(said, f"{todo}; it goes into aud and must be the same byte for byte")


def no_answer(error: TokenError, issuer: Issuer) -> Words:
    """
    Say why an issuer gave no answer at all.
    """
    parts = parts_of(error)
    what, todo = parts.what, parts.todo
    if issuer.connect_to is not None:
        what += f" (dialled at {issuer.connect_to})"
    if isinstance(error, MintTimeout):
        todo = NO_ANSWER
    elif "is not trusted" in what:
        todo = _certificate(what, issuer)
    elif "no TLS connection" in what:
        todo = (
            "does it speak https there? If it speaks http, write http:// in url; if it calls itself"
            " https all the same, leave url and write connect_to: http://…"
        )
    elif not todo:
        todo = "look at what listens there"
        if urlsplit(issuer.connect_to or issuer.url).scheme == "http":
            todo += "; if it speaks https, write https:// in the url"
    return Words(what, todo)


def _certificate(what: str, issuer: Issuer) -> str:
    lower = what.lower()
    if "mismatch" in lower:
        return "the certificate is for another name; write url with a name it has"
    if "expired" in lower or "not yet valid" in lower:
        return "the certificate must be renewed at the issuer, or this host's clock is far off"
    if issuer.ca_file is not None:
        return f"issuers.{issuer.name}.ca_file has not the authority that issued it; put it there"
    return (
        "write the PEM file of the authority that issued it as"
        f" issuers.{issuer.name}.ca_file, or check that url is the right one"
    )

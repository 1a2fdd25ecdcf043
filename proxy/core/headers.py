"""
Which headers go up, which come down: credentials, forwarding, what a route sets or removes.

Connection-level headers are the wire's business and never come this far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A caller's proof to this proxy (contract: callers) is never shown to an upstream.
CALLER_CREDENTIALS = frozenset((b"proxy-authorization", b"x-api-key"))
AUTHORIZATION = b"authorization"
REQUEST_ID = b"x-request-id"
VIA = b"via"
MAX_FORWARDS = b"max-forwards"
TRACE_PARENT = b"traceparent"
TRACE_STATE = b"tracestate"
ORIGIN = b"origin"
SEC_FETCH_SITE = b"sec-fetch-site"

LOOKED_AT = frozenset(
    (
        AUTHORIZATION,
        REQUEST_ID,
        VIA,
        MAX_FORWARDS,
        TRACE_PARENT,
        TRACE_STATE,
        ORIGIN,
        SEC_FETCH_SITE,
    )
)

# Where a request came from is told by whoever is trusted to; a caller's word is not passed on.
# ZITADEL works its instance and issuer out of these (facts of its origin look-up), so one stray
# line would pick the wrong instance.
FORWARDING = frozenset(
    (
        b"forwarded",
        b"x-real-ip",
        b"x-zitadel-forwarded",
        b"x-zitadel-instance-host",
        b"x-zitadel-public-host",
    )
)
FORWARDING_FAMILIES = (b"x-forwarded-", b"x-zitadel-forward", b"x-original-")

# Answers of ours carry this one; an upstream's must not be mistaken for it.
PROXY_STATUS = b"proxy-status"

LONGEST_REQUEST_ID = 128


def is_forwarding(name: bytes) -> bool:
    """
    Return whether a header (lower-case name) tells where a request came from.
    """
    return name in FORWARDING or name.startswith(FORWARDING_FAMILIES)


def looked_at(wanted: frozenset[bytes]) -> Callable[[bytes], bool]:
    """
    Return what says of a lower-case name whether the gateway wants to see that request header.

    Args:
        wanted: The names the routes ask for: conditions, and headers they set or remove.
    """
    names = wanted | CALLER_CREDENTIALS | LOOKED_AT
    return lambda name: name in names


def names_hop(value: bytes, own: bytes) -> bool:
    """
    Return whether a Via value lists the hop that *own* adds, however it is written.

    Args:
        value: The value of a Via header (RFC 9110 §7.6.3).
        own: The whole line this proxy adds.
    """
    pseudonym = own.split()[2].lower()
    for hop in value.split(b","):
        words = hop.split()
        if len(words) > 1 and words[1].lower() == pseudonym:
            return True
    return False


def valid_request_id(value: bytes) -> bool:
    """
    Return whether a caller's X-Request-Id is worth keeping: 1 to 128 ASCII letters and
    digits, with `.`, `_` and `-` among them.
    """
    return len(value) <= LONGEST_REQUEST_ID and value.translate(None, b"._-").isalnum()

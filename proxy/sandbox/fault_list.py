"""
Every fault there is: its name, what it does in plain words, and what its value means.

A new fault is a row here and a `take`, `on` or `hold` where it happens. Rows stand in the order in
which people meet the parts: the whole issuer, discovery, tokens, then those who are shown one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.sandbox.fault_values import (
    ANYTHING,
    BODY,
    CLOCK,
    DRIP,
    ENDPOINT,
    HOLD,
    LIFE,
    RETRY_AFTER,
    TYPE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sandbox.fault_values import Kind


@dataclass(frozen=True, slots=True)
class Row:
    """
    One fault.

    Attributes:
        text: What it does.
        kind: What its value may be; None: it takes none.
        default: The value if none is given; None: the fault does without.
        needed: Whether it makes no sense without a value.
        once: Whether it happens a single time unless told otherwise.
    """

    text: str
    kind: Kind | None = None
    default: object = None
    needed: bool = False
    once: bool = False

    @property
    def description(self) -> str:
        """
        What it does and what its value means.
        """
        return f"{self.text} (value: {self.meaning})" if self.kind else self.text

    @property
    def meaning(self) -> str:
        """
        What its value means and what it is if none is given; empty if it takes none.
        """
        if self.kind is None:
            return ""
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        usual = "needed" if self.needed else f"{default or 'none'} by default"
        return f"{self.kind.what}; {usual}"


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        # the whole issuer
        "down": Row("the issuer and its APIs close every connection without an answer"),
        "silent": Row("the issuer and its APIs accept connections and never answer"),
        "not-ready": Row("/debug/ready answers 412"),
        "clock-behind": Row("the issuer's clock is behind", CLOCK, 300.0),
        "clock-ahead": Row("the issuer's clock is ahead", CLOCK, 300.0),
        "projection-lag": Row("a new user, key or secret stays unknown for a while"),
        # discovery
        "discovery-500": Row("discovery answers 500"),
        "discovery-404": Row("there is no openid-configuration, only RFC 8414's document"),
        "discovery-slow": Row("discovery holds its answer", HOLD, 10.0),
        "discovery-html": Row("discovery answers 200 with an HTML page"),
        "discovery-garbage": Row("discovery answers 200 with a body that is not JSON"),
        "discovery-wrong-issuer": Row("discovery names another issuer than the one asked"),
        "discovery-foreign-endpoint": Row(
            "discovery names a token endpoint at another origin",
            ENDPOINT,
            "https://elsewhere.invalid/token",
        ),
        # the token endpoint refuses
        "token-invalid-client": Row("the token endpoint answers 400 invalid_client"),
        "token-invalid-grant": Row("the token endpoint answers 400 invalid_grant"),
        "token-unauthorized-client": Row("the token endpoint answers 400 unauthorized_client"),
        "token-invalid-scope": Row("the token endpoint answers 400 invalid_scope"),
        "token-not-active": Row("the token endpoint says that the user is locked or deactivated"),
        "key-unknown": Row("no assertion's key is known, as if it had been deleted or had expired"),
        "secret-wrong": Row("the token endpoint takes every client secret for a wrong one"),
        # the token endpoint fails
        "token-400-text": Row("the token endpoint answers 400 in plain text"),
        "token-429": Row(
            "the token endpoint answers 429 in plain text, its quota used up", RETRY_AFTER
        ),
        "token-500": Row("the token endpoint answers 500 server_error, as with database trouble"),
        "token-503": Row("the token endpoint answers 503 in plain text", RETRY_AFTER),
        "token-504": Row("the token endpoint answers 504 in plain text, as a gateway does"),
        "token-slow": Row("the token endpoint holds its answer", HOLD, 10.0),
        "token-close": Row("the token endpoint closes the connection without an answer"),
        "token-redirect": Row("the token endpoint answers 307 to another host"),
        # the token answer is none
        "token-html": Row("the token endpoint answers 200 with an HTML page"),
        "token-empty": Row("the token endpoint answers 200 with no body"),
        "token-garbage": Row("the token endpoint answers 200 with a body that is not JSON"),
        "token-huge": Row("the token endpoint answers 200 with a JSON body of 2 MiB"),
        "token-error-in-200": Row("the token endpoint answers 200 with an OAuth error"),
        "token-body": Row("the token endpoint answers 200 with just this body", BODY, needed=True),
        "token-truncated": Row("the token answer ends before its Content-Length is reached"),
        "token-truncated-gzip": Row("the token answer is compressed by gzip and cut in the middle"),
        "token-drip": Row("the token answer comes byte by byte, without end", DRIP, 1.0),
        # the token answer is odd
        "no-access-token": Row("the token answer lacks access_token"),
        "no-expires-in": Row("the token answer lacks expires_in"),
        "odd-expires-in": Row("the token answer's expires_in is no sane number", ANYTHING, "soon"),
        "token-type": Row("the token answer's token_type is not Bearer", TYPE, "DPoP"),
        "token-newline": Row("the access token has a line end and a header line in it"),
        "token-deep": Row("the token answer has a member nested 10,000 levels deep"),
        "token-duplicate": Row("the token answer repeats its members; the first ones are wrong"),
        "token-bom": Row("the token answer starts with a byte order mark"),
        "token-not-utf8": Row("the token answer has a member that is not UTF-8"),
        # tokens that do not last
        "short-lived": Row("tokens minted from now on live only so long", LIFE, 5.0),
        "token-young": Row(
            "APIs and backend refuse a token with 401 until it is so old", HOLD, 1.0
        ),
        "revoke-once": Row(
            "the next valid token shown to an API or the backend is revoked (once)", once=True
        ),
        # who is shown a token
        "introspection-500": Row("introspection answers 500; the backend then answers 503"),
        "introspection-inactive": Row("introspection calls every token inactive"),
        "userinfo-401": Row("userinfo refuses every token"),
        "userinfo-500": Row("userinfo answers 500"),
        "api-401": Row("the APIs refuse every token as AUTH-7fs1e"),
        "api-429": Row("the APIs answer 429: instance blocked by its limits"),
        "api-500": Row("the APIs answer 500, code 13"),
        "api-slow": Row("the APIs hold their answer", HOLD, 10.0),
        "backend-401": Row("the backend refuses every token"),
        "backend-slow": Row("the backend holds its answer", HOLD, 10.0),
        "backend-close": Row("the backend closes the connection without an answer"),
    }
)

# The same for those who only want to read.
FAULTS: Mapping[str, str] = MappingProxyType({name: row.description for name, row in ROWS.items()})

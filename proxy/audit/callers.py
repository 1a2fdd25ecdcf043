"""
What callers are known by.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from proxy.audit.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence

EXAMPLES: Final = (
    "", "KEY", "key", "api-key", "apikey", "changeme", "demo", "example", "password", "secret",
    "test", "token",
)  # fmt: skip
"""Keys that everybody tries first; what this project's documents show is among them."""


def guessable_key(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each caller whose key is one that everybody tries first.
    """
    known = {sha256(word.encode()).hexdigest() for word in EXAMPLES}
    known |= {sha256(f"{word}\n".encode()).hexdigest() for word in EXAMPLES}
    for name, caller in evidence.settings.callers.items():
        if not known.isdisjoint(caller.api_key_sha256 or ()):
            yield Hit(
                ("callers", name, "api_key_sha256"),
                "the key is an example's, or one that everybody tries first",
                "make one with `openssl rand -hex 32`",
            )


def known_by_address(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each caller that is whoever connects from a network.
    """
    for name, caller in evidence.settings.callers.items():
        if caller.by_network_alone:
            yield Hit(
                ("callers", name, "networks"),
                "whoever connects from these networks is this caller",
                "write a key, a certificate's name or a token beside them",
            )


_WHOLE_DOMAIN: Final = re.compile(r"spiffe://[^/]+/\*")


def known_too_widely(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each caller that nearly everybody of an issuer, or of a trust domain, is.
    """
    for name, caller in evidence.settings.callers.items():
        if caller.jwt is not None and not caller.jwt.claims:
            yield Hit(
                ("callers", name, "jwt"),
                "every token of this issuer for this audience is this caller's",
                "write claims: {sub: …} beside the audience",
            )
        asked = caller.introspection
        if asked is not None and not asked.claims and not asked.scopes:
            yield Hit(
                ("callers", name, "introspection"),
                "every living token that the issuer may be asked about is this caller's",
                "write claims: {sub: …}, or scopes, beside the issuer",
            )
        for index, san in enumerate(caller.mtls_san or ()):
            if _WHOLE_DOMAIN.fullmatch(san):
                yield Hit(
                    ("callers", name, "mtls_san", index),
                    "every workload of this trust domain is this caller",
                    "write the path of the one that is meant, before the *",
                )

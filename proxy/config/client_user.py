"""
Service users that are clients of their issuer: they prove it by a secret, or by a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field

from proxy.config.draft import near
from proxy.config.minted import Flaw, Minted
from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import OneOrMore, Text  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.values import File  # noqa: TC001 - pydantic reads annotations at run time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BY_SECRET: Final = ("basic", "post")
_BY_KEY: Final = "private_key_jwt"

_OF_KEYS: Final = ("key_pem_file", "key_id", "algorithm", "assertion_audience")
"""Settings that only a client with a key has."""


class Client(Minted):
    """
    A client of its issuer.
    """

    several: ClassVar[tuple[str, ...]] = ("client_secret",)

    client_id: Text = Field(
        description="Client id; at ZITADEL the service user's user name (login name)."
    )
    client_secret: OneOrMore[SecretSetting] | None = Field(
        default=None,
        description=(
            "Client secret: {file: PATH}, {env: NAME} or {credential: NAME}; or a list of them: "
            "the next one is tried once the issuer has refused the one before."
        ),
    )
    client_auth: Literal["basic", "post", "private_key_jwt"] = Field(
        default="basic",
        description=(
            "Send id and secret as HTTP Basic, or in the body (post); or sign an assertion with a "
            "key (private_key_jwt). Default: basic."
        ),
    )
    key_pem_file: File | None = Field(
        default=None,
        description=(
            "Private key in PEM (RSA, or EC on P-256 or P-384); only with client_auth: "
            "private_key_jwt, in the place of client_secret."
        ),
    )
    key_id: Text | None = Field(
        default=None,
        description="Id of the key at the issuer, sent as kid; only with key_pem_file. Default: none.",
    )
    algorithm: Literal["RS256", "PS256", "ES256", "ES384"] | None = Field(
        default=None,
        description=(
            "How the key signs; only with key_pem_file. Default: RS256, or the one of the EC key."
        ),
    )
    assertion_audience: Literal["issuer", "token_endpoint"] | None = Field(
        default=None,
        description=(
            "What the assertion names as its audience: the issuer's url, or its token endpoint. "
            "Default: issuer."
        ),
    )

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield what is wrong with the ways to prove who it is, and that it asks for nothing.
        """
        yield from super().flaws(entry)
        auth = entry.get("client_auth", "basic")
        auth = near(auth, (*_BY_SECRET, _BY_KEY)) if isinstance(auth, str) else ""
        if auth == _BY_KEY:
            yield from _by_key(entry)
        elif auth in _BY_SECRET:
            yield from _by_secret(entry)


def _by_key(entry: Mapping[str, object]) -> Iterator[Flaw]:
    if "key_pem_file" not in entry:
        yield Flaw("key_pem_file", "is missing", "write key_pem_file: PATH")
    if "client_secret" in entry:
        yield Flaw(
            "client_secret",
            "is not sent with client_auth: private_key_jwt",
            "remove it, or write client_auth: basic",
        )


def _by_secret(entry: Mapping[str, object]) -> Iterator[Flaw]:
    strays = [name for name in _OF_KEYS if name in entry]
    if "client_secret" not in entry and "key_pem_file" not in strays:
        yield Flaw("client_secret", "is missing", "write client_secret: {file: PATH}")
    for name in strays:
        yield Flaw(
            name,
            "is used with client_auth: private_key_jwt only",
            "write that, or remove this",
        )


class ClientCredentials(Client):
    """
    Asks for a token of its own (RFC 6749 §4.4).
    """

    method: Literal["client_credentials"] = Field(
        description="How tokens are had: by a client id with a secret or a key."
    )

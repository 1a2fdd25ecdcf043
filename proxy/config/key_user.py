"""
Service users with a key of their own: it signs an assertion, or the very token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.minted import AnyUser, Flaw, Minted
from proxy.config.section import OneOrMore, Text  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.values import DURATION, File, parse_duration, show_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# ZITADEL takes a System API token until an hour after its `iat`.
_LIFETIME: Final = (60.0, 3600.0)


def _lifetime(value: object) -> float:
    return parse_duration(value, *_LIFETIME)


Lifetime = Annotated[
    float,
    PlainValidator(_lifetime),
    PlainSerializer(show_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{DURATION}$"}),
]


class PrivateKeyJwt(Minted):
    """
    Signs an assertion with its own key (RFC 7523).
    """

    several: ClassVar[tuple[str, ...]] = ("key_file",)

    method: Literal["private_key_jwt"] = Field(description="How tokens are had: by a signed JWT.")
    key_file: OneOrMore[File] | None = Field(
        default=None,
        description=(
            "ZITADEL's key JSON as downloaded, or a list of them: the next one is tried once the "
            "issuer has refused the one before. Either this, or key_pem_file."
        ),
    )
    key_pem_file: File | None = Field(
        default=None,
        description="RSA private key in PEM (PKCS#1 or PKCS#8), with key_id and user_id.",
    )
    key_id: Text | None = Field(
        default=None, description="Id of the key at the issuer; only with key_pem_file."
    )
    user_id: Text | None = Field(
        default=None, description="Id of the service user at the issuer; only with key_pem_file."
    )

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield what is wrong with the ways to a key, and that it asks for nothing.
        """
        yield from super().flaws(entry)
        parts = ("key_pem_file", "key_id", "user_id")
        given = [name for name in parts if name in entry]
        lacking = [name for name in parts if name not in entry]
        if "key_file" in entry and given:
            yield Flaw(
                "",
                f"has key_file together with {' and '.join(given)}",
                "keep key_file, which holds its own ids, or drop it",
            )
        elif "key_file" not in entry and not given:
            yield Flaw("", "has no key", "write key_file, or key_pem_file with key_id and user_id")
        elif "key_file" not in entry and lacking:
            yield Flaw(
                "", f"lacks {' and '.join(lacking)}", "key_pem_file, key_id and user_id go together"
            )


class SystemJwt(AnyUser):
    """
    Signs its tokens itself, for ZITADEL's System API.
    """

    method: Literal["system_jwt"] = Field(
        description="How tokens are had: signed here, for ZITADEL's System API; nothing is minted."
    )
    user: Text = Field(
        description="Name of the system user, as the instance's own configuration (SystemAPIUsers) has it."
    )
    key_pem_file: File = Field(
        description="RSA private key of the system user in PEM (PKCS#1 or PKCS#8)."
    )
    lifetime: Lifetime = Field(
        default=1800.0,
        description="How long each token lives, from 1m to 1h. Default: 30m.",
        json_schema_extra={"default": "30m"},
    )

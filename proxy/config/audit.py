"""
Whether it is recorded, request by request, whose token went where on whose behalf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import Section, wrong
from proxy.config.values import parse_file


def parse_destination(value: object) -> Path | Literal["off", "stdout"]:
    """
    Return `off`, `stdout`, or the file's path.
    """
    if value == "off":
        return "off"
    if value == "stdout":
        return "stdout"
    if isinstance(value, bool):
        raise wrong("is no destination", 'write stdout, a file\'s path, or "off"')
    return parse_file(value)


AuditDestination = Annotated[
    Path | Literal["off", "stdout"],
    PlainValidator(parse_destination),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]


class Audit(Section):
    """
    The record of which service user's token went upstream, for whom.
    """

    to: AuditDestination = Field(
        default="off",
        description=(
            "Where a line for each request goes that took a service user's token upstream: stdout "
            "(among the log's lines), a file that is appended to, or off. Default: off."
        ),
    )
    hmac_key: SecretSetting | None = Field(
        default=None,
        description=(
            "Key of the tokens' fingerprints (HMAC-SHA256), so that they can be compared between "
            "processes, and with a token that leaked. Default: a random one for each process."
        ),
    )

"""
What all groups of settings share: closed, frozen, strict; and how a setting says it is wrong.

`hide_input_in_errors` matters: without it a secret in the wrong place is printed by pydantic's own
error although its right place would have kept it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
)
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

K = TypeVar("K")
V = TypeVar("V")


class Section(BaseModel):
    """
    A group of settings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def wrong(what: str, instead: str = "") -> PydanticCustomError:
    """
    Return the error a validator raises in this project's own words; never with the value in them.
    """
    return PydanticCustomError("wrong", "{what}", {"what": what, "instead": instead})


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _dumped(value: Mapping[K, V], inner: SerializerFunctionWrapHandler) -> Any:
    return inner(dict(value))


def _frozen(value: Mapping[K, V]) -> Mapping[K, V]:
    return MappingProxyType(dict(value))


def nothing() -> Mapping[str, Any]:
    """
    Return an empty read-only mapping, the default of a `Table`.
    """
    return MappingProxyType({})


Items = Annotated[tuple[V, ...], BeforeValidator(_as_tuple)]
"""A list, kept as a tuple."""


class _OneOrMany:
    """
    Says to the JSON Schema that one value may stand for a list of one.
    """

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(core)
        return {"anyOf": [many["items"], many]}


def _as_many(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _dumped_short(value: tuple[V, ...], inner: SerializerFunctionWrapHandler) -> Any:
    dumped = inner(value)
    return dumped[0] if len(dumped) == 1 else dumped


OneOrMore = Annotated[
    tuple[V, ...],
    Field(min_length=1),
    BeforeValidator(_as_many),
    WrapSerializer(_dumped_short),
    _OneOrMany(),
]
"""One value or a list of them, in their order; kept as a tuple."""

Table = Annotated[Mapping[K, V], AfterValidator(_frozen), WrapSerializer(_dumped)]
"""Names to values, kept read-only."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise wrong(
            "is not usable",
            "use up to 40 letters, digits, dots, dashes and underscores",
        )
    return value


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{_NAME}$"})]
"""What the user calls an issuer, service user, caller or route: it ends up in logs and metrics."""


def _text(value: str) -> str:
    if not value.strip():
        raise wrong("is empty", "give it a value")
    if not value.isprintable():
        raise wrong("holds a line break or control character", "remove it")
    return value


Text = Annotated[str, AfterValidator(_text), Field(json_schema_extra={"minLength": 1})]
"""One line that is not empty."""

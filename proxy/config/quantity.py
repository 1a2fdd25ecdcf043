"""
How many, how large, how long: text with its unit in proxy.yaml, a plain number from there on.

A quantity stands in an annotation, `Annotated[int, size(KIB, MIB)]`: it reads, judges the range,
writes back, and describes itself to the JSON Schema. Where it says that `off` may stand, `off` is 0
from there on, and nothing else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field
from pydantic_core import core_schema

from proxy.config.section import wrong
from proxy.config.values import DURATION, MAX_SECONDS, parse_duration, show_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# IEC 80000-13: powers of 1024. kB and MB, which are 1000s to some and 1024s to others, are not read.
_UNITS: Final = {"GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}
_SIZE: Final = r"([0-9]{1,12})(B|KiB|MiB|GiB)"

OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Quantity:
    """
    A number with a range, and how it is written.

    Attributes:
        parse: Returns the number a file says, in range or not; raises `wrong(…)` if it says none.
        show: Returns what a file would say.
        least: The smallest there may be.
        most: The largest there may be.
        off: Whether `off` may stand instead.
        schema: The JSON Schema of the ways to write it, but for `off`.
    """

    parse: Callable[[object], float]
    show: Callable[[float], object]
    least: float
    most: float
    off: bool
    schema: dict[str, Any]

    def read(self, value: object) -> float:
        """
        Return the number for what the file says; 0 for `off`.
        """
        span = f"write something from {self.show(self.least)} to {self.show(self.most)}"
        instead = f"{span}, or off" if self.off else span
        if value == OFF and self.off:
            return 0
        if value == OFF:
            raise wrong("cannot be off", instead)
        if isinstance(value, bool):
            raise wrong("cannot be true or false", instead)
        number = self.parse(value)
        if not self.least <= number <= self.most:
            raise wrong("is out of range", instead)
        return number

    def write(self, number: float) -> object:
        """
        Return what a file would say.
        """
        return OFF if self.off and not number else self.show(number)

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(self.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.schema, {"const": OFF}]} if self.off else dict(self.schema)


def size(least: int, most: int, *, off: bool = False) -> Quantity:
    """
    Return a quantity of bytes: `240B`, `8KiB`, `100MiB`, `1GiB`.
    """
    schema = {"type": "string", "pattern": f"^{_SIZE}$"}
    return Quantity(parse_size, show_size, least, most, off, schema)


def count(least: int, most: int, *, off: bool = False) -> Quantity:
    """
    Return a quantity of things: a whole number.
    """
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Quantity(parse_count, int, least, most, off, schema)


def duration(least: float = 0.001, most: float = MAX_SECONDS, *, off: bool = False) -> Quantity:
    """
    Return a quantity of seconds: `500ms`, `75s`, `10m`, `1h`.
    """

    def parse(value: object) -> float:
        return parse_duration(value, 0.0, float("inf"))

    schema = {"type": "string", "pattern": f"^{DURATION}$"}
    return Quantity(parse, show_duration, least, most, off, schema)


def setting(default: object, what: str) -> Any:
    """
    Return the field of a quantity, its default as a file would write it.

    Args:
        default: What it is if nothing is written.
        what: What it is for, in whole sentences without the default.
    """
    return Field(default=default, validate_default=True, description=f"{what} Default: {default}.")


def parse_size(value: object) -> int:
    """
    Return the bytes for text such as `8KiB`.
    """
    found = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    if found is not None:
        return int(found[1]) * _UNITS[found[2]]
    bare = isinstance(value, (int, float)) or (isinstance(value, str) and value.isdecimal())
    raise wrong(
        "has no unit" if bare else "is no size",
        "write it with B, KiB, MiB or GiB, like 8KiB or 100MiB",
    )


def show_size(number: float) -> str:
    """
    Return the bytes *number*, above 0, with the largest unit that needs no fraction.
    """
    unit = next(unit for unit, factor in _UNITS.items() if not number % factor)
    return f"{number // _UNITS[unit]:.0f}{unit}"


def parse_count(value: object) -> int:
    """
    Return a whole number that is written without quotes.
    """
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isdecimal():
        raise wrong("is text", "write the number without quotes")
    raise wrong("is no whole number", "write one, like 1024")
